"""Databases and log files a module opens, by the path its code gives."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tandem.audit.python.facts import PathArgument, Resource
from tandem.audit.python.module import FUNCTIONS, PyModule, keyword
from tandem.audit.python.values import Values

_CONNECTS = frozenset({
    "sqlite3.connect", "aiosqlite.connect", "apsw.Connection", "sqlite3.dbapi2.connect", "pysqlite3.connect",
})  # fmt: skip
_ENGINES = frozenset({
    "sqlalchemy.create_engine", "sqlalchemy.ext.asyncio.create_async_engine", "create_engine", "create_async_engine",
})  # fmt: skip
_HANDLERS = re.compile(r"^logging(\.handlers)?\.\w*FileHandler$")
_ENDLESS = "logging.FileHandler"
_FILE_NAME = re.compile(r"\.(db|sqlite3?|log)$")
_WAL = re.compile(r"journal_mode\s*=?\s*\(?\s*['\"]?wal", re.IGNORECASE)
_WRITES = re.compile(
    r"^\s*(insert|update|delete|replace|create|alter|drop|vacuum|pragma\s+\w+\s*=)\b", re.IGNORECASE
)


def collect(module: PyModule, values: Values) -> Iterator[Resource]:
    """Every database connection and log handler whose path can be told."""
    text = module.source.text
    if (
        "sqlite" not in text
        and "FileHandler" not in text
        and "basicConfig" not in text
        and "create_engine" not in text
    ):
        return
    for call in module.nodes(ast.Call):
        name = module.dotted(call.func)
        if name in _CONNECTS:
            yield from _database(module, values, call, keyword(call, "database", 0))
        elif name in _ENGINES:
            url = values.text(keyword(call, "url", 0)) or ""
            if url.startswith("sqlite"):
                path = re.sub(r"^sqlite(\+\w+)?://", "", url).removeprefix("/")
                yield from _database(module, values, call, ast.Constant(path))
        elif _HANDLERS.match(name):
            yield from _log(values, call, keyword(call, "filename", 0))
        elif name == "logging.basicConfig":
            yield from _log(values, call, keyword(call, "filename"))


def _database(module: PyModule, values: Values, call: ast.Call, where: ast.expr | None) -> Iterator[Resource]:
    path = values.path(where)
    raw = values.text(where) or _literal_text(where)
    if path is None or ":memory:" in raw or "mode=memory" in raw:
        return
    reads = "mode=ro" in raw or "immutable=1" in raw or _only_reads(module, call)
    yield Resource(
        "sqlite", path, call.lineno, call.col_offset + 1, _WAL.search(module.source.text) is not None, reads
    )


def _literal_text(where: ast.expr | None) -> str:
    if where is None:
        return ""
    return "".join(
        part.value
        for part in ast.walk(where)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    )


def _only_reads(module: PyModule, call: ast.Call) -> bool:
    """All SQL in the class (or function) that connects is SELECT, and nothing is committed."""
    owner: ast.AST | None = module.class_of(call) or module.function_of(call)
    statements = []
    for part in ast.walk(owner or module.tree):
        if not isinstance(part, ast.Call) or not isinstance(part.func, ast.Attribute):
            continue
        if part.func.attr == "commit":
            return False
        if part.func.attr in ("execute", "executemany", "executescript") and part.args:
            statements.append(_literal_text(part.args[0]))
    return bool(statements) and all(
        re.match(r"\s*(select|pragma|with)\b", sql, re.I) and not _WRITES.match(sql) for sql in statements
    )


def _log(values: Values, call: ast.Call, where: ast.expr | None) -> Iterator[Resource]:
    path = values.path(where)
    if path is not None:
        yield Resource("log", path, call.lineno, call.col_offset + 1)


def path_arguments(module: PyModule, values: Values) -> Iterator[PathArgument]:
    """Database and log paths passed to functions or classes, which may be defined elsewhere."""
    for node in module.nodes(ast.Constant):
        if not isinstance(node.value, str) or not _FILE_NAME.search(node.value):
            continue
        argument: ast.AST = node
        for above in module.ancestors(node):
            if isinstance(above, ast.Call) and _is_argument(above, argument):
                name = module.dotted(above.func)
                path = values.path(argument) if isinstance(argument, ast.expr) else None
                if (
                    name
                    and path
                    and not name.startswith(("os.", "pathlib.", "logging.", "sqlite3.", "str", "Path"))
                ):
                    yield PathArgument(
                        name, *_position(above, argument), path, above.lineno, above.col_offset + 1
                    )
                    break
            if isinstance(above, (ast.stmt, *FUNCTIONS)):
                break
            argument = above


def _is_argument(call: ast.Call, node: ast.AST) -> bool:
    return node in call.args or any(node is item for item in call.keywords)


def _position(call: ast.Call, node: ast.AST) -> tuple[int, str]:
    for number, argument in enumerate(call.args):
        if argument is node:
            return number, ""
    return -1, node.arg or "" if isinstance(node, ast.keyword) else ""


def path_constants(module: PyModule, values: Values) -> dict[str, str]:
    """Module constants that name databases or logs, for the modules that import them."""
    found = {}
    for name, value in module.constants.items():
        path = values.path(value)
        if path is not None and (
            _FILE_NAME.search(path) or re.search(r"(DB|DATABASE|LOG|DIR|ROOT|PATH|FILE)", name)
        ):
            found[name] = path
    return found
