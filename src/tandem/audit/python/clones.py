"""Fingerprints for finding copies: exact lines, and functions that differ only in their local names."""

from __future__ import annotations

import ast
import zlib
from collections.abc import Iterator

from tandem.audit.python.facts import Block
from tandem.audit.python.module import Function, PyModule
from tandem.audit.python.values import parameters

MIN_LINES = 8
"""Shorter functions look alike without being copies."""
TABLE_LINES = 4
"""Longer displays of plain data are tables: copying them is a question of data, not of code."""
MIN_NODES = 90
"""Nor are functions worth comparing that merely list data or pass arguments on."""


def digests(module: PyModule) -> list[tuple[int, int]]:
    """(line, checksum) of every line that does something: not blank, comment, docstring, import or lone bracket."""
    silent: set[int] = set()
    for table in _tables(module):
        silent.update(range(table.lineno, (table.end_lineno or table.lineno) + 1))
    for node in (*module.docstrings, *module.nodes(ast.Import), *module.nodes(ast.ImportFrom)):
        if isinstance(node, (ast.expr, ast.stmt)):
            silent.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    found = []
    for number, line in enumerate(module.source.lines, 1):
        text = line.strip()
        if len(text) > 3 and text[0] != "#" and number not in silent:
            found.append((number, zlib.crc32(text.encode())))
    return found


def _tables(module: PyModule) -> Iterator[ast.expr]:
    """Displays and texts of several lines that hold nothing but data."""
    nodes: list[ast.expr] = [
        *module.nodes(ast.Dict), *module.nodes(ast.List), *module.nodes(ast.Tuple), *module.nodes(ast.Set), *module.nodes(ast.Constant),
    ]  # fmt: skip
    for node in nodes:
        if (node.end_lineno or node.lineno) - node.lineno >= TABLE_LINES and not any(
            isinstance(part, (ast.Call, ast.Name, ast.Attribute, ast.Lambda, ast.JoinedStr))
            for part in ast.walk(node)
        ):
            yield node


def blocks(module: PyModule) -> Iterator[Block]:
    """The functions large enough to compare."""
    for function in module.functions:
        end = function.end_lineno or function.lineno
        if end - function.lineno + 1 >= MIN_LINES:
            size, shape = _shape(function)
            if size >= MIN_NODES:
                yield Block(module.qualname(function), function.lineno, end, shape)


def _shape(function: Function) -> tuple[int, int]:
    """(number of nodes, checksum) of a function's structure: names of locals are numbered in order of appearance."""
    local = {name: f"v{number}" for number, name in enumerate(parameters(function))}
    words: list[str] = []
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    for statement in body:
        for node in ast.walk(statement):
            words.append(type(node).__name__)
            if isinstance(node, ast.Name):
                if isinstance(node.ctx, ast.Store):
                    local.setdefault(node.id, f"v{len(local)}")
                words.append(local.get(node.id, node.id))
            elif isinstance(node, ast.Attribute):
                words.append(node.attr)
            elif isinstance(node, ast.Constant):
                words.append(repr(node.value)[:40])
    return len(words), zlib.crc32(" ".join(words).encode())
