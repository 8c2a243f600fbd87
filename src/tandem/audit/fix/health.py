"""Health answers → the one form: status, service, machine, timestamp, issues.

Keys an answer has beyond these stay. Changing the *word* is certain only when nothing in the tree looks for the old one.
"""

from __future__ import annotations

import re

import libcst as cst

from tandem.audit.fix.edits import Collector, Edit, Editor, Patient, Tree, becomes, collect
from tandem.audit.project import Project

_GOOD = frozenset(
    {
        "ok",
        "okay",
        "running",
        "alive",
        "up",
        "online",
        "active",
        "success",
        "ready",
        "good",
        "fine",
        "operational",
        "live",
    }
)
_BAD = frozenset({"down", "offline", "error"})
_FORM = frozenset({"healthy", "degraded", "unhealthy", "starting", "stopping"})


def mend(patient: Patient, suggest: bool) -> str:
    """Give the health answers found in ``patient`` the one form."""
    tree = Tree(patient.text)
    seen = collect(tree, cst.Dict)
    edits: dict[cst.CSTNode, Edit] = {}
    for node in seen.found:
        if (
            isinstance(node, cst.Dict)
            and tree.place(node) in patient.places
            and (suggest or not _for_the_web(seen, node))
        ):
            new = _form(tree, seen, node, patient, suggest)
            if new is not None:
                edits[node] = becomes(new)
    return tree.apply(edits)


def _for_the_web(seen: Collector, node: cst.Dict) -> bool:
    """The answer of a route: load balancers and the like, outside the tree, may look for its very words."""
    function = seen.above(node, cst.FunctionDef)
    return isinstance(function, cst.FunctionDef) and any(
        isinstance(item.decorator, cst.Call)
        and item.decorator.args
        and isinstance(item.decorator.args[0].value, cst.SimpleString)
        and item.decorator.args[0].value.raw_value.startswith("/")
        for item in function.decorators
    )


def _form(tree: Tree, seen: Collector, node: cst.Dict, patient: Patient, suggest: bool) -> cst.Dict | None:
    entries = {
        item.key.raw_value: item
        for item in node.elements
        if isinstance(item, cst.DictElement) and isinstance(item.key, cst.SimpleString)
    }
    status = entries.get("status")
    if status is None or len(entries) != len(node.elements):
        return None
    words = Collector((cst.SimpleString,))
    status.value.visit(words)
    changed: dict[cst.CSTNode, Edit] = {}
    for word in words.found:
        if isinstance(word, cst.SimpleString) and word.raw_value not in _FORM:
            better = _better(word.raw_value)
            if better is None or not (suggest or not asked_for(patient.project, word.raw_value)):
                return None
            changed[word] = becomes(word.with_changes(value=f"{word.prefix}{word.quote}{better}{word.quote}"))
    if not words.found and not suggest:
        return None
    return _completed(tree, seen, node, entries, status, changed)


def _better(word: str) -> str | None:
    if word.lower() in _GOOD:
        return "healthy"
    return "unhealthy" if word.lower() in _BAD else None


def _completed(
    tree: Tree,
    seen: Collector,
    node: cst.Dict,
    entries: dict[str, cst.DictElement],
    status: cst.DictElement,
    changed: dict[cst.CSTNode, Edit],
) -> cst.Dict:
    quote = status.key.quote if isinstance(status.key, cst.SimpleString) else '"'
    owner = seen.above(node, cst.ClassDef)
    service = f"{quote}{owner.name.value}{quote}" if isinstance(owner, cst.ClassDef) else "__name__"
    values = {"service": service, "machine": "platform.node()", "timestamp": "time.time()", "issues": "[]"}
    missing = [name for name in values if name not in entries]
    for module in ("platform",) * ("machine" in missing) + ("time",) * ("timestamp" in missing):
        tree.need(module)
    first, last = node.elements[0], node.elements[-1]
    space = first.comma.whitespace_after if isinstance(first.comma, cst.Comma) else cst.SimpleWhitespace(" ")
    added = [
        cst.DictElement(
            cst.SimpleString(f"{quote}{name}{quote}"),
            cst.parse_expression(values[name]),
            comma=cst.Comma(whitespace_after=space),
        )
        for name in missing
    ]
    elements = [
        item.with_changes(value=_edited(item.value, changed)) if item is status else item
        for item in node.elements
    ]
    if added:
        elements[-1] = elements[-1].with_changes(comma=cst.Comma(whitespace_after=space))
        added[-1] = added[-1].with_changes(comma=last.comma)
    return node.with_changes(elements=[*elements, *added])


def _edited(value: cst.BaseExpression, changed: dict[cst.CSTNode, Edit]) -> cst.CSTNode:
    """``value`` with the words within it changed."""
    edited = value.visit(Editor(changed))
    assert isinstance(edited, cst.CSTNode)
    return edited


def asked_for(project: Project, word: str) -> bool:
    """Somewhere in the tree a status is compared with ``word``."""
    compared = re.compile(
        rf"""(status|state|health)\W[^\n]*(==|!=|\bin\b)[^\n]*["']{re.escape(word)}["']|["']{re.escape(word)}["']\s*(==|!=)"""
    )
    return any(compared.search(project.read(path)) for path in project.modules)
