"""The audit itself: walk, examine the changed files on all cores, then look across all of them."""

from __future__ import annotations

import gc
import multiprocessing
import os
import threading
import time
import tomllib
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.audit import cache as caching
from tandem.audit.linter import Lint, parses_elsewhere, sift
from tandem.audit.model import Finding
from tandem.audit.project import Project, Settings
from tandem.audit.record import Record, digest, examine
from tandem.audit.rules import syntax_error
from tandem.audit.rules.catalogue import BY_ID, RULES
from tandem.audit.source import Kind, decode
from tandem.audit.walk import MAX_BYTES, Entry, Skipped, walk
from tandem.core.errors import ConfigError, Unavailable

_CHUNK_BYTES = 400_000
"""Work handed to a process at a time: large enough to hide the hand-over, small enough to keep all cores busy."""
_WORTH_PROCESSES = 1_500_000
"""Below this many bytes, starting processes costs more than it saves."""


class Options(Struct, frozen=True, kw_only=True):
    """What to audit. ``configs`` are paths relative to ``root``; ``jobs`` 0 means one process a core."""

    root: Path
    rules: frozenset[str] = frozenset(BY_ID)
    configs: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    jobs: int = 0
    cache: bool = True


class Audit(Struct):
    """The outcome. ``notices`` say what could not be done; ``files`` and ``lines`` what was read."""

    root: Path
    findings: list[Finding]
    project: Project
    skipped: list[Skipped]
    notices: list[str]
    files: int
    lines: int
    reused: int
    seconds: float


def audit(options: Options, memory: caching.Cache | None = None) -> Audit:
    """Audit a tree. With ``memory`` what is known is taken from there and kept there, and nothing is kept on disk.

    Raises :class:`ConfigError` when there is no such tree or its settings are wrong.
    """
    started, started_ns = time.monotonic(), time.time_ns()
    if not options.root.exists():
        raise ConfigError(f"there is no {options.root}")
    base = options.root if options.root.is_dir() else options.root.parent
    settings = read_settings(base)
    found = walk(options.root, (*settings.exclude, *options.exclude))
    file = caching.cache_file(options.root)
    on_disk = options.cache and memory is None
    known = memory or (caching.load(file) if on_disk else caching.Cache(caching.code_version()))
    records = {entry.path: record for entry in found.entries if (record := known.lookup(entry)) is not None}
    reused = len(records)
    notices: list[str] = []
    changed = [entry for entry in found.entries if entry.path not in records]
    changed = _reread(base, changed, known, records)
    unlinted = any(record.kind is Kind.PYTHON and not record.linted for record in records.values())
    with _paused_collector():
        _examine_all(base, changed, records, found.skipped, notices, options)
        if on_disk and (changed or unlinted or len(records) != len(known.records)):
            caching.store(file, records, started_ns)
        if memory is not None:
            memory.records = records
        project = _project(base, found.others, records, settings, options.configs)
        findings = sorted(_findings(project, records, options.rules), key=lambda item: item.order)
    lines = sum(record.module.lines for record in records.values() if record.module is not None)
    return Audit(
        base,
        findings,
        project,
        found.skipped,
        notices,
        len(records),
        lines,
        reused,
        time.monotonic() - started,
    )


@contextmanager
def _paused_collector() -> Iterator[None]:
    """Syntax trees are millions of objects without cycles worth finding; collecting among them doubles the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def read_settings(root: Path) -> Settings:
    """``[tool.tandem.audit]`` of ``root``'s pyproject.toml; the defaults without one."""
    try:
        data = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
        return msgspec.convert(data.get("tool", {}).get("tandem", {}).get("audit", {}), Settings)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return Settings()
    except msgspec.ValidationError as error:
        raise ConfigError(f"[tool.tandem.audit] in {root / 'pyproject.toml'}: {error}") from error


def _reread(
    root: Path, entries: list[Entry], known: caching.Cache, records: dict[str, Record]
) -> list[Entry]:
    """Take over records of files whose time changed but whose content did not; returns the others."""
    changed = []
    for entry in entries:
        record = known.records.get(entry.path)
        if record is not None and record.kind is entry.kind and record.size == entry.size:
            try:
                same = digest((root / entry.path).read_bytes()) == record.digest
            except OSError:
                same = False
            if same:
                record.mtime_ns = entry.mtime_ns
                records[entry.path] = record
                continue
        changed.append(entry)
    return changed


def _examine_all(
    root: Path,
    entries: list[Entry],
    records: dict[str, Record],
    skipped: list[Skipped],
    notices: list[str],
    options: Options,
) -> None:
    """Fill ``records`` for ``entries``, with ruff running alongside."""
    python = [entry.path for entry in entries if entry.kind is Kind.PYTHON]
    unlinted = [path for path, record in records.items() if record.kind is Kind.PYTHON and not record.linted]
    lint: Lint | None = None
    if "undefined-name" in options.rules and (python or unlinted):
        try:
            lint = Lint(root, python + unlinted)
        except Unavailable as error:
            notices.append(str(error))
    for path, record, problem in _examined(root, entries, options.jobs):
        if record is not None:
            records[path] = record
        else:
            skipped.append(Skipped(path, problem))
    if lint is not None:
        try:
            _add_undefined(root, lint, python + unlinted, records)
        except Unavailable as error:
            notices.append(str(error))
    _forgive_newer(root, python, records)


def _add_undefined(root: Path, lint: Lint, python: list[str], records: dict[str, Record]) -> None:
    for path, hits in lint.collect().items():
        record = records.get(path)
        if record is not None and record.module is not None and record.module.compiles:
            record.module.undefined = sift(read_text(root, path), hits)
    for path in python:
        if path in records:
            records[path].linted = True


def _forgive_newer(root: Path, python: list[str], records: dict[str, Record]) -> None:
    """Files whose grammar is merely newer than this interpreter's are not broken."""
    broken = [
        path
        for path in python
        if path in records and any(f.rule == "syntax-error" for f in records[path].findings)
    ]
    for path in broken[:200]:
        record = records[path]
        if record.module is not None and not record.module.parses and parses_elsewhere(root, path):
            record.findings = [
                syntax_error.newer_python(path, item.line, item.column, item.message)
                if item.rule == "syntax-error"
                else item
                for item in record.findings
            ]


Examined = tuple[str, Record | None, str]


def _examine_chunk(root: Path, entries: list[Entry]) -> list[Examined]:
    gc.disable()
    return [_examine_one(root, entry) for entry in entries]


def _examine_one(root: Path, entry: Entry) -> Examined:
    try:
        return entry.path, examine(root, entry), ""
    except OSError as error:
        return entry.path, None, error.strerror or "unreadable"
    except Exception as error:  # a mistake of ours in one file must not hide the truth about all the others
        return (
            entry.path,
            None,
            f"the audit itself failed here, please report it: {type(error).__name__}: {error}",
        )


def _examined(root: Path, entries: list[Entry], jobs: int) -> Iterator[Examined]:
    processes = jobs or len(os.sched_getaffinity(0))
    if processes == 1 or sum(entry.size for entry in entries) < _WORTH_PROCESSES:
        yield from (_examine_one(root, entry) for entry in entries)
        return
    # A fork shares the imported rules; it is only sound while this process has a single thread.
    context = multiprocessing.get_context("fork" if threading.active_count() == 1 else "spawn")
    suspects = []
    with ProcessPoolExecutor(processes, context) as pool:
        futures = []
        for chunk in _chunks(entries):
            try:
                futures.append((chunk, pool.submit(_examine_chunk, root, chunk)))
            except BrokenProcessPool:
                suspects.append(chunk)
        for chunk, future in futures:
            try:
                yield from future.result()
            except BrokenProcessPool:
                suspects.append(chunk)
    yield from _examined_alone(root, suspects, context)


def _examined_alone(root: Path, chunks: Iterable[list[Entry]], context: BaseContext) -> Iterator[Examined]:
    """One chunk at a time: a process that dies takes all work of its pool with it, so only alone it tells who did it."""
    for chunk in chunks:
        try:
            with ProcessPoolExecutor(1, context) as pool:
                done = pool.submit(_examine_chunk, root, chunk).result()
        except BrokenProcessPool:
            if len(chunk) == 1:
                yield chunk[0].path, None, "ends the interpreter that parses it"
            else:
                yield from _examined_alone(root, ([entry] for entry in chunk), context)
        else:
            yield from done


def _chunks(entries: list[Entry]) -> Iterator[list[Entry]]:
    """Largest files first, so that no process is left alone with one at the end."""
    chunk: list[Entry] = []
    size = 0
    for entry in sorted(entries, key=lambda item: -item.size):
        chunk.append(entry)
        size += entry.size
        if size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def read_text(root: Path, path: str) -> str:
    """The text of a file of the tree, empty when it cannot be read."""
    try:
        with (root / path).open("rb") as file:
            return decode(file.read(MAX_BYTES))[0]
    except OSError:
        return ""


def _project(
    root: Path,
    others: Iterable[str],
    records: dict[str, Record],
    settings: Settings,
    configs: tuple[str, ...],
) -> Project:
    return Project(
        root,
        {path: record.module for path, record in records.items() if record.module is not None},
        {path: record.text for path, record in records.items() if record.text is not None},
        {path: record.kind for path, record in records.items()},
        frozenset(others),
        settings,
        configs,
        lambda path: read_text(root, path),
    )


def _findings(project: Project, records: dict[str, Record], rules: frozenset[str]) -> Iterator[Finding]:
    """The wanted findings that no comment silences, each with its source line."""
    lines: dict[str, list[str]] = {}
    seen: set[tuple[str, str, int, int, str]] = set()
    for finding in _all_findings(project, records, rules):
        record = records.get(finding.path)
        silenced = record.ignored.get(finding.line, []) if record is not None else []
        key = (finding.rule, finding.path, finding.line, finding.column, finding.message)
        if finding.rule in silenced or "*" in silenced or key in seen:
            continue
        if project.settings.ignores(finding.rule, finding.path):
            continue
        seen.add(key)
        if not finding.source:
            if finding.path not in lines:
                lines[finding.path] = project.read(finding.path).splitlines()
            text = lines[finding.path]
            shown = text[finding.line - 1].strip()[:200] if 0 < finding.line <= len(text) else ""
            finding = msgspec.structs.replace(finding, source=shown)
        yield finding


def _all_findings(project: Project, records: dict[str, Record], rules: frozenset[str]) -> Iterator[Finding]:
    for record in records.values():
        yield from (finding for finding in record.findings if finding.rule in rules)
    for rule in RULES:
        if rule.project is not None and rule.id in rules:
            yield from rule.project(project)
