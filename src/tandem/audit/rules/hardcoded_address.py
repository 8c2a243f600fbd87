"""IPv4 and IPv6 addresses written into code and configuration."""

from __future__ import annotations

import ast
import ipaddress
import re
from collections.abc import Iterator

from msgspec import Struct

from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.python.module import PyModule
from tandem.audit.python.values import environment_name
from tandem.audit.rules.plain_credential import TRANSLATIONS as _TRANSLATIONS
from tandem.audit.source import Kind, Source, without_comment

_V4 = re.compile(
    r"(?<![\w.\-:+])(?:tcp://|[a-z]+://)?((?:\d{1,3}\.){3}\d{1,3})(/\d{1,2}(?!\d))?(?![\w]|\.\d|-\d)"
)
_V6 = re.compile(
    r"(?<![\w:.])\[?((?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4})(%\w+)?(/\d{1,3})?\]?(?![\w:]|\.\d)"
)
_VERSION = re.compile(r"versions?|\bver\b|_ver\b|release|\boid\b|user.?agent|revision|schema", re.IGNORECASE)
_AGENT_STRING = re.compile(r"[A-Za-z]/$|[=~<>]=\s*$|\bv$", re.IGNORECASE)
_KINDS = frozenset({Kind.YAML, Kind.JSON, Kind.TOML, Kind.SHELL, Kind.DOCKERFILE, Kind.INI})
_VALUES = frozenset({Kind.YAML, Kind.JSON, Kind.TOML})
_WELL_KNOWN = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4", "169.254.0.0/16", "192.0.2.0/24", "198.51.100.0/24",
        "203.0.113.0/24", "192.0.0.0/24", "198.18.0.0/15", "::/128", "::1/128", "ff00::/8", "2001::/23", "2001:db8::/32", "2002::/16", "64:ff9b::/96", "fe80::/10",
        "::ffff:127.0.0.0/104",
    )
)  # fmt: skip
"""Loopback, wildcard, multicast, link-local, documentation and benchmarking blocks (IANA special-purpose registries)."""
_BLOCKS = frozenset({
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fd00::/8", "0.0.0.0/0", "::/0", "2000::/3",
})  # fmt: skip
"""Networks named to classify addresses rather than to reach one."""


class Address(Struct, frozen=True):
    """An address within a text, at a 0-based offset."""

    text: str
    offset: int


def addresses(text: str) -> Iterator[Address]:
    """The addresses in ``text`` that name a particular computer or network."""
    for match in _V4.finditer(text):
        literal, length = match.group(1), match.group(2) or ""
        before = text[: match.start(1)]
        if _AGENT_STRING.search(before) and not before.endswith("//"):
            continue
        if _is_particular(literal, length):
            yield Address(literal, match.start(1))
    if text.count(":") >= 2:
        for match in _V6.finditer(text):
            literal = match.group(1)
            if _plausible_v6(literal) and _is_particular(literal, match.group(3) or ""):
                yield Address(literal, match.start(1))


def _is_particular(literal: str, length: str) -> bool:
    try:
        address = ipaddress.ip_address(literal)
        if length and int(length[1:]) < address.max_prefixlen:
            network = ipaddress.ip_network(literal + length, strict=False)
            if str(network) in _BLOCKS:
                return False
    except ValueError:
        return False
    if address.version == 4 and (literal.startswith("255.") or literal.endswith(".0.0.0")):
        return False
    return not any(address in network for network in _WELL_KNOWN if network.version == address.version)


def _plausible_v6(literal: str) -> bool:
    """Unique local or global unicast with enough groups not to be a time, a slice or C++."""
    groups = [group for group in literal.split(":") if group]
    return (
        len(groups) >= 2
        and re.match(r"[23][0-9a-fA-F]{3}$|f[cd][0-9a-fA-F]{2}$", groups[0], re.I) is not None
    )


def _module(module: PyModule) -> Iterator[Finding]:
    if module.source.is_test or not (
        _V4.search(module.source.text)
        or "::" in module.source.text
        or re.search(r":[0-9A-Fa-f]{1,4}:", module.source.text)
    ):
        return
    for node in module.nodes(ast.Constant):
        if not isinstance(node.value, str) or len(node.value) < 4 or node in module.docstrings:
            continue
        found = list(addresses(node.value))
        if found and not _is_version(module, node) and not _shown_only(module, node):
            for address in found:
                yield _python_finding(module, node, address)


def _is_version(module: PyModule, node: ast.Constant) -> bool:
    """What the constant is bound to says that its dotted numbers are no address."""
    for above in module.ancestors(node):
        names: list[str] = []
        if isinstance(above, ast.Assign):
            names = [ast.unparse(target) for target in above.targets]
        elif isinstance(above, ast.AnnAssign):
            names = [ast.unparse(above.target)]
        elif isinstance(above, ast.keyword):
            names = [above.arg or ""]
        elif isinstance(above, ast.Call):
            names = [module.dotted(above.func)]
        elif isinstance(above, ast.Compare):
            names = [ast.unparse(above.left)]
        elif isinstance(above, ast.Dict) and node in above.values:
            key = above.keys[above.values.index(node)]
            names = [key.value] if isinstance(key, ast.Constant) and isinstance(key.value, str) else []
        if any(_VERSION.search(name) for name in names):
            return True
        if isinstance(above, ast.stmt):
            return False
    return False


_FOR_PEOPLE = re.compile(
    r"help|description|epilog|metavar|example|placeholder|usage|doc(s|string)?$|template|manual|hint",
    re.IGNORECASE,
)


def _shown_only(module: PyModule, node: ast.Constant) -> bool:
    """A help text, an example or a message for people: it says how to write an address."""
    parent = module.parent(node)
    names: list[str] = []
    if isinstance(parent, ast.keyword):
        names = [parent.arg or ""]
    elif isinstance(parent, ast.Assign):
        names = [ast.unparse(target) for target in parent.targets]
    text = str(node.value)
    if any(_FOR_PEOPLE.search(name) for name in names) and (
        isinstance(parent, ast.keyword) or text.count("\n") > 1
    ):
        return True
    return (
        _is_prose(text)
        or re.search(r"\be\.g\.|for example|such as|example:", text, re.IGNORECASE) is not None
    )


def _python_finding(module: PyModule, node: ast.Constant, address: Address) -> Finding:
    line, column = node.lineno, node.col_offset + 1
    text = module.source.line(line)
    at = text.find(address.text, node.col_offset)
    if at < 0:
        for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
            at = module.source.line(number).find(address.text)
            if at >= 0:
                line = number
                break
    column = at + 1 if at >= 0 else column
    parent = module.parent(node)
    if isinstance(parent, ast.Call) and node in parent.args[1:2]:
        variable = environment_name(module, parent)
        if variable is not None:
            message = f"address {address.text} is what `{variable}` falls back to when it is not set"
            return RULE.at(module.path, line, column, message, severity=Severity.NOTE)
    return RULE.at(
        module.path, line, column, f"address {address.text} is written into the code", fixable=True
    )


def _text(source: Source) -> Iterator[Finding]:
    if source.kind not in _KINDS or source.is_test or _TRANSLATIONS.search(source.path):
        return
    for number, raw in enumerate(source.lines, 1):
        if "." not in raw and ":" not in raw:
            continue
        line = without_comment(raw[:4000], source.kind)
        if source.kind is Kind.SHELL and re.match(r"\s*(echo|printf)\b[^>|]*$", line):
            continue
        for address in addresses(line):
            key = _key_of(line, address.offset)
            if (
                _VERSION.search(key)
                or _FOR_PEOPLE.search(key)
                or (source.kind in _VALUES and _is_prose(line))
            ):
                continue
            kind = source.kind.value
            confidence = (
                Confidence.MEDIUM
                if line[address.offset :].removeprefix(address.text).startswith("/")
                else Confidence.HIGH
            )
            message = f"address {address.text} is written into this {kind} file"
            yield RULE.at(source.path, number, address.offset + 1, message, confidence=confidence)


_PROSE_WORDS = 8
"""Plain words in a row of text from which on it is taken for prose that merely mentions an address."""


def _is_prose(text: str) -> bool:
    """Text for people: many words of letters only, few of anything else."""
    words = text.split()
    plain = sum(re.fullmatch(r"[^\W\d_]{2,}[.,:;!?]?", word) is not None for word in words)
    return plain >= _PROSE_WORDS and plain * 2 > len(words)


def _key_of(line: str, offset: int) -> str:
    """The key whose value begins before ``offset``, in the notations of YAML, JSON, TOML, INI and shells."""
    keys = re.findall(r"""["']?([\w.-]+)["']?\s*[:=](?!/)""", line[:offset])
    return keys[-1] if keys else ""


RULE = Rule(
    id="hardcoded-address",
    title="An address is written into the tree",
    severity=Severity.WARNING,
    why=(
        "The program only works on the network it was written on; moving one computer means editing "
        "every such line."
    ),
    how=(
        "Name the machine and look it up: from the registry by the peer's name, or from an environment "
        "variable."
    ),
    module=_module,
    text=_text,
)
