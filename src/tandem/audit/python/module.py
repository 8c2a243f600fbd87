"""One parsed Python file, walked once.

The single walk sorts the nodes by type and notes each one's parent; rules then look at the few node types they care
about. Everything else (imports, constants, scopes) is derived from these on first use.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterator
from functools import cached_property
from typing import TypeVar

from tandem.audit.source import Source

Node = TypeVar("Node", bound=ast.AST)
Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def _child_fields() -> dict[type[ast.AST], tuple[str, ...]]:
    """Per node type the fields that can hold nodes; the rest (names, constants, operators) is not worth visiting."""
    leaves = {
        "ctx",
        "op",
        "ops",
        "id",
        "attr",
        "kind",
        "type_comment",
        "conversion",
        "level",
        "simple",
        "is_async",
    }
    table: dict[type[ast.AST], tuple[str, ...]] = {}
    for name in dir(ast):
        cls = getattr(ast, name)
        if isinstance(cls, type) and issubclass(cls, ast.AST):
            table[cls] = tuple(field for field in cls._fields if field not in leaves)
    for leaf in (ast.Name, ast.Constant, ast.Pass, ast.Break, ast.Continue, ast.Global, ast.Nonlocal):
        table[leaf] = ()
    return table


_CHILD_FIELDS = _child_fields()


def parse(text: str) -> ast.Module:
    """The syntax tree of ``text``.

    Raises ``SyntaxError``, and ``ValueError``, ``RecursionError`` or ``MemoryError`` for hostile input.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def verify(tree: ast.Module) -> None:
    """Compile ``tree``: some errors (a stray ``return``, two equal parameters) only show then. Raises like :func:`parse`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compile(tree, "<audit>", "exec", dont_inherit=True)


class PyModule:
    """A Python file that parses."""

    def __init__(self, source: Source, tree: ast.Module) -> None:
        self.source = source
        self.path = source.path
        self.tree = tree
        self._by_type: dict[type[ast.AST], list[ast.AST]] = {}
        self._parents: dict[ast.AST, ast.AST] = {}
        self._walk()
        if not source.text.isascii():
            self._count_characters()

    def _count_characters(self) -> None:
        """The parser counts columns in bytes of UTF-8; everything else here, and every editor, in characters."""
        encoded: dict[int, bytes] = {}
        for nodes in self._by_type.values():
            for node in nodes:
                column = getattr(node, "col_offset", 0)
                if column and isinstance(
                    node, (ast.expr, ast.stmt, ast.arg, ast.keyword, ast.alias, ast.excepthandler)
                ):
                    line = encoded.get(node.lineno)
                    if line is None:
                        line = encoded[node.lineno] = self.source.line(node.lineno).encode(
                            "utf-8", "surrogatepass"
                        )
                    node.col_offset = len(line[:column].decode("utf-8", "ignore"))

    def _walk(self) -> None:
        by_type, parents = self._by_type, self._parents
        pending: list[ast.AST] = [self.tree]
        while pending:
            node = pending.pop()
            cls = node.__class__
            by_type.setdefault(cls, []).append(node)
            children: list[ast.AST] = []
            for field in _CHILD_FIELDS[cls]:
                value = getattr(node, field, None)
                if value.__class__ is list:
                    children.extend(item for item in value if isinstance(item, ast.AST))
                elif isinstance(value, ast.AST):
                    children.append(value)
            for child in children:
                parents[child] = node
            children.reverse()
            pending.extend(children)

    def nodes(self, cls: type[Node]) -> list[Node]:
        """All nodes of exactly this type, in source order."""
        return self._by_type.get(cls, [])  # type: ignore[return-value]  # keyed by their own type

    @cached_property
    def functions(self) -> list[Function]:
        """Every ``def`` and ``async def``, in source order."""
        found: list[Function] = [*self.nodes(ast.FunctionDef), *self.nodes(ast.AsyncFunctionDef)]
        return sorted(found, key=lambda node: (node.lineno, node.col_offset))

    def parent(self, node: ast.AST) -> ast.AST | None:
        return self._parents.get(node)

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        """The nodes around ``node``, innermost first."""
        above = self._parents.get(node)
        while above is not None:
            yield above
            above = self._parents.get(above)

    def function_of(self, node: ast.AST) -> Function | ast.Lambda | None:
        """The innermost function or lambda whose *body* holds ``node`` (decorators and defaults run outside)."""
        child = node
        for above in self.ancestors(node):
            if isinstance(above, ast.Lambda) and child is above.body:
                return above
            if isinstance(above, FUNCTIONS) and child in above.body:
                return above
            child = above
        return None

    def class_of(self, node: ast.AST) -> ast.ClassDef | None:
        """The innermost class around ``node``."""
        return next((above for above in self.ancestors(node) if isinstance(above, ast.ClassDef)), None)

    def qualname(self, node: ast.AST) -> str:
        """Dotted name of the function or class ``node`` within its module; empty for the module itself."""
        names = [
            above.name
            for above in (node, *self.ancestors(node))
            if isinstance(above, (*FUNCTIONS, ast.ClassDef))
        ]
        return ".".join(reversed(names))

    def scope(self, node: ast.AST) -> str:
        """:meth:`qualname` of the named function whose body holds ``node``; empty at module or class level."""
        function = self.function_of(node)
        while isinstance(function, ast.Lambda):
            function = self.function_of(function)
        return self.qualname(function) if function is not None else ""

    @cached_property
    def imports(self) -> dict[str, str]:
        """Local name → dotted name it stands for, over all imports of the file (relative ones keep their dots)."""
        table: dict[str, str] = {}
        for plain in self.nodes(ast.Import):
            for alias in plain.names:
                head = alias.name.partition(".")[0]
                table[alias.asname or head] = alias.name if alias.asname else head
        for node in self.nodes(ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            separator = "" if module.endswith(".") or not module else "."
            for alias in node.names:
                if alias.name != "*":
                    table[alias.asname or alias.name] = f"{module}{separator}{alias.name}"
        return table

    def dotted(self, node: ast.AST) -> str:
        """The dotted name an expression refers to, through the imports: ``z.Context`` after ``import zmq as z`` is
        ``zmq.Context``. Empty for anything but names and attributes."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        if not isinstance(node, ast.Name):
            return ""
        parts.append(self.imports.get(node.id, node.id))
        return ".".join(reversed(parts))

    @cached_property
    def docstrings(self) -> set[ast.AST]:
        """String statements: docstrings, and strings that merely stand about as comments."""
        return {node.value for node in self.nodes(ast.Expr) if _is_text(node.value)}

    @cached_property
    def main_guard(self) -> ast.If | None:
        """The ``if __name__ == "__main__":`` of the file."""
        for statement in self.tree.body:
            if isinstance(statement, ast.If) and _is_main_test(statement.test):
                return statement
        return None

    @cached_property
    def constants(self) -> dict[str, ast.expr]:
        """Module-level names assigned exactly once, with the expression assigned."""
        seen: dict[str, ast.expr] = {}
        twice: set[str] = set()
        for statement in self.tree.body:
            target, value = _single_assignment(statement)
            if target is not None and value is not None:
                (twice.add if target in seen else lambda _: None)(target)
                seen[target] = value
        return {name: value for name, value in seen.items() if name not in twice}


def _single_assignment(statement: ast.stmt) -> tuple[str | None, ast.expr | None]:
    if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
        target = statement.targets[0]
        return (target.id, statement.value) if isinstance(target, ast.Name) else (None, None)
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return statement.target.id, statement.value
    return None, None


def _is_text(node: ast.expr) -> bool:
    if isinstance(node, ast.Constant):
        return isinstance(node.value, (str, bytes))
    return isinstance(node, ast.JoinedStr)


def _is_main_test(test: ast.expr) -> bool:
    if not isinstance(test, ast.Compare) or len(test.comparators) != 1:
        return False
    sides = (test.left, test.comparators[0])
    return any(isinstance(side, ast.Name) and side.id == "__name__" for side in sides) and any(
        isinstance(side, ast.Constant) and side.value == "__main__" for side in sides
    )


def keyword(call: ast.Call, name: str, position: int | None = None) -> ast.expr | None:
    """The argument ``name`` of a call, given by keyword or at ``position``."""
    for item in call.keywords:
        if item.arg == name:
            return item.value
    if position is not None and position < len(call.args):
        value = call.args[position]
        return None if isinstance(value, ast.Starred) else value
    return None


def text_of(node: ast.AST | None) -> str | None:
    """The value of a string constant, else None."""
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
