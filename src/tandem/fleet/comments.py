"""The comments of a YAML text, found again by the keys they stand with."""

from __future__ import annotations

from collections.abc import Iterator

import yaml

from tandem.fleet.source import Entry, Mapping, Sequence, Value

_Comments = list[tuple[int, str]]
"""Line of the content a comment belongs to (its own, if it trails; 0 at the end of the text) and the comment."""


def attach_comments(document: Mapping, text: str) -> tuple[str, ...]:
    """Give each comment of ``text`` to the entry of ``document`` it stands above or beside; returns what is left over."""
    entries = sorted(_entries(document), key=lambda entry: entry.key_span.line)
    left: list[str] = []
    for line, comment in _comments(text):
        owner = next((entry for entry in entries if entry.key_span.line >= line), None) if line else None
        if owner is None:
            left.append(comment)
        else:
            owner.comments = (*owner.comments, comment)
    return tuple(left)


def _entries(value: Value) -> Iterator[Entry]:
    if isinstance(value, Mapping):
        for entry in value.entries.values():
            yield entry
            yield from _entries(entry.value)
    elif isinstance(value, Sequence):
        for item in value.items:
            yield from _entries(item)


def _comments(text: str) -> _Comments:
    ends = _content_ends(text)
    found: _Comments = []
    pending: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        rest = line[ends.get(number, 0) :].strip()
        if number not in ends:
            if rest.startswith("#"):
                pending.append(_words(rest))
            continue
        found += [(number, comment) for comment in pending]
        pending = []
        if rest.startswith("#"):
            found.append((number, _words(rest)))
    return found + [(0, comment) for comment in pending]


def _content_ends(text: str) -> dict[int, int]:
    """For each line with content, the column where it ends; a ``#`` inside a text is content, the scanner knows."""
    ends: dict[int, int] = {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    for token in yaml.scan(text, Loader=loader):
        start, end = token.start_mark, token.end_mark
        if start.index == end.index:
            continue
        for line in range(start.line, end.line):
            ends[line + 1] = 1 << 30
        if end.column:
            ends[end.line + 1] = max(ends.get(end.line + 1, 0), end.column)
    return ends


def _words(comment: str) -> str:
    return comment[1:].removeprefix(" ")
