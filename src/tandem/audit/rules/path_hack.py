"""Import paths edited at run time, and files found only when started from the right folder."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.python.module import PyModule, keyword, text_of

_EDITS = frozenset(
    {"sys.path.insert", "sys.path.append", "sys.path.extend", "sys.path.remove", "site.addsitedir"}
)
_CWD = frozenset({"os.getcwd", "os.getcwdb", "pathlib.Path.cwd"})
_OPENS = frozenset(
    {"open", "io.open", "codecs.open", "os.open", "os.makedirs", "os.mkdir", "os.listdir", "os.scandir"}
)
_PATH_METHODS = frozenset({
    "open", "read_text", "write_text", "read_bytes", "write_bytes", "mkdir", "iterdir", "glob", "rglob", "unlink", "touch",
})  # fmt: skip


_BUILD = re.compile(r"(^|/)(setup\.py|docs?/(source/)?conf\.py)$")
"""Run by build tools from a folder those tools choose."""


def _module(module: PyModule) -> Iterator[Finding]:
    if module.source.is_test or _BUILD.search(module.path):
        return
    for call in module.nodes(ast.Call):
        name = module.dotted(call.func)
        line, column = call.lineno, call.col_offset + 1
        if name in _EDITS:
            yield RULE.at(
                module.path, line, column, f"`{name}` changes where imports are found while the program runs"
            )
        elif name == "os.chdir" and not (call.args and text_of(call.args[0]) == "/"):
            yield RULE.at(
                module.path,
                line,
                column,
                "`os.chdir` moves the whole process, every thread and relative path included",
            )
        elif name in _CWD and _builds_path(module, call):
            yield RULE.at(
                module.path, line, column, "takes the folder it was started from for a fixed place",
                confidence=Confidence.MEDIUM,
            )  # fmt: skip
        else:
            relative = _relative_file(module, call, name)
            if relative:
                message = f"opens `{relative}` relative to wherever the process was started"
                yield RULE.at(
                    module.path, line, column, message, severity=Severity.NOTE, confidence=Confidence.MEDIUM
                )
    assignments: list[ast.Assign | ast.AugAssign] = [*module.nodes(ast.Assign), *module.nodes(ast.AugAssign)]
    for node in assignments:
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        for target in targets:
            if _is_import_path(module, target):
                yield RULE.at(
                    module.path,
                    node.lineno,
                    node.col_offset + 1,
                    "replaces the import path while the program runs",
                )


def _builds_path(module: PyModule, call: ast.Call) -> bool:
    """The working directory is joined with something, rather than remembered or shown."""
    parent = module.parent(call)
    if isinstance(parent, ast.BinOp):
        return isinstance(parent.op, (ast.Div, ast.Add))
    if isinstance(parent, ast.Attribute):
        return parent.attr == "joinpath"
    if isinstance(parent, ast.Call) and len(parent.args) > 1 and parent.args[0] is call:
        return module.dotted(parent.func) in ("os.path.join", "pathlib.Path", "pathlib.PurePath")
    return isinstance(parent, ast.FormattedValue) and _before_slash(module, parent)


def _before_slash(module: PyModule, part: ast.FormattedValue) -> bool:
    """In an f-string, what follows the placeholder is the rest of a path."""
    whole = module.parent(part)
    if not isinstance(whole, ast.JoinedStr):
        return False
    after = whole.values[whole.values.index(part) + 1 :]
    text = text_of(after[0]) if after else None
    return text is not None and text.startswith(("/", "\\"))


def _is_import_path(module: PyModule, target: ast.expr) -> bool:
    if isinstance(target, ast.Subscript):
        if module.dotted(target.value) == "os.environ":
            return text_of(target.slice) == "PYTHONPATH"
        return module.dotted(target.value) == "sys.path"
    return module.dotted(target) == "sys.path"


def _relative_file(module: PyModule, call: ast.Call, name: str) -> str:
    """The literal relative path a call opens, if it opens one."""
    if name in _OPENS:
        return _relative(module, keyword(call, "file", 0) or keyword(call, "path") or keyword(call, "name"))
    if isinstance(call.func, ast.Attribute) and call.func.attr in _PATH_METHODS:
        inner = call.func.value
        if (
            isinstance(inner, ast.Call)
            and module.dotted(inner.func) in ("pathlib.Path", "Path")
            and len(inner.args) == 1
        ):
            return _relative(module, inner.args[0])
    return ""


def _relative(module: PyModule, node: ast.expr | None) -> str:
    if isinstance(node, ast.Name) and module.function_of(node) is None:
        node = module.constants.get(node.id, node)
    if isinstance(node, ast.Call) and module.dotted(node.func) == "os.path.join" and node.args:
        node = node.args[0]
    text = text_of(node)
    if text is None or not text.strip("./") or re.match(r"[/~\\]|[A-Za-z]:[\\/]|\w+://|-$|<|\$|%|\{", text):
        return ""
    return text


RULE = Rule(
    id="path-hack",
    title="Imports or files depend on where the program was started",
    severity=Severity.WARNING,
    why="It works from one folder and fails from another: in a container, under a supervisor, in a test.",
    how=(
        "Install the tree as a package and import it by name; build file paths from `Path(__file__)` or "
        "a setting."
    ),
    module=_module,
)
