"""A REQ socket opened and connected by hand → one from the tree's own pool, with a limit on its receives.

Written only where the pool is known: a function ``get_req_socket(endpoint)`` that some module of the tree defines. Where
there is none, nothing is proposed: a pool is a decision, not a mend.
"""

from __future__ import annotations

import ast
from itertools import pairwise

import libcst as cst
from msgspec import Struct

from tandem.audit.fix.edits import Edit, Patient, Tree, collect, dotted, removed
from tandem.audit.fix.timeouts import ANSWER_MS
from tandem.audit.project import Project
from tandem.audit.python.index import module_parts

_GETTERS = {
    "REQ": "get_req_socket",
    "SUB": "get_sub_socket",
    "PUB": "get_pub_socket",
    "REP": "get_rep_socket",
}
_JOINS = {"REQ": "connect", "SUB": "connect", "PUB": "bind", "REP": "bind"}


class Pool(Struct, frozen=True):
    """Where a pool function is imported from, and what leads from its result to the socket (``.socket`` or nothing)."""

    module: str
    name: str
    suffix: str


def mend(patient: Patient, suggest: bool) -> str:
    """Take the sockets found in ``patient`` from the pool."""
    tree = Tree(patient.text)
    edits: dict[cst.CSTNode, Edit] = {}
    for block in collect(tree, cst.IndentedBlock, cst.Module).found:
        statements = block.body if isinstance(block, (cst.IndentedBlock, cst.Module)) else ()
        for opening, joining in pairwise(statements):
            _pair(tree, patient, opening, joining, suggest, edits)
    return tree.apply(edits)


def _pair(
    tree: Tree,
    patient: Patient,
    opening: cst.CSTNode,
    joining: cst.CSTNode,
    suggest: bool,
    edits: dict[cst.CSTNode, Edit],
) -> None:
    """``x = context.socket(zmq.REQ)`` followed at once by ``x.connect(endpoint)``."""
    assign, call = _only(opening, cst.Assign), _only(joining, cst.Expr)
    if not isinstance(assign, cst.Assign) or not isinstance(call, cst.Expr) or len(assign.targets) != 1:
        return
    made, joined = assign.value, call.value
    if (
        not isinstance(made, cst.Call)
        or not isinstance(joined, cst.Call)
        or tree.place(made) not in patient.places
        or not made.args
    ):
        return
    target = dotted(assign.targets[0].target)
    prefix, _, kind = dotted(made.args[0].value).rpartition(".")
    if (
        not target
        or not prefix
        or kind not in _GETTERS
        or dotted(joined.func) != f"{target}.{_JOINS[kind]}"
        or len(joined.args) != 1
    ):
        return
    pool = find_pool(patient.project, patient.path, _GETTERS[kind])
    if pool is None or (kind != "REQ" and not suggest):
        return
    tree.need(pool.module, pool.name)
    value = cst.parse_expression(
        f"{pool.name}({tree.code(joined.args[0].value)}){pool.suffix}", tree.module.config_for_parsing
    )
    edits[assign] = lambda updated: updated.with_changes(value=value)
    if kind == "REQ":
        limit = cst.parse_statement(f"{target}.setsockopt({prefix}.RCVTIMEO, {ANSWER_MS})\n")
        edits[joining] = lambda updated: limit.with_changes(leading_lines=updated.leading_lines)
    else:
        edits[joining] = removed()


def _only(statement: cst.CSTNode, kind: type[cst.CSTNode]) -> cst.CSTNode | None:
    if (
        isinstance(statement, cst.SimpleStatementLine)
        and len(statement.body) == 1
        and isinstance(statement.body[0], kind)
    ):
        return statement.body[0]
    return None


def find_pool(project: Project, importer: str, getter: str) -> Pool | None:
    """The pool function of the tree called ``getter``; None without one, or with several."""
    owners = [
        path
        for path, facts in project.modules.items()
        if getter in facts.names and path != importer and "get_req_socket" in facts.names
    ]
    if len(owners) != 1:
        return None
    suffix = _suffix(project, owners[0], getter)
    module = ".".join(module_parts(owners[0]))
    return (
        Pool(module, getter, suffix)
        if suffix is not None and project.index.module(module, importer) == owners[0]
        else None
    )


def _suffix(project: Project, path: str, getter: str) -> str | None:
    """How the socket is reached from what the pool returns; None when that cannot be told."""
    try:
        tree = ast.parse(project.read(path))
    except SyntaxError:
        return None
    function = next(
        (item for item in tree.body if isinstance(item, ast.FunctionDef) and item.name == getter), None
    )
    if function is None:
        return None
    wrapped = ast.unparse(function.returns).strip("'\"") if function.returns is not None else ""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == wrapped:
            has = any(isinstance(part, ast.Attribute) and part.attr == "socket" for part in ast.walk(node))
            fields = any(
                isinstance(part, ast.AnnAssign) and ast.unparse(part.target) == "socket" for part in node.body
            )
            return ".socket" if has or fields else None
    return "" if wrapped in ("zmq.Socket", "Socket") else None
