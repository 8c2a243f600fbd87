"""Log files that grow for ever, or that several processes write at once."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tandem.audit.model import Finding, Rule, Severity
from tandem.audit.project import Project
from tandem.audit.python.module import PyModule, keyword, text_of
from tandem.audit.rules.sharing import Opener, openers
from tandem.audit.source import is_test_path


def _module(module: PyModule) -> Iterator[Finding]:
    text = module.source.text
    if module.source.is_test or (
        "FileHandler" not in text and "basicConfig" not in text and "loguru" not in text
    ):
        return
    for call in module.nodes(ast.Call):
        message, fixable = _complaint(module, call)
        if message:
            yield RULE.at(module.path, call.lineno, call.col_offset + 1, message, fixable=fixable)
    for node in module.nodes(ast.Constant):
        if node.value in ("logging.FileHandler", "logging.handlers.FileHandler") and _in_dict(module, node):
            message = (
                "`logging.FileHandler` in this configuration never rotates: the file grows until the "
                "disk is full"
            )
            yield RULE.at(module.path, node.lineno, node.col_offset + 1, message, fixable=True)


def _complaint(module: PyModule, call: ast.Call) -> tuple[str, bool]:
    name = module.dotted(call.func)
    if name == "logging.FileHandler":
        return "`FileHandler` never rotates: the file grows until the disk is full", True
    if name == "logging.basicConfig" and keyword(call, "filename") is not None:
        return "`basicConfig(filename=...)` opens a file that never rotates", True
    if name == "logging.handlers.RotatingFileHandler":
        return _rotating(call)
    if name == "loguru.logger.add" and call.args and keyword(call, "rotation") is None:
        sink = call.args[0]
        literal = text_of(sink) or (text_of(sink.values[0]) if isinstance(sink, ast.JoinedStr) else None)
        if literal is not None or (isinstance(sink, ast.BinOp) and isinstance(sink.op, ast.Div)):
            return "`logger.add` without `rotation=` opens a file that grows until the disk is full", False
    return "", False


def _rotating(call: ast.Call) -> tuple[str, bool]:
    if any(item.arg is None for item in call.keywords):
        return "", False
    for option, position in (("maxBytes", 2), ("backupCount", 3)):
        value = keyword(call, option, position)
        if value is None or (isinstance(value, ast.Constant) and value.value == 0):
            return f"`RotatingFileHandler` without `{option}` never rotates", True
    return "", False


def _in_dict(module: PyModule, node: ast.Constant) -> bool:
    parent = module.parent(node)
    if not isinstance(parent, ast.Dict) or node not in parent.values:
        return False
    return text_of(parent.keys[parent.values.index(node)]) == "class"


def _project(project: Project) -> Iterator[Finding]:
    for path, users in openers(project, "log").items():
        processes = sorted({process for user in users for process in user.processes})
        if len(processes) < 2:
            continue
        for user in users:
            if not is_test_path(user.path):
                yield _shared(path, user, processes)


def _shared(path: str, user: Opener, processes: list[str]) -> Finding:
    named = ", ".join(processes[:4]) + (f" and {len(processes) - 4} more" if len(processes) > 4 else "")
    message = (
        f"{len(processes)} processes write `{path}` at once ({named}): lines mix, and rotation loses them"
    )
    return RULE.at(user.path, user.line, user.column, message)


RULE = Rule(
    id="log-without-rotation",
    title="A log file that grows for ever or is shared by processes",
    severity=Severity.WARNING,
    why="One noisy night fills the disk, and then every agent on the machine fails at once.",
    how=(
        "Log to stderr and let the supervisor rotate, or use `RotatingFileHandler(maxBytes=..., "
        "backupCount=...)`, one file a process."
    ),
    module=_module,
    project=_project,
)
