"""Labelled cases, and how well the rules do on them.

A corpus is a folder of ``<rule>.txt`` files. A case begins with ``=== title``, a file of it with ``--- path``; a line
on which the rule must report carries the mark ``«here»`` (stripped before the audit), and ``«file»`` anywhere
in a file asks for a report on its first line. A case without marks must stay silent.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from tandem.audit.scan import Options, audit

_HERE, _FILE = "«here»", "«file»"

Spot = tuple[str, int]
"""(file, line)."""


class Case(Struct, frozen=True):
    """One labelled tree: path → text, and where ``rule`` must report."""

    rule: str
    title: str
    files: dict[str, str]
    expected: frozenset[Spot]


class Verdict(Struct, frozen=True):
    """What the rule said about a case."""

    case: Case
    missed: frozenset[Spot]
    invented: frozenset[Spot]

    @property
    def right(self) -> bool:
        return not self.missed and not self.invented


class Score(Struct, frozen=True):
    """Counts of places over all cases of a rule."""

    rule: str
    cases: int
    hits: int
    missed: int
    invented: int

    @property
    def precision(self) -> float:
        """Share of the reports that were right, 0 to 1; 1 without any report."""
        return self.hits / (self.hits + self.invented) if self.hits + self.invented else 1.0

    @property
    def recall(self) -> float:
        """Share of the places that were reported, 0 to 1; 1 when there was nothing to report."""
        return self.hits / (self.hits + self.missed) if self.hits + self.missed else 1.0


def read_corpus(folder: Path) -> Iterator[Case]:
    """Every case of every ``*.txt`` below ``folder``, by file name."""
    for path in sorted(folder.glob("*.txt")):
        for block in path.read_text(encoding="utf-8").split("\n=== "):
            title, _, rest = block.removeprefix("=== ").partition("\n")
            if title.strip():
                yield _case(path.stem, title.strip(), rest)


def _case(rule: str, title: str, text: str) -> Case:
    files: dict[str, str] = {}
    expected: set[Spot] = set()
    for part in ("\n" + text).split("\n--- ")[1:]:
        path, _, body = part.partition("\n")
        lines = body.split("\n")
        for number, line in enumerate(lines, 1):
            if _HERE in line:
                expected.add((path, number))
            if _FILE in line:
                expected.add((path, 1))
        clean = (
            line.replace(_HERE, "").replace(_FILE, "").rstrip() if "«" in line else line for line in lines
        )
        files[path] = "\n".join(clean).rstrip("\n") + "\n"
    return Case(rule, title, files, frozenset(expected))


def judge(case: Case) -> Verdict:
    """Audit the case's files in a folder of their own."""
    with tempfile.TemporaryDirectory(prefix="tandem-corpus-") as name:
        root = Path(name)
        for path, text in case.files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        result = audit(Options(root=root, rules=frozenset({case.rule}), cache=False, jobs=1))
    found = frozenset((finding.path, finding.line) for finding in result.findings)
    return Verdict(case, case.expected - found, found - case.expected)


def score(verdicts: list[Verdict]) -> list[Score]:
    """The score of each rule, by name."""
    rules: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        rules.setdefault(verdict.case.rule, []).append(verdict)
    return [
        Score(
            rule,
            len(group),
            sum(len(verdict.case.expected - verdict.missed) for verdict in group),
            sum(len(verdict.missed) for verdict in group),
            sum(len(verdict.invented) for verdict in group),
        )
        for rule, group in sorted(rules.items())
    ]
