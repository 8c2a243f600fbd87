"""What one file yields; everything here depends on that file's content alone and is therefore cached with it."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path

from msgspec import Struct

from tandem.audit.fleet.sniff import TextFacts, text_facts
from tandem.audit.model import Finding
from tandem.audit.python.collect import facts_of
from tandem.audit.python.facts import ModuleFacts
from tandem.audit.python.module import PyModule, parse, verify
from tandem.audit.rules import syntax_error
from tandem.audit.rules.catalogue import RULES
from tandem.audit.source import Kind, Source, decode
from tandem.audit.walk import Entry

_IGNORE = re.compile(r"(?:#|//)\s*tandem:\s*ignore(?:\[([\w\-*, ]+)\])?")
_DEEP = 1_000


class Record(Struct):
    """The findings of one file and its facts for the rules that look across files.

    ``ignored``: line → rules a comment there silences (``*`` for all). ``linted``: ruff has added its part.
    """

    size: int
    mtime_ns: int
    digest: str
    kind: Kind
    findings: list[Finding] = []
    module: ModuleFacts | None = None
    text: TextFacts | None = None
    ignored: dict[int, list[str]] = {}
    linted: bool = False


def digest(data: bytes) -> str:
    """Checksum by which an unchanged file is known."""
    return hashlib.blake2b(data, digest_size=12).hexdigest()


def examine(root: Path, entry: Entry) -> Record:
    """Read one file and apply every rule that needs no other. Raises ``OSError`` only."""
    data = (root / entry.path).read_bytes()
    text, encoding = decode(data)
    source = Source(entry.path, text, entry.kind, encoding)
    record = Record(entry.size, entry.mtime_ns, digest(data), entry.kind, ignored=_ignored(source))
    if entry.kind is Kind.PYTHON:
        _python(source, record)
    else:
        record.text = text_facts(source)
        for rule in RULES:
            if rule.text is not None:
                record.findings.extend(rule.text(source))
    return record


def _python(source: Source, record: Record) -> None:
    sys.setrecursionlimit(max(sys.getrecursionlimit(), _DEEP))
    try:
        module = PyModule(source, parse(source.text))
        record.module = facts_of(module)
        _verify(module, record)
        for rule in RULES:
            if rule.module is not None:
                record.findings.extend(rule.module(module))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        record.module = ModuleFacts(source.path, lines=len(source.lines), compiles=False, parses=False)
        record.findings = []
        if source.encoding not in syntax_error.UNREADABLE and not _is_template(source, error):
            record.findings.append(syntax_error.finding(source, error))
    if source.encoding in syntax_error.UNREADABLE:
        record.findings.append(syntax_error.encoding(source))


def _verify(module: PyModule, record: Record) -> None:
    """A tree that parses may still not compile; the other rules look at it all the same."""
    try:
        verify(module.tree)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        record.findings.append(syntax_error.finding(module.source, error))
        if record.module is not None:
            record.module.compiles = False


def _is_template(source: Source, error: BaseException) -> bool:
    """A template that becomes Python once it is filled in; it never runs as it stands."""
    line = source.line(error.lineno or 1) if isinstance(error, SyntaxError) else ""
    return ("{%" in source.text and "%}" in source.text) or re.search(
        r"\{\{\s*[\w.]+\s*\}\}", line
    ) is not None


def _ignored(source: Source) -> dict[int, list[str]]:
    if "tandem:" not in source.text:
        return {}
    found = {}
    for number, line in enumerate(source.lines, 1):
        match = _IGNORE.search(line)
        if match is not None:
            found[number] = [name.strip() for name in (match.group(1) or "*").split(",")]
    return found
