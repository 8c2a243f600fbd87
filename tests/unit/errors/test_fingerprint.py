"""What counts as the same error."""

from __future__ import annotations

import pytest

from tandem.errors import ErrorReport
from tandem.errors.fingerprint import fingerprint, likeness, normalised


def report(
    message: str = "m", *, agent: str = "A", kind: str = "T", frames: tuple[str, ...] = ()
) -> ErrorReport:
    return ErrorReport(
        id="i", agent=agent, machine="mainpc", type=kind, message=message, time=0.0, frames=frames
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("row 17 is missing", "row 4711 is missing"),
        ("connect to 10.0.0.1:4222 failed", "connect to 10.0.0.23:4223 failed"),
        ("no file /var/lib/a/b.db", "no file /home/x/c.db"),
        ("trace 4bf92f3577b34da6a3ce929d0e0e4736 lost", "trace 00f067aa0ba902b700f067aa0ba902b7 lost"),
        ("turn 01k5h3v9c2m4n6p8q0r2s4t6v8 failed", "turn 01k5h3v9c2m4n6p8q0r2s4t6w9 failed"),
        ("took 3.5 s", "took 12.25 s"),
        ("cannot read 'part-17'", "cannot read 'part-18'"),
        ("at 0x7f3a2b1c4d5e", "at 0x7f3a2b1c4d99"),
    ],
)
def test_what_varies_does_not_matter(one: str, other: str) -> None:
    """Numbers, addresses, paths and ids make no new error."""
    assert fingerprint(report(one)) == fingerprint(report(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (report("disk full"), report("disk slow")),
        (report(kind="OSError"), report(kind="ValueError")),
        (report(agent="A"), report(agent="B")),
        (report(frames=("m:f:1",)), report(frames=("m:g:1",))),
        (report("no agent 'Cook'"), report("no agent 'Waiter'")),
    ],
)
def test_what_matters_tells_errors_apart(one: ErrorReport, other: ErrorReport) -> None:
    """Type, agent, words, names and the place each make another error."""
    assert fingerprint(one) != fingerprint(other)


def test_a_new_release_moves_lines_only() -> None:
    """The line number is no part of the place."""
    assert fingerprint(report(frames=("m:f:1",))) == fingerprint(report(frames=("m:f:99",)))


def test_likeness_ignores_who_reports() -> None:
    """Several agents with the same trouble are alike."""
    assert likeness(report("disk 3 full", agent="A")) == likeness(report("disk 4 full", agent="B"))


def test_words_survive() -> None:
    """A message without variable parts stays as it is."""
    assert normalised("the model refused: out of context") == "the model refused: out of context"
