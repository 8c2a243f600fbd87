"""The table itself: complete, with no effect on what it does not name, and the page made of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tandem.supervise import lifecycle_doc
from tandem.supervise.decide import TABLE, decide
from tandem.supervise.lifecycle import (
    EVENTS,
    SERVING,
    AgentState,
    Emptied,
    Event,
    Exit,
    Exited,
    Leaving,
    Phase,
    Ready,
    Restart,
    Start,
    Stop,
    Unresponsive,
)


@pytest.mark.parametrize("event", [Ready, Leaving, Unresponsive, Emptied])
def test_news_of_an_older_instance_changes_nothing(event: type[Event]) -> None:
    """Events that carry another instance's identity are ignored in every phase."""
    for phase in Phase:
        state = AgentState(phase=phase, instance="new")
        assert decide(state, event("old"), 5.0).state == state


def test_the_table_names_only_known_phases_and_events() -> None:
    """Every phase has a row and every column is a declared event."""
    assert set(TABLE) == set(Phase)
    assert {event for row in TABLE.values() for event in row} <= set(EVENTS)
    assert all(TABLE[phase].keys() >= {Stop, Restart, Exited} for phase in SERVING)


def test_a_pair_outside_the_table_changes_nothing() -> None:
    """Invalid agents ignore everything, even a start."""
    state = AgentState(phase=Phase.INVALID, note="bad port")
    assert decide(state, Start(), 1.0).state == state


def test_exit_descriptions_are_in_words() -> None:
    """Exit causes name the code, the signal or the reason there was no process."""
    assert Exit(at=0, code=3).describe() == "exit code 3"
    assert Exit(at=0, signal=9).describe() == "killed by SIGKILL"
    assert Exit(at=0, signal=250).describe() == "killed by signal 250"
    assert Exit(at=0, code=78).describe() == "configuration error (exit code 78)"
    assert Exit(at=0, error="no such file").describe() == "could not be started: no such file"


def test_the_lifecycle_page_is_current() -> None:
    """docs/lifecycle.md is what the table renders to; run ``python -m tandem.supervise.lifecycle_doc docs/lifecycle.md``."""
    page = Path(__file__).parents[3] / "docs" / "lifecycle.md"
    assert page.read_text(encoding="utf-8") == lifecycle_doc.render()
