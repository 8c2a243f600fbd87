"""Errors over ZeroMQ → ``report_error``, in two steps.

First both: the call to the bus is added beside the ZeroMQ send, so nothing is lost while listeners still use the old
way. Where a function does both already, ``bus_only`` removes the send and, when it served nothing else, its socket.
"""

from __future__ import annotations

import ast

import libcst as cst
from msgspec import Struct

from tandem.audit.fix.edits import Collector, Edit, Patient, Tree, collect, dotted, preceded_by, removed
from tandem.audit.project import Project
from tandem.audit.python.index import module_parts

_MEANINGS = {
    "error_type": ("error_type", "type", "kind", "code"),
    "message": ("message", "error_message", "error", "text", "details", "description"),
    "error_message": ("error_message", "message", "error", "text"),
    "severity": ("severity", "level"),
    "details": ("details", "context", "data"),
    "context": ("context", "details", "data"),
}
"""Parameter of a ``report_error`` → the payload keys that mean the same."""


class Reporter(Struct, frozen=True):
    """A ``report_error`` that can be called: its text, what to import for it, its parameters, how many are required."""

    call: str
    module: str
    parameters: tuple[str, ...]
    required: int


def add_bus(patient: Patient, suggest: bool) -> str:
    """Report to the bus beside every send found that does not do so yet."""
    tree = Tree(patient.text)
    seen = collect(tree, cst.Call)
    edits: dict[cst.CSTNode, Edit] = {}
    for call in seen.found:
        if not isinstance(call, cst.Call) or tree.place(call) not in patient.places or not call.args:
            continue
        line = seen.above(call, cst.SimpleStatementLine)
        function = seen.above(call, cst.FunctionDef)
        if (
            not isinstance(line, cst.SimpleStatementLine)
            or not isinstance(function, cst.FunctionDef)
            or _reports(function)
        ):
            continue
        reporter = find_reporter(patient.project, patient.path, function.name.value)
        text = _report(tree, function, call, reporter) if reporter is not None else None
        if reporter is None or text is None:
            continue
        tree.need(reporter.module, "report_error")
        edits[line] = preceded_by(text)
    return tree.apply(edits)


def bus_only(patient: Patient, suggest: bool) -> str:
    """Remove the sends found whose function reports to the bus as well, and publishers that then serve nobody."""
    tree = Tree(patient.text)
    seen = collect(tree, cst.Call, cst.Attribute, cst.Name)
    edits: dict[cst.CSTNode, Edit] = {}
    gone: set[cst.CSTNode] = set()
    for call in seen.found:
        if (
            isinstance(call, cst.Call)
            and tree.place(call) in patient.places
            and isinstance(call.func, cst.Attribute)
        ):
            function = seen.above(call, cst.FunctionDef)
            line = seen.above(call, cst.SimpleStatementLine)
            if (
                isinstance(function, cst.FunctionDef)
                and _reports(function)
                and line is not None
                and _alone(seen, line)
            ):
                gone.add(line)
    for line in gone | _idle_publishers(tree, seen, patient, gone):
        edits[line] = removed()
    return tree.apply(edits)


def _reports(function: cst.FunctionDef) -> bool:
    """The function calls ``report_error`` (and is not just called so)."""
    found = Collector((cst.Call,))
    function.body.visit(found)
    return any(
        isinstance(item, cst.Call) and dotted(item.func).rpartition(".")[2] == "report_error"
        for item in found.found
    )


def _alone(seen: Collector, line: cst.CSTNode) -> bool:
    """Removing ``line`` leaves its block with something in it."""
    block = seen.parents.get(line)
    return isinstance(block, (cst.IndentedBlock, cst.Module)) and len(block.body) > 1


def _idle_publishers(
    tree: Tree, seen: Collector, patient: Patient, gone: set[cst.CSTNode]
) -> set[cst.CSTNode]:
    """Lines that open, set up and close a publisher whose every other use goes away."""
    uses: dict[str, set[cst.CSTNode]] = {}
    opened: set[str] = set()
    for node in seen.found:
        if isinstance(node, (cst.Attribute, cst.Name)) and not isinstance(
            seen.parents.get(node), cst.Attribute
        ):
            parts = dotted(node).split(".")
            owner = ".".join(parts[:2]) if parts[0] == "self" else parts[0]
            line = seen.above(node, cst.SimpleStatementLine, cst.If, cst.Try, cst.With)
            if owner and line is not None:
                uses.setdefault(owner, set()).add(line)
                simple = isinstance(line, cst.SimpleStatementLine) and isinstance(line.body[0], cst.Assign)
                if simple and tree.place(line.body[0]) in patient.places:  # type: ignore[attr-defined]
                    opened.add(owner)
    found: set[cst.CSTNode] = set()
    for owner in opened:
        others = uses[owner] - gone
        own = {line for line in others if _only_sets_up(tree, line, owner)}
        if others == own and uses[owner] & gone and all(_alone(seen, line) for line in own):
            found |= own
    return found


def _only_sets_up(tree: Tree, line: cst.CSTNode, owner: str) -> bool:
    """``line`` opens, connects, configures or closes the publisher and does nothing else."""
    if not isinstance(line, cst.SimpleStatementLine) or len(line.body) != 1:
        return False
    statement = line.body[0]
    if isinstance(statement, cst.Assign):
        return dotted(statement.targets[0].target) == owner
    if isinstance(statement, cst.Expr) and isinstance(statement.value, cst.Call):
        return dotted(statement.value.func) in {
            f"{owner}.{name}" for name in ("connect", "bind", "setsockopt", "close")
        }
    return False


def find_reporter(project: Project, importer: str, within: str) -> Reporter | None:
    """The tree's one module-level function ``report_error``; None without one, with several, or within itself."""
    owners = [
        path for path, facts in project.modules.items() if "report_error" in facts.names and facts.compiles
    ]
    if len(owners) != 1 or (owners[0] == importer and within == "report_error"):
        return None
    try:
        tree = ast.parse(project.read(owners[0]))
    except SyntaxError:
        return None
    for item in tree.body:
        if isinstance(item, ast.FunctionDef) and item.name == "report_error":
            names = [
                argument.arg for argument in (*item.args.posonlyargs, *item.args.args, *item.args.kwonlyargs)
            ]
            spare = len(item.args.defaults) + sum(value is not None for value in item.args.kw_defaults)
            module = ".".join(module_parts(owners[0]))
            if project.index.module(module, importer) == owners[0]:
                return Reporter("report_error", module, tuple(names), len(names) - spare)
    return None


def _report(tree: Tree, function: cst.FunctionDef, call: cst.Call, reporter: Reporter) -> str | None:
    """The call to the bus, filled from the payload; None when a required argument is not to be had."""
    payload = _payload(function, call)
    if payload is None:
        return None
    arguments = []
    for number, name in enumerate(reporter.parameters):
        keys = _MEANINGS.get(name, (name,))
        value = next((payload[key] for key in keys if key in payload), None)
        if value is not None:
            arguments.append(f"{name}={tree.code(value)}")
        elif name in ("agent", "source", "service") and number < reporter.required:
            arguments.append(f"{name}=self.__class__.__name__")
        elif number < reporter.required:
            return None
    return f"{reporter.call}({', '.join(arguments)})"


def _payload(function: cst.FunctionDef, call: cst.Call) -> dict[str, cst.BaseExpression] | None:
    """Key → value of the dictionary that is sent, directly or by a name assigned in the same function."""
    found = Collector((cst.Dict, cst.Name))
    for item in call.args:
        item.value.visit(found)
    mapping = next((node for node in found.found if isinstance(node, cst.Dict)), None)
    if mapping is None:
        names = {node.value for node in found.found if isinstance(node, cst.Name)}
        assigns = Collector((cst.Assign,))
        function.body.visit(assigns)
        for assign in assigns.found:
            if (
                isinstance(assign, cst.Assign)
                and isinstance(assign.value, cst.Dict)
                and dotted(assign.targets[0].target) in names
            ):
                mapping = assign.value
    if mapping is None:
        return None
    return {
        element.key.raw_value: element.value
        for element in mapping.elements
        if isinstance(element, cst.DictElement) and isinstance(element.key, cst.SimpleString)
    }
