"""Threads and event loops mixed so that one stalls or never runs the other."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.project import Project
from tandem.audit.python.module import FUNCTIONS, Function, PyModule, keyword
from tandem.audit.source import is_test_path

_BLOCKING = re.compile(
    r"^(time\.sleep|requests\.(get|post|put|delete|patch|head|options|request)|urllib\.request\.urlopen|urllib3\.request"
    r"|httpx\.(get|post|put|delete|patch|head|request)|subprocess\.(run|call|check_call|check_output|getoutput|getstatusoutput)"
    r"|os\.(system|wait|waitpid)|socket\.(create_connection|getaddrinfo|gethostbyname)|select\.select|zmq\.select|input)$"
)
_RUNS_LOOP = re.compile(r"^asyncio\.(run|Runner)$|\.(run_until_complete|run_forever)$")
_MAKES_TASK = re.compile(r"^asyncio\.(create_task|ensure_future|get_running_loop|current_task)$")
_EXECUTORS = re.compile(r"(^|\.)(run_in_executor|submit|to_thread|call_soon_threadsafe|map)$")


def _module(module: PyModule) -> Iterator[Finding]:
    if module.source.is_test or (
        "asyncio" not in module.source.text and "async def" not in module.source.text
    ):
        return
    yield from _blocking(module)
    yield from _loops_in_threads(module)
    yield from _tasks_without_loop(module)


def _blocking(module: PyModule) -> Iterator[Finding]:
    if not module.nodes(ast.AsyncFunctionDef):
        return
    for call in module.nodes(ast.Call):
        name = module.dotted(call.func)
        function = module.function_of(call)
        if not isinstance(function, ast.AsyncFunctionDef) or isinstance(module.parent(call), ast.Await):
            continue
        if _BLOCKING.match(name) and not (name == "input" and "input" in module.imports):
            message = f"`{name}` blocks the event loop: nothing else in this process runs meanwhile"
            yield RULE.at(module.path, call.lineno, call.col_offset + 1, message)
        elif name == "asyncio.run" or name.endswith(".run_until_complete"):
            message = (
                f"`{name.rpartition('.')[2]}` inside a coroutine: a loop is running already, this raises "
                "RuntimeError"
            )
            yield RULE.at(module.path, call.lineno, call.col_offset + 1, message, severity=Severity.ERROR)
        elif name.endswith(".result") or (
            isinstance(call.func, ast.Attribute) and call.func.attr == "result"
        ):
            inner = call.func.value if isinstance(call.func, ast.Attribute) else None
            if (
                isinstance(inner, ast.Call)
                and module.dotted(inner.func) == "asyncio.run_coroutine_threadsafe"
            ):
                message = "waits in the loop for a coroutine of the same loop: neither ever continues"
                yield RULE.at(module.path, call.lineno, call.col_offset + 1, message)


def _loops_in_threads(module: PyModule) -> Iterator[Finding]:
    for call in module.nodes(ast.Call):
        name = module.dotted(call.func)
        if name not in ("threading.Thread", "threading.Timer", "Thread", "multiprocessing.dummy.Process"):
            continue
        target = keyword(call, "target", 1)
        if target is not None and _runs_loop(module, target):
            message = (
                "starts an event loop in a thread: its objects must not be touched from the other loop "
                "or thread"
            )
            yield RULE.at(module.path, call.lineno, call.col_offset + 1, message)


def _runs_loop(module: PyModule, target: ast.expr) -> bool:
    if isinstance(target, ast.Lambda):
        return any(
            isinstance(part, ast.Call) and _RUNS_LOOP.search(_name(module, part)) for part in ast.walk(target)
        )
    if _RUNS_LOOP.search(module.dotted(target) or _tail(target)):
        return True
    function = _function(module, target)
    if function is None:
        return False
    return any(
        isinstance(part, ast.Call)
        and _RUNS_LOOP.search(_name(module, part))
        and module.function_of(part) is function
        for part in ast.walk(function)
    )


def _name(module: PyModule, call: ast.Call) -> str:
    return module.dotted(call.func) or _tail(call.func)


def _tail(node: ast.expr) -> str:
    return f".{node.attr}" if isinstance(node, ast.Attribute) else ""


def _function(module: PyModule, target: ast.expr) -> Function | None:
    """The function of this module that an expression names: ``f``, ``self.f``."""
    if isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
        owner = module.class_of(target)
        body: list[ast.stmt] = owner.body if owner is not None else []
        return next((item for item in body if isinstance(item, FUNCTIONS) and item.name == target.attr), None)
    if isinstance(target, ast.Name):
        candidates = [item for item in module.functions if item.name == target.id]
        enclosing = [module.function_of(target), None]
        for scope in enclosing:
            found = [
                item
                for item in candidates
                if module.function_of(item) is scope and module.class_of(item) is module.class_of(target)
            ]
            if len(found) == 1:
                return found[0]
        outer = [item for item in candidates if isinstance(module.parent(item), ast.Module)]
        return outer[0] if len(outer) == 1 else None
    return None


def _tasks_without_loop(module: PyModule) -> Iterator[Finding]:
    """Tasks made where no loop runs: at import, in a thread, or on a plain path from the module's top level."""
    calls = [call for call in module.nodes(ast.Call) if _MAKES_TASK.match(module.dotted(call.func))]
    if not calls:
        return
    outside = _without_loop(module)
    for call in calls:
        function = module.function_of(call)
        name = module.dotted(call.func).rpartition(".")[2]
        if function is None:
            message = f"`{name}` at import time: no loop is running, this raises RuntimeError"
        elif function in outside and not _guarded(module, call):
            message = (
                f"`{name}` in `{_label(function)}`, which runs {outside[function]} where no loop is running"
            )
        else:
            continue
        if name == "ensure_future" and call.args and not isinstance(call.args[0], ast.Call):
            continue
        if keyword(call, "loop") is not None:
            continue
        yield RULE.at(module.path, call.lineno, call.col_offset + 1, message, severity=Severity.ERROR)


def _label(function: ast.AST) -> str:
    return getattr(function, "name", "lambda")


def _guarded(module: PyModule, node: ast.AST) -> bool:
    """Inside a ``try`` that catches RuntimeError: the author asks whether a loop runs."""
    child = node
    for above in module.ancestors(node):
        if isinstance(above, ast.Try) and child in above.body:
            names = [
                module.dotted(item)
                for handler in above.handlers
                if handler.type
                for item in ast.walk(handler.type)
            ]
            if "RuntimeError" in names or any(
                handler.type is None or "Exception" in names for handler in above.handlers
            ):
                return True
        if isinstance(above, FUNCTIONS):
            return False
        child = above
    return False


def _without_loop(module: PyModule) -> dict[ast.AST, str]:
    """Plain functions sure to run outside any loop, with how they come to run."""
    found: dict[ast.AST, str] = {}
    called_from_coroutines = _callees(module, coroutines=True)
    pending: list[tuple[Function, str]] = []
    for call in module.nodes(ast.Call):
        name = module.dotted(call.func)
        if name in ("threading.Thread", "Thread", "threading.Timer"):
            target = keyword(call, "target", 1)
            function = _function(module, target) if target is not None else None
            if function is not None:
                pending.append((function, "in a thread"))
        elif module.function_of(call) is None:
            pending.extend((function, "when the file is run") for function in _called(module, call))
    while pending:
        function, how = pending.pop()
        if (
            function in found
            or isinstance(function, ast.AsyncFunctionDef)
            or function in called_from_coroutines
        ):
            continue
        if any(isinstance(part, ast.Call) and _sets_loop(module, part) for part in ast.walk(function)):
            continue
        found[function] = how
        for part in ast.walk(function):
            if isinstance(part, ast.Call) and module.function_of(part) is function:
                pending.extend((below, how) for below in _called(module, part))
    return found


def _sets_loop(module: PyModule, call: ast.Call) -> bool:
    return _RUNS_LOOP.search(_name(module, call)) is not None


def _called(module: PyModule, call: ast.Call) -> list[Function]:
    """Functions of this module that a call enters at once: by name, by ``self``, or a constructor."""
    function = _function(module, call.func)
    if function is not None:
        return [function]
    if isinstance(call.func, ast.Name):
        for owner in module.nodes(ast.ClassDef):
            if owner.name == call.func.id:
                return [
                    item for item in owner.body if isinstance(item, FUNCTIONS) and item.name == "__init__"
                ]
    if (
        isinstance(call.func, ast.Attribute)
        and isinstance(call.func.value, ast.Call)
        and isinstance(call.func.value.func, ast.Name)
    ):
        for owner in module.nodes(ast.ClassDef):
            if owner.name == call.func.value.func.id:
                return [
                    item for item in owner.body if isinstance(item, FUNCTIONS) and item.name == call.func.attr
                ]
    return []


def _callees(module: PyModule, *, coroutines: bool) -> set[ast.AST]:
    """Plain functions reached from coroutines of this module, where a loop does run."""
    pending: list[Function] = []
    for call in module.nodes(ast.Call):
        if isinstance(module.function_of(call), ast.AsyncFunctionDef) == coroutines:
            pending.extend(_called(module, call))
    found: set[ast.AST] = set()
    while pending:
        function = pending.pop()
        if function not in found:
            found.add(function)
            for part in ast.walk(function):
                if isinstance(part, ast.Call):
                    pending.extend(_called(module, part))
    return found


def _project(project: Project) -> Iterator[Finding]:
    """A blocking receive on an ordinary socket inside a coroutine."""
    for read in project.reads:
        ordinary = bool(read.endless) and not any(origin.site.asynchronous for origin in read.known)
        if read.receive.coroutine and ordinary and not is_test_path(read.path):
            message = (
                f"`{read.receive.method}` of an ordinary socket blocks the event loop: use `zmq.asyncio`"
            )
            yield RULE.at(
                read.path, read.receive.line, read.receive.column, message, confidence=Confidence.MEDIUM
            )


RULE = Rule(
    id="threads-and-asyncio",
    title="Threads and event loops mixed",
    severity=Severity.WARNING,
    why="A blocking call in a coroutine stops every other task of the process, its health answers first.",
    how=(
        "Await an asynchronous equivalent, or move the call away with `asyncio.to_thread`; start one "
        "loop, in the main thread."
    ),
    module=_module,
    project=_project,
)
