"""Files as the rules see them: what kind, what text, which lines.

Nothing here raises for what a file contains: old trees hold Latin-1, UTF-16, NUL bytes and megabytes of data.
"""

from __future__ import annotations

import codecs
import io
import re
import tokenize
from enum import StrEnum
from functools import cached_property
from pathlib import PurePosixPath


class Kind(StrEnum):
    """What a file is, judged by its name."""

    PYTHON = "python"
    YAML = "yaml"
    JSON = "json"
    TOML = "toml"
    INI = "ini"
    ENV = "env"
    SHELL = "shell"
    DOCKERFILE = "dockerfile"


_SUFFIXES = {
    ".py": Kind.PYTHON,
    ".pyw": Kind.PYTHON,
    ".yaml": Kind.YAML,
    ".yml": Kind.YAML,
    ".json": Kind.JSON,
    ".toml": Kind.TOML,
    ".ini": Kind.INI,
    ".cfg": Kind.INI,
    ".conf": Kind.INI,
    ".properties": Kind.INI,
    ".service": Kind.INI,
    ".env": Kind.ENV,
    ".sh": Kind.SHELL,
    ".bash": Kind.SHELL,
    ".dockerfile": Kind.DOCKERFILE,
}

_GENERATED = {
    "package-lock.json", "npm-shrinkwrap.json", "composer.lock", "pnpm-lock.yaml", "poetry.lock", "uv.lock", "pdm.lock",
}  # fmt: skip


def kind_of(name: str) -> Kind | None:
    """The kind of a file called ``name`` (no folder), or None when no rule reads such files."""
    lower = name.lower()
    if lower in _GENERATED or lower.endswith((".min.json", ".ipynb")):
        return None
    if lower == "dockerfile" or lower.startswith(("dockerfile.", "containerfile")):
        return Kind.DOCKERFILE
    if lower == ".env" or lower.startswith(".env."):
        return Kind.ENV
    return _SUFFIXES.get(PurePosixPath(lower).suffix)


def decode(data: bytes) -> tuple[str, str]:
    """The text of a file and the name of the encoding that yields it.

    Order: byte order mark, the declaration of PEP 263, UTF-8, and Latin-1, which cannot fail.
    """
    for mark, name in (
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
        (codecs.BOM_UTF8, "utf-8-sig"),
    ):
        if data.startswith(mark):
            return data.decode(name, errors="replace"), name
    try:
        return data.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        pass
    try:
        declared, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        return data.decode(declared), declared
    except (SyntaxError, LookupError, UnicodeDecodeError):
        return data.decode("latin-1"), "latin-1"


_TEST_FILE = re.compile(r"(^|/)(tests?|testing|fixtures|conftest\.py|test_[^/]*|[^/]*_test\.py)(/|$)")


class Source:
    """One text file of the audited tree."""

    def __init__(self, path: str, text: str, kind: Kind, encoding: str = "utf-8") -> None:
        self.path = path
        self.text = text
        self.kind = kind
        self.encoding = encoding

    @cached_property
    def lines(self) -> list[str]:
        """The lines as Python counts them (only ``\\n``, ``\\r\\n`` and ``\\r`` end one)."""
        return re.split(r"\r\n|\n|\r", self.text)

    @property
    def is_test(self) -> bool:
        """It lies among tests: it never runs as part of the fleet, and its data is made up."""
        return is_test_path(self.path)

    def line(self, number: int) -> str:
        """Line ``number``, counted from 1; empty past the end."""
        return self.lines[number - 1] if 0 < number <= len(self.lines) else ""


def is_test_path(path: str) -> bool:
    """Whether ``path`` (relative to the tree) lies among tests."""
    return _TEST_FILE.search(path) is not None


_COMMENT = re.compile(r"""'(?:[^'\\]|\\.|'')*'|"(?:[^"\\]|\\.)*"|(?P<comment>(?:(?<=\s)|^)#.*)""")


def without_comment(line: str, kind: Kind) -> str:
    """``line`` with its comment blanked out; columns stay as they are."""
    if kind is Kind.JSON:
        return line
    if kind is Kind.INI and line.lstrip().startswith(";"):
        return ""
    for match in _COMMENT.finditer(line):
        if match.group("comment") is not None:
            return line[: match.start()]
    return line
