"""What the code changes share: finding nodes by place, replacing them, adding imports and statements.

Built on libcst, which keeps every space and comment that a change does not touch.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

import libcst as cst
from libcst.codemod import CodemodContext
from libcst.codemod.visitors import AddImportsVisitor
from libcst.metadata import MetadataWrapper, PositionProvider
from msgspec import Struct

from tandem.audit.model import Finding
from tandem.audit.project import Project

Place = tuple[int, int]
"""1-based line and 1-based column in characters."""


class Patient(Struct, frozen=True):
    """A file to mend: its text, its findings of the one rule at hand, and the tree around it."""

    path: str
    text: str
    findings: tuple[Finding, ...]
    project: Project

    @property
    def places(self) -> frozenset[Place]:
        return frozenset((finding.line, finding.column) for finding in self.findings)


Mend = Callable[[Patient, bool], str]
"""(patient, suggest) → new text: only certain changes, or with ``suggest`` everything there is to propose."""

Edit = Callable[[Any], cst.CSTNode | cst.FlattenSentinel[Any] | cst.RemovalSentinel]
"""What becomes of a node, given the node with the changes inside it already made."""


def becomes(new: cst.CSTNode) -> Edit:
    """Put ``new`` in the node's place."""
    return lambda _: new


def removed() -> Edit:
    """Take the node out."""
    return lambda _: cst.RemoveFromParent()


def preceded_by(statement: str) -> Edit:
    """Put a statement before the node, which is one; blank lines and comments above stay above both."""
    added = cst.parse_statement(statement + "\n")

    def edit(updated: Any) -> cst.FlattenSentinel[Any]:
        first = added.with_changes(leading_lines=updated.leading_lines)
        return cst.FlattenSentinel([first, updated.with_changes(leading_lines=())])

    return edit


def followed_by(*statements: str) -> Edit:
    """Put statements behind the node, which is one."""
    added = [cst.parse_statement(statement + "\n") for statement in statements]
    return lambda updated: cst.FlattenSentinel([updated, *added])


class NameTaken(Exception):
    """The import a change needs would hide, or be hidden by, another meaning of the same name."""


def bound_otherwise(text: str, module: str, name: str | None) -> str:
    """The name that ``import module`` or ``from module import name`` binds, if ``text`` binds it to anything else."""
    local = name or module.partition(".")[0]
    for node in ast.walk(ast.parse(text)):
        found: list[str] = []
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found = [node.id]
        elif isinstance(node, ast.arg):
            found = [node.arg]
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            found = [node.name]
        elif isinstance(node, ast.Import):
            found = [alias.asname for alias in node.names if alias.asname]
            found += [
                local
                for alias in node.names
                if name and alias.name.partition(".")[0] == local and not alias.asname
            ]
        elif isinstance(node, ast.ImportFrom):
            found = [
                alias.asname or alias.name
                for alias in node.names
                if (node.module, alias.name) != (module, name)
            ]
        elif isinstance(node, ast.ExceptHandler) and node.name:
            found = [node.name]
        if local in found:
            return local
    return ""


class Tree:
    """A parsed file with the place of every node."""

    def __init__(self, text: str) -> None:
        self.wrapper = MetadataWrapper(cst.parse_module(text), unsafe_skip_copy=True)
        self.module = self.wrapper.module
        self._positions = self.wrapper.resolve(PositionProvider)
        self.imports: list[tuple[str, str | None]] = []

    def place(self, node: cst.CSTNode) -> Place:
        start = self._positions[node].start
        return start.line, start.column + 1

    def line(self, node: cst.CSTNode) -> int:
        return self._positions[node].start.line

    def end(self, node: cst.CSTNode) -> Place:
        """Where ``node`` ends; the column is that of its last character."""
        end = self._positions[node].end
        return end.line, end.column

    def need(self, module: str, name: str | None = None) -> None:
        """Import ``module``, or ``name`` from it, unless the file does so already.

        Raises :class:`NameTaken` when the file uses that name for something else anywhere.
        """
        if (module, name) not in self.imports:
            taken = bound_otherwise(self.module.code, module, name)
            if taken:
                raise NameTaken(taken)
            self.imports.append((module, name))

    def code(self, node: cst.CSTNode) -> str:
        return self.module.code_for_node(node)

    def apply(self, edits: Mapping[cst.CSTNode, Edit]) -> str:
        """The text with ``edits`` made and the needed imports added; unchanged without edits."""
        if not edits:
            return self.module.code
        changed = self.module.visit(Editor(edits))
        if self.imports:
            context = CodemodContext()
            for module, name in self.imports:
                AddImportsVisitor.add_needed_import(context, module, name)
            changed = AddImportsVisitor(context).transform_module(changed)
        return changed.code


class Editor(cst.CSTTransformer):
    """Makes the edits on the way back up, so inner ones come first."""

    def __init__(self, edits: Mapping[cst.CSTNode, Edit]) -> None:
        super().__init__()
        self._edits = edits

    def on_leave(self, original_node: cst.CSTNode, updated_node: cst.CSTNode) -> cst.CSTNode:  # type: ignore[override]
        updated: cst.CSTNode = super().on_leave(original_node, updated_node)  # type: ignore[assignment]
        edit = self._edits.get(original_node)
        return updated if edit is None else edit(updated)  # type: ignore[return-value]


class Collector(cst.CSTVisitor):
    """Remembers the nodes of one type and every node's parent."""

    def __init__(self, wanted: tuple[type[cst.CSTNode], ...]) -> None:
        super().__init__()
        self._wanted = wanted
        self.found: list[cst.CSTNode] = []
        self.parents: dict[cst.CSTNode, cst.CSTNode] = {}
        self._trail: list[cst.CSTNode] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if self._trail:
            self.parents[node] = self._trail[-1]
        self._trail.append(node)
        if isinstance(node, self._wanted):
            self.found.append(node)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        self._trail.pop()

    def above(self, node: cst.CSTNode, *kinds: type[cst.CSTNode]) -> cst.CSTNode | None:
        """The innermost node of one of ``kinds`` around ``node``."""
        here = self.parents.get(node)
        while here is not None and not isinstance(here, kinds):
            here = self.parents.get(here)
        return here


def collect(tree: Tree, *wanted: type[cst.CSTNode]) -> Collector:
    """All nodes of the wanted types, in source order."""
    collector = Collector(wanted)
    tree.module.visit(collector)
    return collector


def dotted(node: cst.CSTNode) -> str:
    """``a.b.c`` of a name or attribute; empty for anything else."""
    parts: list[str] = []
    while isinstance(node, cst.Attribute):
        parts.append(node.attr.value)
        node = node.value
    if not isinstance(node, cst.Name):
        return ""
    return ".".join(reversed([*parts, node.value]))


def argument(call: cst.Call, name: str, position: int | None = None) -> cst.Arg | None:
    """The argument ``name``, by keyword or position."""
    for item in call.args:
        if item.keyword is not None and item.keyword.value == name:
            return item
    plain = [item for item in call.args if item.keyword is None and not item.star]
    return plain[position] if position is not None and position < len(plain) else None


def keyword(name: str, value: cst.BaseExpression) -> cst.Arg:
    """``name=value``."""
    tight = cst.SimpleWhitespace("")
    return cst.Arg(value, keyword=cst.Name(name), equal=cst.AssignEqual(tight, tight))
