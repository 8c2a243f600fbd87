"""Addresses → look-ups in the environment, with the old address as the fall-back.

Nothing changes for whoever does not set the variable. The name of the variable is never invented where the change is
written: it is one the tree already uses for this address, or the name of the constant that holds it.
"""

from __future__ import annotations

import re

import libcst as cst

from tandem.audit.fix.edits import Collector, Edit, Patient, Tree, becomes, collect, dotted
from tandem.audit.project import Project
from tandem.audit.rules.hardcoded_address import addresses

_KNOWN = (
    re.compile(
        r"""(?:environ\.get|getenv|get_env|env)\(\s*["'](?P<name>[A-Z][A-Z0-9_]*)["']\s*,\s*["'](?P<ip>[0-9.]+)["']"""
    ),
    re.compile(
        r"""(?m)^\s*(?:export\s+|-\s*["']?|ENV\s+)?(?P<name>[A-Z][A-Z0-9_]*)\s*[=:]\s*["']?(?P<ip>\d+\.\d+\.\d+\.\d+)["']?\s*$"""
    ),
)
_WHOLE = re.compile(r"^[A-Z][A-Z0-9_]*(HOST|IP|ADDRESS|ADDR|SERVER)$")


def mend(patient: Patient, suggest: bool) -> str:
    """Replace the addresses found in ``patient``."""
    tree = Tree(patient.text)
    seen = collect(tree, cst.SimpleString, cst.FormattedString)
    names = known_names(patient.project)
    lines = {finding.line for finding in patient.findings}
    edits: dict[cst.CSTNode, Edit] = {}
    for node in seen.found:
        start, end = tree.line(node), tree.end(node)[0]
        if not lines & set(range(start, end + 1)) or not _replaceable(seen, node):
            continue
        new = (
            _formatted(node, seen, names, suggest)
            if isinstance(node, cst.FormattedString)
            else _simple(node, seen, names, suggest)
        )
        if new is not None:
            tree.need("os")
            edits[node] = becomes(new)
    return tree.apply(edits)


def known_names(project: Project) -> dict[str, str]:
    """Address → the environment variable that the tree itself uses for it, where that is one and the same everywhere."""
    found: dict[str, set[str]] = {}
    for path in (*project.modules, *project.texts):
        text = project.read(path)
        for pattern in _KNOWN:
            for match in pattern.finditer(text):
                if list(addresses(match.group("ip"))):
                    found.setdefault(match.group("ip"), set()).add(match.group("name"))
    return {address: min(names) for address, names in found.items() if len(names) == 1}


def _replaceable(seen: Collector, node: cst.CSTNode) -> bool:
    """Not a docstring, a pattern, a type argument, part of an f-string, or a fall-back already."""
    parent = seen.parents.get(node)
    if isinstance(parent, (cst.Expr, cst.MatchValue, cst.ConcatenatedString, cst.FormattedStringExpression)):
        return False
    if seen.above(node, cst.Annotation, cst.FormattedStringExpression) is not None:
        return False
    if isinstance(parent, cst.Arg):
        call = seen.parents.get(parent)
        if isinstance(call, cst.Call) and re.search(
            r"(environ\.get|getenv|get_env|(^|\.)env)$", dotted(call.func)
        ):
            return False
    return not isinstance(seen.above(node, cst.Subscript, cst.BaseStatement), cst.Subscript)


def _name(
    address: str, seen: Collector, node: cst.CSTNode, names: dict[str, str], suggest: bool, whole: bool
) -> str | None:
    known = names.get(address)
    if known is not None:
        return known
    statement = seen.parents.get(node)
    if whole and isinstance(statement, cst.Assign) and len(statement.targets) == 1:
        target = dotted(statement.targets[0].target)
        if _WHOLE.match(target):
            return target
    return "HOST_" + re.sub(r"[^0-9A-Fa-f]", "_", address).upper() if suggest else None


def _look_up(name: str, address: str, quote: str) -> cst.BaseExpression:
    return cst.parse_expression(f"os.environ.get({quote}{name}{quote}, {quote}{address}{quote})")


def _simple(
    node: cst.CSTNode, seen: Collector, names: dict[str, str], suggest: bool
) -> cst.BaseExpression | None:
    """A plain string as a look-up, or as an f-string around one."""
    if not isinstance(node, cst.SimpleString) or "b" in node.prefix.lower() or len(node.quote) == 3:
        return None
    value = node.raw_value
    found = [item for item in addresses(value) if "." in item.text]
    if len(found) != 1:
        return None
    address, offset = found[0].text, found[0].offset
    name = _name(address, seen, node, names, suggest, whole=value == address)
    if name is None:
        return None
    if value == address:
        return _look_up(name, address, node.quote)
    inner = "'" if node.quote == '"' else '"'
    before, after = _braced(value[:offset]), _braced(value[offset + len(address) :])
    look_up = f"{{os.environ.get({inner}{name}{inner}, {inner}{address}{inner})}}"
    return cst.parse_expression(f"f{node.prefix}{node.quote}{before}{look_up}{after}{node.quote}")


def _braced(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _formatted(
    node: cst.FormattedString, seen: Collector, names: dict[str, str], suggest: bool
) -> cst.BaseExpression | None:
    """An f-string with the address in its text."""
    if len(node.quote) == 3:
        return None
    inner = "'" if node.quote == '"' else '"'
    parts: list[cst.BaseFormattedStringContent] = []
    changed = False
    for part in node.parts:
        found = (
            [item for item in addresses(part.value) if "." in item.text]
            if isinstance(part, cst.FormattedStringText)
            else []
        )
        name = _name(found[0].text, seen, node, names, suggest, whole=False) if len(found) == 1 else None
        if not isinstance(part, cst.FormattedStringText) or name is None:
            parts.append(part)
            continue
        address, offset = found[0].text, found[0].offset
        pieces = (part.value[:offset], part.value[offset + len(address) :])
        if pieces[0]:
            parts.append(cst.FormattedStringText(pieces[0]))
        parts.append(cst.FormattedStringExpression(_look_up(name, address, inner)))
        if pieces[1]:
            parts.append(cst.FormattedStringText(pieces[1]))
        changed = True
    return node.with_changes(parts=parts) if changed else None
