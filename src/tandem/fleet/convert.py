"""The earlier shapes as one file in ours, losing nothing: values, unknown keys and comments."""

from __future__ import annotations

import re
from typing import Any

from msgspec import Struct, field

from tandem.fleet.comments import attach_comments
from tandem.fleet.diagnostics import Diagnostic, Report, SourceText
from tandem.fleet.dump import dump
from tandem.fleet.shapes import KEPT, Kept, shape
from tandem.fleet.source import Entry, Mapping, Scalar, Sequence, Value, parse

_BARE = re.compile(r"(?<!\$)\$\{(?!PORT_OFFSET\})([A-Za-z_][A-Za-z0-9_]*)\}")


class Converted(Struct):
    """A fleet file in our shape, what was kept under ``x-legacy``, and what was wrong with the sources."""

    text: str = ""
    kept: list[Kept] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)


def convert(sources: list[tuple[str, str]], name: str) -> Converted:
    """One fleet called ``name`` from the texts ``(file name, text)``, in any shape; ``text`` is empty on errors."""
    result = Converted()
    whole: Mapping | None = None
    trailing: tuple[str, ...] = ()
    for file, text in sources:
        report = Report(SourceText.of(file, text))
        root = parse(text, report)
        shaped = shape(root, name, report) if root is not None else None
        result.diagnostics += report.finish(lambda path: None)
        if shaped is None:
            continue
        trailing += attach_comments(shaped.document, text)
        document = _tidy(shaped.document) if shaped.legacy else shaped.document
        result.kept += shaped.kept
        whole = document if whole is None else _merge(whole, document)
    if whole is not None and not result.diagnostics:
        result.text = dump(whole, trailing)
    return result


def plain(value: Value) -> Any:
    """``value`` as lists, dicts and scalars."""
    if isinstance(value, Mapping):
        return {key: plain(entry.value) for key, entry in value.entries.items()}
    if isinstance(value, Sequence):
        return [plain(item) for item in value.items]
    return value.data


def _tidy(document: Mapping) -> Mapping:
    """What older files say needlessly is left out, and unset variables stay empty as they were there."""
    for group in _members(document, "groups"):
        for agent in _members(group, "agents"):
            for key, default in (("required", True), ("needs", []), ("error_bus", True)):
                entry = agent.entries.get(key)
                if entry is not None and not entry.comments and plain(entry.value) == default:
                    del agent.entries[key]
    for machine in _members(document, "machines"):
        _soften(machine.get("defaults") or Mapping(document.span))
    for key, entry in document.entries.items():
        if key != "machines":
            _soften(entry.value)
    return document


def _members(mapping: Mapping, key: str) -> list[Mapping]:
    inner = mapping.get(key)
    entries = inner.entries.values() if isinstance(inner, Mapping) else ()
    return [entry.value for entry in entries if isinstance(entry.value, Mapping)]


def _soften(value: Value) -> None:
    if isinstance(value, Mapping):
        for entry in value.entries.values():
            _soften(entry.value)
    elif isinstance(value, Sequence):
        for item in value.items:
            _soften(item)
    elif isinstance(value.data, str):
        value.text = value.data = _BARE.sub(r"${\1:-}", value.text)


def _merge(first: Mapping, second: Mapping) -> Mapping:
    """Both documents as one; a group name used on two machines gets its machine added."""
    _merge_kept(first, second)
    _mapping(first, "machines").entries.update(_mapping(second, "machines").entries)
    groups = _mapping(first, "groups").entries
    for name, entry in _mapping(second, "groups").entries.items():
        groups[name if name not in groups else f"{name}_{_machine_of(entry)}"] = entry
    for key, entry in second.entries.items():
        first.entries.setdefault(key, entry)
    return first


def _mapping(document: Mapping, key: str) -> Mapping:
    """The mapping at ``key``, made when absent."""
    found = document.get(key)
    if not isinstance(found, Mapping):
        found = Mapping(document.span)
        document.entries[key] = Entry(document.span, found)
    return found


def _merge_kept(first: Mapping, second: Mapping) -> None:
    """What both files keep is told apart by their machines."""
    kept = [(document, document.entries.pop(KEPT, None)) for document in (first, second)]
    together = Mapping(first.span)
    for document, entry in kept:
        if entry is not None:
            name = "_".join(_mapping(document, "machines").entries)
            together.entries[name] = entry
    if together.entries:
        first.entries[KEPT] = Entry(first.span, together)


def _machine_of(group: Entry) -> str:
    machine = group.value.get("machine") if isinstance(group.value, Mapping) else None
    return machine.text if isinstance(machine, Scalar) else "other"
