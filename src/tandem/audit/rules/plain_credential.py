"""Secrets in plain sight: known token formats, private keys, and literals bound to secret names."""

from __future__ import annotations

import ast
import math
import re
from collections import Counter
from collections.abc import Iterator

from tandem.audit.fleet.compose import looks_like_compose
from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.python.module import PyModule, text_of
from tandem.audit.source import Kind, Source, without_comment

_TOKENS: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("an AWS access key", re.compile(r"(?<![A-Z0-9])(?:AKIA|ASIA)[A-Z2-7]{16}(?![A-Z0-9])")),
    ("a GitHub token", re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{60,}\b")),
    ("a GitLab token", re.compile(r"\bglpat-[A-Za-z0-9_-]{20,}")),
    ("a Slack token", re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{10,}")),
    ("an OpenAI key", re.compile(r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]*[A-Za-z0-9]{20,}")),
    ("an Anthropic key", re.compile(r"\bsk-ant-[A-Za-z0-9_-]{20,}")),
    ("a Hugging Face token", re.compile(r"\bhf_[A-Za-z0-9]{30,}\b")),
    ("a Google API key", re.compile(r"\bAIza[A-Za-z0-9_-]{35}\b")),
    ("a Stripe key", re.compile(r"\b[sr]k_live_[A-Za-z0-9]{20,}")),
    ("a Telegram bot token", re.compile(r"\b\d{8,10}:AA[A-Za-z0-9_-]{32,34}\b")),
    ("a PyPI token", re.compile(r"\bpypi-AgE[A-Za-z0-9_-]{50,}")),
    ("an npm token", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    ("a SendGrid key", re.compile(r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}")),
    ("a NATS seed", re.compile(r"\bS[UAOCNX][A-Z2-7]{56}\b")),
    ("a JSON web token", re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")),
    ("a private key", re.compile(r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----(?!\s*(?:\\n)?\s*(?:\.\.\.|<|$))")),
)
_URL = re.compile(
    r"\b[a-z][a-z0-9+.-]*://(?P<user>[^\s/:@'\"<>{}$%]*):(?P<secret>[^\s/@'\"]+)@(?P<host>[\w.\-\[{$]+)",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"(^|_)(pass(word|wd|phrase)?|passwd|pwd|secret(_?key)?|api_?key|auth_?token|access_?token|access_?key|refresh_?token|bearer|token"
    r"|private_?key|client_?secret|encryption_?key|signing_?key|jwt_?secret|credentials?|seed_?phrase|webhook_?secret)s?"
    r"(_?(value|default|raw|plain|prod|dev|main|admin|root|user|db))?$"
)
_OTHER_WORDS = frozenset({
    "public", "path", "file", "dir", "name", "url", "uri", "endpoint", "header", "field", "column",
    "prompt", "label", "hint", "regex", "pattern", "length", "min", "max", "count", "limit", "ttl",
    "expires", "expiry", "expiration", "type", "algorithm", "policy", "prefix", "suffix",
    "separator", "reset", "forgot", "env", "var", "id", "ids", "format", "template", "re", "len",
    "size", "timeout", "next", "page", "pad", "eos", "bos", "unk", "cls", "sep", "mask", "special",
    "start", "end", "stop", "cache", "sort", "partition", "primary", "foreign", "usage", "used",
    "total", "num", "per", "dummy", "fake", "test", "example", "sample", "mock", "not",
})  # fmt: skip
"""Words in a name that make it something about a secret, or a token of another kind."""
TRANSLATIONS = re.compile(
    r"(^|/)(translations?|locales?|i18n|l10n|lang|languages|messages)/|(^|/)strings[^/]*\.json$"
)
"""Files of words for people, where `password` is a label."""
_PLACEHOLDER = re.compile(
    r"change.?me|change.?this|replace|placeholder|example|sample|dummy|fake|your|insert|todo|tbd|fixme|redacted|removed|hidden|none|null"
    r"|undefined|empty|default|not.?set|unset|xxx|\*\*\*|\.\.\.|<[^>]*>|\$\{|\{\{|\$\(|%\(|\$[A-Z_]+|^\$|^@|test|mock|demo|secret.?here|prefix"
    r"|^[{\[(]|^(pass(word|wd)?|secret|token|key|api_?key|string|str|bytes|bearer|basic|true|false|optional|required|enabled|disabled)$"
    r"|^(env|vault|file|ref|secretref|arn|keyring|op|ssm|sops|secret):|/run/secrets|^/|^\./|^~|\.(pem|key|crt|txt|json|yaml|yml|env)$"
    r"|^0+$|^1234\w*$|^(.)\1+$|^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$",
    re.IGNORECASE,
)
_ENV_STYLE = re.compile(r"^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$")
_CONFIG = frozenset({Kind.YAML, Kind.JSON, Kind.TOML, Kind.INI, Kind.ENV, Kind.SHELL, Kind.DOCKERFILE})
_PAIR = re.compile(
    r"""(?:^|[\s,{;(])(?:export\s+|ENV\s+|ARG\s+|-\s*)?["']?(?P<name>[A-Za-z_][\w.-]*)["']?\s*[:=]\s*"""
    r"""(?:"(?P<double>[^"]*)"|'(?P<single>[^']*)'|(?P<bare>[^\s,;}#"']+))"""
)


def entropy(text: str) -> float:
    """Shannon entropy in bits a character."""
    total = len(text)
    return (
        -sum(count / total * math.log2(count / total) for count in Counter(text).values()) if total else 0.0
    )


def masked(line: str, secret: str) -> str:
    """``line`` with all but the first characters of ``secret`` hidden."""
    shown = secret[:3] if len(secret) > 8 else ""
    return line.replace(secret, f"{shown}***")


_NEVER = re.compile(
    r"^[A-Z][A-Z0-9]*(_[A-Z0-9]+)+$|^[A-Z][a-z]+$|^\w+[\[(<].*[\])>]$|123456|abcdef|://|\{\w*\}|%s|\\u|^\w+\(|^[\w.]+\.[\w.]+\("
    r"|^[a-z]+:[a-z-]+$|^(os|env|process\.env)\b"
    r"|(?i:^(updated|changed|unchanged|modified|invalid|expired|required|missing|unavailable|available|unknown|incorrect|correct"
    r"|protected|encrypted|plaintext|disabled|enabled)$)"
)
"""Names of constants, types, templates, references, keyboard sequences and words about a password: never one itself."""


def is_secret(name: str, value: str, *, code: bool) -> bool:
    """Whether ``value`` bound to ``name`` looks like a real secret rather than a placeholder, a path or a word.

    Passwords are made up by people and may be short; keys and tokens are made by machines and look random.
    """
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-.]", "_", name).lower()
    words = set(snake.split("_"))
    if not _NAME.search(snake) or words & _OTHER_WORDS or not 6 <= len(value) <= 400:
        return False
    if _NEVER.search(value) or not value.isascii() or (_PLACEHOLDER.search(value) and not _random(value)):
        return False
    if _plain(name) in _plain(value) and not re.search(r"\d", value):
        return False
    if re.search(r"\s", value.strip()) and not words & {"passphrase", "phrase"}:
        return False
    if any(word.startswith(("pass", "pwd")) for word in words):
        return not code or not _IDENTIFIER.match(value) or (value.isalpha() and value not in _LABELS)
    return _random(value)


_IDENTIFIER = re.compile(r"^[a-z]+([_\-. ][a-z]+)*$")
_LABELS = frozenset({"password", "passwd", "secret", "string", "hidden", "prompt", "username"})


def _plain(text: str) -> str:
    """Letters only, lower case: ``api_key`` and ``apiKey`` are the same."""
    return re.sub(r"[^a-z]", "", text.lower())


def _random(value: str) -> bool:
    """Letters and several digits without much pattern, as generators make them."""
    digits = sum(character.isdigit() for character in value)
    return len(value) >= 12 and digits >= 3 and any(map(str.isalpha, value)) and entropy(value) >= 3.0


def _dull(user: str, secret: str, host: str) -> bool:
    """The account every fresh installation has, on this computer."""
    return user == secret and host.startswith(("localhost", "127."))


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    """(what, secret, offset) of every known token format and password within a URL."""
    for what, pattern in _TOKENS:
        for match in pattern.finditer(text):
            token = match.group(0)
            body = re.sub(r"[^A-Za-z0-9]", "", token)
            if "PRIVATE KEY" in token or (
                entropy(body) >= 3.0 and not re.search(r"example|xxxx|1234567890|abcdefgh", token, re.I)
            ):
                yield what, token, match.start()
                break
    for match in _URL.finditer(text):
        secret = match.group("secret")
        if (
            not _PLACEHOLDER.search(secret)
            and "{" not in secret
            and "$" not in secret
            and len(secret) > 2
            and secret not in _LABELS
            and not _dull(match.group("user"), secret, match.group("host"))
        ):
            yield "a password in a URL", secret, match.start("secret")


def _module(module: PyModule) -> Iterator[Finding]:
    source = module.source
    seen: set[tuple[int, str]] = set()
    for node in module.nodes(ast.Constant):
        if not isinstance(node.value, str) or len(node.value) < 6 or node in module.docstrings:
            continue
        for what, secret, _ in _tokens(node.value):
            if not (source.is_test and what in ("a private key", "a JSON web token", "a password in a URL")):
                yield _finding(
                    source, node.lineno, node.col_offset + 1, f"{what} is written into the code", secret
                )
                seen.add((node.lineno, secret))
    if source.is_test:
        return
    for name, value_node in _bindings(module):
        value = text_of(value_node)
        if (
            value is not None
            and is_secret(name, value, code=True)
            and not _known(seen, value_node.lineno, value)
        ):
            message = f"`{name}` is set to a literal secret"
            confidence = Confidence.HIGH if _random(value) else Confidence.MEDIUM
            yield _finding(source, value_node.lineno, value_node.col_offset + 1, message, value, confidence)


def _known(seen: set[tuple[int, str]], line: int, value: str) -> bool:
    return any(number == line and secret in value for number, secret in seen)


def _bindings(module: PyModule) -> Iterator[tuple[str, ast.expr]]:
    """(name, value) of assignments, arguments, dictionary entries, defaults and fall-backs of environment look-ups."""
    for assign in module.nodes(ast.Assign):
        for target in assign.targets:
            yield from _bound(module, _last(module, target), assign.value)
    for annotated in module.nodes(ast.AnnAssign):
        if annotated.value is not None:
            yield from _bound(module, _last(module, annotated.target), annotated.value)
    for item in module.nodes(ast.keyword):
        if item.arg is not None:
            yield from _bound(module, item.arg, item.value)
    for mapping in module.nodes(ast.Dict):
        for key, value in zip(mapping.keys, mapping.values, strict=True):
            name = text_of(key)
            if name is not None:
                yield from _bound(module, name, value)
    for arguments in module.nodes(ast.arguments):
        positional = [*arguments.posonlyargs, *arguments.args]
        for argument, default in zip(reversed(positional), reversed(arguments.defaults), strict=False):
            yield from _bound(module, argument.arg, default)
        for argument, given in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
            if given is not None:
                yield from _bound(module, argument.arg, given)
    for compare in module.nodes(ast.Compare):
        if len(compare.ops) == 1 and isinstance(compare.ops[0], (ast.Eq, ast.NotEq)):
            yield from _bound(module, _last(module, compare.left), compare.comparators[0])


def _bound(module: PyModule, name: str, value: ast.expr) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(value, ast.Constant):
        yield name, value
    elif isinstance(value, ast.BoolOp):
        for part in value.values:
            yield from _bound(module, name, part)
    elif isinstance(value, ast.Call):
        called = module.dotted(value.func)
        if called in ("os.environ.get", "os.getenv") or called.rpartition(".")[2] in (
            "get",
            "getenv",
            "get_env",
        ):
            if len(value.args) == 2:
                yield name, value.args[1]
        elif isinstance(value.func, ast.Attribute) and value.func.attr == "encode":
            yield from _bound(module, name, value.func.value)


def _last(module: PyModule, node: ast.expr) -> str:
    if isinstance(node, ast.Subscript):
        return text_of(node.slice) or ""
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def _text(source: Source) -> Iterator[Finding]:
    if source.kind not in _CONFIG:
        return
    # What a Compose file hands to its services in plain text is `compose-secret`'s to report.
    compose = source.kind is Kind.YAML and looks_like_compose(source.path, source.text)
    for number, raw in enumerate(source.lines, 1):
        line = without_comment(raw[:4000], source.kind)
        found = False
        for what, secret, offset in _tokens(line):
            found = True
            if not (source.is_test and what in ("a private key", "a JSON web token", "a password in a URL")):
                yield _finding(
                    source,
                    number,
                    offset + 1,
                    f"{what} is written into this {source.kind.value} file",
                    secret,
                )
        if found or source.is_test or compose or TRANSLATIONS.search(source.path):
            continue
        for match in _PAIR.finditer(line):
            value = match.group("double") or match.group("single") or match.group("bare") or ""
            name = match.group("name").rpartition(".")[2]
            if is_secret(name, value, code=False) and not _reference(source, match):
                start = match.start(
                    "double" if match.group("double") else "single" if match.group("single") else "bare"
                )
                confidence = Confidence.HIGH if _random(value) else Confidence.MEDIUM
                yield _finding(
                    source, number, start + 1, f"`{name}` is set to a literal secret", value, confidence
                )
                break


def _reference(source: Source, match: re.Match[str]) -> bool:
    """A shell or Compose value computed elsewhere, or a name rather than a value."""
    bare = match.group("bare") or ""
    if source.kind is Kind.SHELL and (bare.startswith(("$", "`")) or "$" in (match.group("double") or "")):
        return True
    return _ENV_STYLE.match(match.group("double") or match.group("single") or bare) is not None


def _finding(
    source: Source,
    line: int,
    column: int,
    message: str,
    secret: str,
    confidence: Confidence = Confidence.HIGH,
) -> Finding:
    return RULE.at(
        source.path,
        line,
        column,
        message,
        confidence=confidence,
        source=masked(source.line(line).strip(), secret),
    )


RULE = Rule(
    id="plain-credential",
    title="A secret in plain sight",
    severity=Severity.WARNING,
    why=(
        "Everyone who can read the tree, its history, a backup or a process list has it; it cannot be "
        "withdrawn without changing it."
    ),
    how=(
        "Change the secret, then keep it in a file only its user may read, or in the secret store, and "
        "refer to it by name."
    ),
    module=_module,
    text=_text,
)
