"""Copies: stretches of equal lines, and functions that differ only in the names of their variables."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.project import Project
from tandem.audit.python.facts import Block
from tandem.audit.source import is_test_path

WINDOW = 12
"""Lines that must agree, blank lines, comments, docstrings and imports not counted."""
_CROWD = 40
"""A stretch found in more places than this is a form letter; comparing all pairs of it would cost the square."""

Place = tuple[str, int]


def _project(project: Project) -> Iterator[Finding]:
    paths = [path for path in project.modules if not is_test_path(path)]
    covered: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for path, start, end, lines, other, other_line in _copies(project, paths):
        covered[path].append((start, end))
        message = f"lines {start} to {end} ({lines} that do something) are a copy of {other}:{other_line}"
        yield RULE.at(path, start, 1, message)
    for path, block, other, original in _same_shape(project, paths):
        if not any(
            start <= block.line <= end or block.line <= start <= block.end for start, end in covered[path]
        ):
            message = f"`{block.name}` differs from `{original.name}` ({other}:{original.line}) only in names"
            yield RULE.at(path, block.line, 1, message, confidence=Confidence.MEDIUM)


def _copies(project: Project, paths: list[str]) -> Iterator[tuple[str, int, int, int, str, int]]:
    """(file, first line, last line, significant lines, original file, its line) of each copied stretch.

    The first place in path order is the original; each further place is reported once, as long as it goes.
    """
    windows = _windows(project, paths)
    for path in paths:
        digests = project.modules[path].digests
        position = 0
        while position + WINDOW <= len(digests):
            key = tuple(digest for _, digest in digests[position : position + WINDOW])
            places = windows.get(hash(key), [])
            original = next(
                (place for place in places if place < (path, position) and _apart(place, path, position)),
                None,
            )
            if original is None or not _varied(key):
                position += 1
                continue
            length = _extent(project, (path, position), original)
            if length < WINDOW:
                position += 1
                continue
            other = project.modules[original[0]].digests
            yield (
                path,
                digests[position][0],
                digests[position + length - 1][0],
                length,
                original[0],
                other[original[1]][0],
            )
            position += length


def _apart(place: Place, path: str, position: int) -> bool:
    return place[0] != path or place[1] + WINDOW <= position


def _varied(key: tuple[int, ...]) -> bool:
    """Not a table: most of the lines differ from each other."""
    return len(set(key)) >= WINDOW * 3 // 4


def _windows(project: Project, paths: list[str]) -> dict[int, list[Place]]:
    """Hash of every window that begins with a line seen elsewhere → where it begins."""
    counts: dict[int, int] = defaultdict(int)
    for path in paths:
        for _, digest in project.modules[path].digests:
            counts[digest] += 1
    table: dict[int, list[Place]] = defaultdict(list)
    for path in paths:
        values = [digest for _, digest in project.modules[path].digests]
        repeated = [counts[value] > 1 for value in values]
        run = 0
        for position in range(len(values) - 1, -1, -1):
            run = run + 1 if repeated[position] else 0
            if run >= WINDOW:
                places = table[hash(tuple(values[position : position + WINDOW]))]
                if len(places) < _CROWD:
                    places.append((path, position))
    return {key: sorted(places) for key, places in table.items() if len(places) > 1}


def _extent(project: Project, here: Place, there: Place) -> int:
    """How many significant lines agree from two places on."""
    one, other = project.modules[here[0]].digests, project.modules[there[0]].digests
    length = 0
    while here[1] + length < len(one) and there[1] + length < len(other):
        if one[here[1] + length][1] != other[there[1] + length][1] or (
            here[0] == there[0] and there[1] + length >= here[1]
        ):
            break
        length += 1
    return length


def _same_shape(project: Project, paths: list[str]) -> Iterator[tuple[str, Block, str, Block]]:
    """(file, function, file of the original, original) for functions of one shape."""
    first: dict[int, tuple[str, Block]] = {}
    for path in paths:
        for block in project.modules[path].blocks:
            if block.shape in first:
                yield path, block, *first[block.shape]
            else:
                first[block.shape] = (path, block)


RULE = Rule(
    id="duplicate-code",
    title="Code copied instead of shared",
    severity=Severity.NOTE,
    why="A mistake mended in one copy lives on in the others.",
    how="Move it into one function or into the common base, and import it.",
    project=_project,
)
