"""What time does to memories."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_agents.memory_services.contracts import NewMemory, Tier
from tandem_agents.memory_services.store import MemoryDatabase
from tandem_agents.memory_services.upkeep import (
    DAY_S,
    KEEP_SUPERSEDED_S,
    faded,
    next_tier,
    run_upkeep,
    shortened,
)

TIERS = st.sampled_from(["short", "medium", "long"])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryDatabase]:
    opened = MemoryDatabase(tmp_path / "memory.db")
    yield opened
    opened.close()


@pytest.mark.parametrize(("tier", "left"), [("short", 0.9), ("medium", 0.95), ("long", 0.99)])
def test_a_day_fades_by_tier(tier: Tier, left: float) -> None:
    """Ten, five and one percent a day."""
    assert faded(1.0, tier, DAY_S) == pytest.approx(left)


@given(st.floats(0, 1), TIERS, st.floats(0, 1e8), st.floats(0, 1e8))
def test_fading_in_steps_is_fading_at_once(
    importance: float, tier: Tier, first: float, second: float
) -> None:
    """How often upkeep runs makes no difference."""
    assert faded(faded(importance, tier, first), tier, second) == pytest.approx(
        faded(importance, tier, first + second), abs=1e-9
    )


@given(st.floats(0, 1), TIERS, st.floats(-1e9, 0))
def test_a_clock_set_back_changes_nothing(importance: float, tier: Tier, elapsed: float) -> None:
    """Time that ran backwards neither fades nor brightens."""
    assert faded(importance, tier, elapsed) == importance


@pytest.mark.parametrize(
    ("tier", "importance", "then"),
    [
        ("short", 0.4, "short"),
        ("short", 0.39, "medium"),
        ("medium", 0.2, "medium"),
        ("medium", 0.19, "long"),
        ("long", 0.0, "long"),
    ],
)
def test_tiers(tier: Tier, importance: float, then: Tier) -> None:
    """Below 0.4 short becomes medium, below 0.2 medium becomes long."""
    assert next_tier(tier, importance) == then


@given(st.text(max_size=600), st.integers(20, 300))
def test_shortening_keeps_within_the_limit(text: str, limit: int) -> None:
    """A shortened text fits; a short one is not touched."""
    short = shortened(text, limit)
    assert len(short) <= max(limit, 0) or short == text
    assert len(text) > limit or short == text


def test_shortening_keeps_whole_sentences() -> None:
    """The first sentences that fit remain."""
    assert (
        shortened("Tea is hot. It is from Ceylon. " + "More words follow here. " * 9, 40)
        == "Tea is hot. It is from Ceylon."
    )


def test_running_twice_is_running_once(store: MemoryDatabase) -> None:
    """A round repeated at the same time changes nothing, so a crash in between costs nothing."""
    [memory] = store.add([NewMemory(content="tea", importance=0.8)], 0.0)
    run_upkeep(store, DAY_S)
    once = store.get(memory.id)
    run_upkeep(store, DAY_S)
    assert store.get(memory.id) == once
    assert once.importance == pytest.approx(0.72)


def test_fading_leaves_the_index_of_words_alone(store: MemoryDatabase) -> None:
    """An hourly round over many memories whose texts stay does not write the full-text index."""
    store.add([NewMemory(content=f"tea number {number}") for number in range(20)], 0.0)
    index = "SELECT id, block FROM memory_words_data ORDER BY id"
    before = [tuple(row) for row in store.database.rows(index)]
    assert run_upkeep(store, DAY_S).faded == 20
    assert [tuple(row) for row in store.database.rows(index)] == before


def test_old_turns_become_one_summary_and_go_later(store: MemoryDatabase) -> None:
    """Turns fade to the long tier, three or more of a session merge, and leave after ninety days; the gist stays."""
    session = store.session("main", "", 0.0)
    texts = [f"said {number}. " + "And a lot more was said about it. " * 20 for number in range(4)]
    store.add(
        [
            NewMemory(content=text, kind="turn", parent=session.id, created=float(n))
            for n, text in enumerate(texts)
        ],
        0.0,
    )
    run_upkeep(store, 5 * DAY_S)
    now = 60 * DAY_S
    report = run_upkeep(store, now)
    assert report.merged == 4
    [summary] = store.children(session.id, 10)
    assert summary.kind == "summary"
    assert [line.split(".")[0] for line in summary.content.splitlines()] == [
        f"said {number}" for number in range(4)
    ]
    assert len(summary.content) <= 4 * 121
    assert run_upkeep(store, now + KEEP_SUPERSEDED_S + 1).dropped == 4
    assert [memory.id for memory in store.children(session.id, 10)] == [summary.id]


def test_two_turns_are_not_merged(store: MemoryDatabase) -> None:
    """Fewer than three stay as they are."""
    session = store.session("main", "", 0.0)
    store.add(
        [
            NewMemory(content="one", kind="turn", parent=session.id),
            NewMemory(content="two", kind="turn", parent=session.id),
        ],
        0.0,
    )
    run_upkeep(store, 5 * DAY_S)
    assert run_upkeep(store, 60 * DAY_S).merged == 0


def test_what_was_asked_to_be_remembered_stays_word_by_word(store: MemoryDatabase) -> None:
    """Ten years of upkeep fade a fact, but never shorten, merge or drop it."""
    content = "the long poem is " + "roses are red. " * 100
    [memory] = store.add(
        [NewMemory(content=content, kind="fact", subject="long poem", value="x", importance=0.9)], 0.0
    )
    for day in range(0, 3650, 30):
        run_upkeep(store, day * DAY_S)
    kept = store.get(memory.id)
    assert kept.content == content.strip() or kept.content == content
    assert kept.tier == "long"
    assert 0 < kept.importance < 0.1
