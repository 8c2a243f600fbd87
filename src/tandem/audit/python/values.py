"""What an expression is worth, as far as that can be told without running anything.

Paths are folded to a form in which two modules that mean the same file write the same text: relative to the
tree (the working directory is taken to be its root), with ``<...>`` for a part only another module knows.
"""

from __future__ import annotations

import ast
import posixpath
from functools import cached_property

from tandem.audit.python.module import FUNCTIONS, Function, PyModule, keyword, text_of

_SAME = {"resolve", "absolute", "as_posix", "expanduser", "expandvars"}
_SAME_CALLS = {
    "str", "os.fspath", "os.path.abspath", "os.path.realpath", "os.path.normpath", "os.path.expanduser",
    "os.path.expandvars", "pathlib.Path", "pathlib.PurePath", "pathlib.PosixPath", "Path",
}  # fmt: skip
_ENVIRONMENT = {"os.environ.get", "os.getenv", "getattr"}
_DEPTH = 12
"""Folding stops after this many steps: deeper chains are loops or generated code."""


class Values:
    """Folds expressions of one module."""

    def __init__(self, module: PyModule) -> None:
        self.module = module

    @cached_property
    def _locals(self) -> dict[tuple[ast.AST | None, str], list[ast.expr]]:
        """(function or None, name) → what is assigned to the name there."""
        table: dict[tuple[ast.AST | None, str], list[ast.expr]] = {}
        for node in self.module.nodes(ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    table.setdefault((self.module.function_of(node), target.id), []).append(node.value)
        for annotated in self.module.nodes(ast.AnnAssign):
            if isinstance(annotated.target, ast.Name) and annotated.value is not None:
                table.setdefault((self.module.function_of(annotated), annotated.target.id), []).append(
                    annotated.value
                )
        return table

    @cached_property
    def _attributes(self) -> dict[tuple[ast.ClassDef | None, str], list[ast.expr]]:
        """(class, attribute) → what ``self.attribute`` or the class body assigns."""
        table: dict[tuple[ast.ClassDef | None, str], list[ast.expr]] = {}
        nodes: list[ast.Assign | ast.AnnAssign] = [
            *self.module.nodes(ast.Assign),
            *self.module.nodes(ast.AnnAssign),
        ]
        for node in nodes:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if node.value is None:
                continue
            for target in targets:
                if (
                    isinstance(target, ast.Attribute)
                    and isinstance(target.value, ast.Name)
                    and target.value.id == "self"
                ):
                    table.setdefault((self.module.class_of(node), target.attr), []).append(node.value)
                elif isinstance(target, ast.Name) and isinstance(self.module.parent(node), ast.ClassDef):
                    table.setdefault((self.module.class_of(node), target.id), []).append(node.value)
        return table

    def origin(self, node: ast.expr) -> ast.expr | None:
        """The one expression assigned to a name or ``self`` attribute; None when there is none or several."""
        found: list[ast.expr] | None = None
        if isinstance(node, ast.Name):
            function = self.module.function_of(node)
            while function is not None and found is None:
                found = self._locals.get((function, node.id)) or _default(function, node.id)
                function = self.module.function_of(function)
            if found is None:
                found = self._locals.get((None, node.id))
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in ("self", "cls")
        ):
            found = self._attributes.get((self.module.class_of(node), node.attr))
        if not found:
            return None
        real = [value for value in found if not (isinstance(value, ast.Constant) and value.value is None)]
        return real[0] if len(real) == 1 else None

    def text(self, node: ast.expr | None, depth: int = _DEPTH) -> str | None:
        """The string an expression is sure to be."""
        if node is None or depth == 0:
            return None
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = self.text(node.left, depth - 1), self.text(node.right, depth - 1)
            return left + right if left is not None and right is not None else None
        if isinstance(node, ast.JoinedStr):
            parts = [self.text(_part(value), depth - 1) for value in node.values]
            return "".join(part for part in parts if part is not None) if None not in parts else None
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self.text(self.origin(node), depth - 1)
        return None

    def number(self, node: ast.expr | None, depth: int = _DEPTH) -> int | float | None:
        """The number an expression is sure to be."""
        if node is None or depth == 0:
            return None
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            value = self.number(node.operand, depth - 1)
            return -value if value is not None else None
        if isinstance(node, ast.Constant):
            return (
                node.value
                if isinstance(node.value, (int, float)) and not isinstance(node.value, bool)
                else None
            )
        if isinstance(node, ast.Call) and self.module.dotted(node.func) in ("int", "float") and node.args:
            return self.number(node.args[0], depth - 1)
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self.number(self.origin(node), depth - 1)
        return None

    def path(self, node: ast.expr | None) -> str | None:
        """The file an expression names, relative to the tree or absolute; None when nothing is known about it."""
        folded = self._path(node, _DEPTH)
        if folded is None or folded in ("", ":memory:"):
            return None
        if folded.startswith("file:"):
            folded = folded.removeprefix("file:").partition("?")[0]
        return posixpath.normpath(folded).removeprefix("./")

    def _path(self, node: ast.expr | None, depth: int) -> str | None:
        if node is None or depth == 0:
            return None
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, str) else None
        if isinstance(node, ast.Name) and node.id == "__file__":
            return self.module.path
        if isinstance(node, (ast.Name, ast.Attribute)):
            return self._named_path(node, depth)
        if isinstance(node, ast.BinOp):
            return self._joined_path(node, depth)
        if isinstance(node, ast.JoinedStr):
            parts = [self._path(_part(value), depth - 1) for value in node.values]
            return "".join(part for part in parts if part is not None) if None not in parts else None
        if isinstance(node, ast.Subscript):
            return self._parents_path(node, depth)
        if isinstance(node, ast.BoolOp):
            return self._path(node.values[-1], depth - 1)
        if isinstance(node, ast.IfExp):
            return self._path(node.body, depth - 1) or self._path(node.orelse, depth - 1)
        if isinstance(node, ast.Call):
            return self._called_path(node, depth)
        return None

    def _named_path(self, node: ast.Name | ast.Attribute, depth: int) -> str | None:
        if isinstance(node, ast.Attribute) and node.attr == "parent":
            inner = self._path(node.value, depth - 1)
            return posixpath.dirname(inner) if inner is not None else None
        origin = self.origin(node)
        if origin is not None:
            return self._path(origin, depth - 1)
        parameter = self.parameter(node)
        if parameter:
            return f"<param {parameter}>"
        dotted = self.module.dotted(node)
        head = dotted.partition(".")[0]
        return (
            f"<{dotted}>"
            if dotted and head not in ("self", "cls") and dotted != getattr(node, "id", "")
            else None
        )

    def parameter(self, node: ast.expr) -> str:
        """``function#name`` when the expression is a parameter without default, directly or kept in ``self``."""
        if isinstance(node, ast.Attribute):
            found = self._attributes.get((self.module.class_of(node), node.attr), [])
            return self.parameter(found[0]) if len(found) == 1 and isinstance(found[0], ast.Name) else ""
        if not isinstance(node, ast.Name):
            return ""
        function = self.module.function_of(node)
        if isinstance(function, FUNCTIONS) and node.id in _parameters(function):
            return f"{self.module.qualname(function)}#{node.id}"
        return ""

    def _joined_path(self, node: ast.BinOp, depth: int) -> str | None:
        left, right = self._path(node.left, depth - 1), self._path(node.right, depth - 1)
        if left is None or right is None:
            return None
        if isinstance(node.op, ast.Div):
            return posixpath.join(left, right)
        return left + right if isinstance(node.op, ast.Add) else None

    def _parents_path(self, node: ast.Subscript, depth: int) -> str | None:
        level = self.number(node.slice)
        if (
            not isinstance(node.value, ast.Attribute)
            or node.value.attr != "parents"
            or not isinstance(level, int)
        ):
            return None
        inner = self._path(node.value.value, depth - 1)
        for _ in range(level + 1):
            inner = posixpath.dirname(inner) if inner is not None else None
        return inner

    def _called_path(self, node: ast.Call, depth: int) -> str | None:
        name = self.module.dotted(node.func)
        if name in ("os.getcwd", "pathlib.Path.cwd", "Path.cwd"):
            return ""
        if name == "os.path.dirname" and node.args:
            inner = self._path(node.args[0], depth - 1)
            return posixpath.dirname(inner) if inner is not None else None
        if name in _ENVIRONMENT or (isinstance(node.func, ast.Attribute) and node.func.attr == "get"):
            position = 2 if name == "getattr" else 1
            return self._path(keyword(node, "default", position), depth - 1)
        if (
            name == "os.path.join"
            or name.endswith(".join_path")
            or (name in _SAME_CALLS and len(node.args) > 1)
        ):
            parts = [self._path(argument, depth - 1) for argument in node.args]
            return posixpath.join(*[part or "" for part in parts]) if parts and None not in parts else None
        if name in _SAME_CALLS and node.args:
            return self._path(node.args[0], depth - 1)
        if isinstance(node.func, ast.Attribute):
            if node.func.attr in _SAME:
                return self._path(node.func.value, depth - 1)
            if node.func.attr == "joinpath":
                parts = [self._path(part, depth - 1) for part in (node.func.value, *node.args)]
                return posixpath.join(*[part or "" for part in parts]) if None not in parts else None
        if "root" in name.lower() and not node.args:
            return ""
        return (
            f"<{name}()>" if name and not node.args and "." in name and not name.startswith("self.") else None
        )


def _part(value: ast.expr) -> ast.expr:
    return value.value if isinstance(value, ast.FormattedValue) else value


def _parameters(function: Function) -> list[str]:
    arguments = function.args
    return [item.arg for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]


def _default(function: Function | ast.Lambda, name: str) -> list[ast.expr] | None:
    """The default of a parameter as a one-item list; an empty one for a parameter without default."""
    arguments = function.args
    positional = [*arguments.posonlyargs, *arguments.args]
    for item, value in zip(reversed(positional), reversed(arguments.defaults), strict=False):
        if item.arg == name:
            return [value]
    for item, given in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        if item.arg == name:
            return [given] if given is not None else []
    return [] if any(item.arg == name for item in positional) else None


def parameters(function: Function) -> list[str]:
    """Names of a function's parameters in order, keyword-only ones last."""
    return _parameters(function)


def parameters_of(scope: Function | ast.Lambda | None) -> list[str]:
    """:func:`parameters` of what :meth:`PyModule.function_of` returns; empty at module level."""
    return _parameters(scope) if isinstance(scope, FUNCTIONS) else []


def environment_name(module: PyModule, call: ast.Call) -> str | None:
    """The variable read by ``os.environ.get("X", ...)``, ``os.getenv("X")`` or a wrapper such as ``get_env("X", ...)``."""
    name = module.dotted(call.func)
    if name in ("os.environ.get", "os.getenv") or name.rpartition(".")[2] in ("get_env", "getenv", "env"):
        return text_of(call.args[0]) if call.args else None
    return None
