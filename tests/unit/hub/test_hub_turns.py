"""Turns on a hub's disk."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tandem.core import clock
from tandem.core.errors import NotFound
from tandem.core.ids import new_id
from tandem.hub import turns as turns_module
from tandem.hub.turns import TurnStore
from tandem.telemetry.tracing import Span, trace_of, turn_of


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[TurnStore]:
    made = TurnStore(tmp_path / "turns.db")
    await made.open()
    yield made
    await made.close()


def spans(trace: str, age_s: float = 0.0, agent: str = "Responder") -> list[Span]:
    start = clock.wall() - age_s
    root = Span(trace_id=trace, span_id="1" * 16, name="turn", agent="RequestCoordinator", machine="mainpc", start=start, duration_s=1.0)
    child = Span(
        trace_id=trace, span_id="2" * 16, parent_id="1" * 16, name="answer", agent=agent, machine="pc2",
        start=start + 0.1, duration_s=0.5,
    )  # fmt: skip
    return [root, child]


async def test_spans_in_pieces_make_one_turn(store: TurnStore) -> None:
    """Spans arrive late, in any order and twice; the turn has each once."""
    trace = trace_of(new_id())
    root, child = spans(trace)
    for batch in ([child], [root, child], [root]):
        summaries = await store.take(batch)
    assert [(s.spans, s.agents, s.name) for s in summaries] == [(2, 2, "turn")]
    summary, rows = await store.turn(turn_of(trace))
    assert summary == summaries[0]
    assert [(row.span.name, row.depth) for row in rows] == [("turn", 0), ("answer", 1)]


async def test_a_turn_is_found_by_its_names_and_words(store: TurnStore) -> None:
    """Id, trace, first letters, an agent, a span's name; and what only looks like a pattern finds nothing."""
    one, two = trace_of(new_id()), trace_of(new_id())
    await store.take(spans(one, 10))
    await store.take(spans(two, agent="Chitchat_Agent"))
    assert [s.trace_id for s in await store.recent()] == [two, one]
    assert [s.trace_id for s in await store.recent(search="chitchat")] == [two]
    assert [s.trace_id for s in await store.recent(search="chitchat_agent")] == [two]
    assert await store.recent(search="chit%agent") == []
    assert [s.trace_id for s in await store.recent(search=turn_of(one))] == [one]
    assert [s.trace_id for s in await store.recent(since=clock.wall() - 5)] == [two]
    for name in (turn_of(one), one, one[:31], turn_of(one).upper()):
        assert (await store.turn(name))[0].trace_id == one
    for name in (turn_of(one)[:4], "nothing", "%", ""):
        with pytest.raises(NotFound):
            await store.turn(name)


async def test_old_turns_are_forgotten_with_their_spans(store: TurnStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """By age, and by number when there are too many."""
    old, kept = trace_of(new_id()), [trace_of(new_id()) for _ in range(5)]
    await store.take(spans(old, turns_module.KEPT_S + 60))
    for number, trace in enumerate(kept):
        await store.take(spans(trace, 100 - number))
    await store.tidy()
    assert {s.trace_id for s in await store.recent()} == set(kept)
    with pytest.raises(NotFound):
        await store.turn(old)
    monkeypatch.setattr(turns_module, "MAX_TURNS", 2)
    await store.tidy()
    assert [s.trace_id for s in await store.recent()] == [kept[4], kept[3]]
