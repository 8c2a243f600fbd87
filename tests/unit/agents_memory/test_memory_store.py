"""The memory store: entries, facts that supersede, links, groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.core.errors import InvalidArguments, NotFound, TooLarge
from tandem_agents.memory_services.contracts import Change, Link, NewMemory
from tandem_agents.memory_services.store import MAX_CONTENT_CHARS, MemoryDatabase
from tandem_agents.memory_services.words import content_words, match_expression, subject_key


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryDatabase]:
    opened = MemoryDatabase(tmp_path / "memory.db")
    yield opened
    opened.close()


def fact(subject: str, value: str, **others: object) -> NewMemory:
    return NewMemory(content=f"the {subject} is {value}", kind="fact", subject=subject, value=value, **others)  # type: ignore[arg-type]


def test_a_memory_comes_back_whole(store: MemoryDatabase) -> None:
    """Every field that was stored is read back, tags sorted."""
    new = NewMemory(
        content="tea", tier="medium", importance=0.7, tags=["b", "a"], metadata={"k": "v"}, created=5.0
    )
    [stored] = store.add([new], 9.0)
    assert store.get(stored.id) == stored
    assert (stored.content, stored.tier, stored.importance, stored.tags) == ("tea", "medium", 0.7, ["a", "b"])
    assert (stored.metadata, stored.created, stored.kind) == ({"k": "v"}, 5.0, "note")


def test_storing_again_under_the_same_id_changes_nothing(store: MemoryDatabase) -> None:
    """A repeated call keeps what is there, so a retry is safe."""
    store.add([NewMemory(id="x", content="first")], 1.0)
    [again] = store.add([NewMemory(id="x", content="second", tags=["t"])], 2.0)
    assert (again.content, again.tags) == ("first", [])


def test_a_batch_is_all_or_nothing(store: MemoryDatabase) -> None:
    """One impossible memory stores none of its batch."""
    with pytest.raises(NotFound):
        store.add([NewMemory(content="good"), NewMemory(content="orphan", parent="nobody")], 1.0)
    assert store.newest(None, "", 10) == []


@pytest.mark.parametrize(
    ("memory", "error"),
    [
        (NewMemory(content="  "), InvalidArguments), (NewMemory(content="x", importance=1.5), InvalidArguments),
        (NewMemory(content="x" * (MAX_CONTENT_CHARS + 1)), TooLarge),
    ],
)  # fmt: skip
def test_what_cannot_be_remembered_is_refused(
    store: MemoryDatabase, memory: NewMemory, error: type[Exception]
) -> None:
    """Emptiness, nonsense and floods are refused in words."""
    with pytest.raises(error):
        store.add([memory], 1.0)


def test_the_newest_fact_about_a_subject_holds(store: MemoryDatabase) -> None:
    """A later statement supersedes the earlier one, in other words for the same subject, and links to it."""
    [old] = store.add([fact("boiler code", "4711")], 1.0)
    [new] = store.add([fact("code of the boiler", "5000")], 2.0)
    assert store.get(old.id).superseded_by == new.id
    assert [memory.value for memory in store.newest("fact", "", 10)] == ["5000"]
    assert [related.link.kind for related in store.related(new.id, "")] == ["supersedes"]


def test_a_note_told_twice_is_one_note(store: MemoryDatabase) -> None:
    """The same words again replace the note; other words, and whatever is no note, stay."""
    for content, kind in (
        ("Anna likes orchids", "note"),
        ("anna likes orchids", "note"),
        ("Anna likes tea", "note"),
        ("hi", "turn"),
        ("hi", "turn"),
    ):
        store.add([NewMemory(content=content, kind=kind)], 1.0)  # type: ignore[arg-type]
    assert [memory.content for memory in store.newest(None, "", 10)] == [
        "hi",
        "hi",
        "Anna likes tea",
        "anna likes orchids",
    ]


def test_a_fact_that_arrives_late_does_not_replace_a_newer_one(store: MemoryDatabase) -> None:
    """Order of telling decides, not order of arrival, since changes may wait for a cut link."""
    [new] = store.add([fact("boiler code", "5000", created=20.0)], 20.0)
    [late] = store.add([fact("boiler code", "4711", created=10.0)], 30.0)
    assert late.superseded_by == new.id
    assert store.get(new.id).superseded_by == ""


def test_forgetting_a_fact_forgets_what_it_superseded(store: MemoryDatabase) -> None:
    """An older version does not come back to life."""
    store.add([fact("boiler code", "1")], 1.0)
    store.add([fact("boiler code", "2")], 2.0)
    [newest] = store.add([fact("boiler code", "3")], 3.0)
    assert store.delete(newest.id) == 3
    assert store.stats().memories == 0


def test_children_go_with_their_parent(store: MemoryDatabase) -> None:
    """Deleting a session deletes its turns; children come newest, in order of time."""
    session = store.session("main", "", 1.0)
    store.add(
        [NewMemory(content=f"turn {n}", kind="turn", parent=session.id, created=float(n)) for n in range(5)],
        9.0,
    )
    assert [memory.content for memory in store.children(session.id, 2)] == ["turn 3", "turn 4"]
    assert store.delete(session.id) == 6
    with pytest.raises(NotFound):
        store.children(session.id, 1)


def test_a_session_is_opened_once(store: MemoryDatabase) -> None:
    """The same name is the same session."""
    assert store.session("main", "a", 1.0) == store.session("main", "b", 2.0)


def test_changes_are_found_again(store: MemoryDatabase) -> None:
    """An update changes only what it names and marks the time."""
    [stored] = store.add([NewMemory(content="tea is hot", tags=["old"])], 1.0)
    updated = store.update(stored.id, Change(content="tea is cold", tags=["new"]), 5.0)
    assert (updated.content, updated.tags, updated.importance, updated.updated) == (
        "tea is cold",
        ["new"],
        0.5,
        5.0,
    )
    with pytest.raises(NotFound):
        store.update("nobody", Change(), 1.0)


def test_importance_is_raised_to_one_at_most(store: MemoryDatabase) -> None:
    """Reinforcing adds up and stops at 1; nonsense amounts are refused."""
    [stored] = store.add([NewMemory(content="tea", importance=0.85)], 1.0)
    assert store.reinforce(stored.id, 0.1, 2.0).importance == pytest.approx(0.95)
    assert store.reinforce(stored.id, 0.5, 2.0).importance == 1.0
    with pytest.raises(InvalidArguments):
        store.reinforce(stored.id, 0.0, 2.0)


def test_links_are_followed_both_ways(store: MemoryDatabase) -> None:
    """A link is found from either end, strongest first, and by kind; impossible links are refused."""
    a, b, c = store.add([NewMemory(content=text) for text in "abc"], 1.0)
    store.link(Link(a.id, b.id, "about", 0.5))
    store.link(Link(c.id, a.id, "cause", 0.9))
    assert [related.memory.content for related in store.related(a.id, "")] == ["c", "b"]
    assert [related.memory.content for related in store.related(b.id, "about")] == ["a"]
    for wrong, error in (
        (Link(a.id, a.id), InvalidArguments),
        (Link(a.id, "nobody"), NotFound),
        (Link(a.id, b.id, strength=2), InvalidArguments),
    ):
        with pytest.raises(error):
            store.link(wrong)


def test_groups(store: MemoryDatabase) -> None:
    """A group is made once, counts its members once, and is known by id or name."""
    group = store.group("trip", "to Cebu", 1.0)
    assert store.group("trip", "other", 2.0) == group
    [memory] = store.add([NewMemory(content="tickets")], 1.0)
    assert store.add_to_group("trip", memory.id, 1.0) == 1
    assert store.add_to_group(group.id, memory.id, 2.0) == 1
    assert [member.content for member in store.members("trip", 10)] == ["tickets"]
    with pytest.raises(NotFound):
        store.members("nothing", 10)
    with pytest.raises(InvalidArguments):
        store.group(" ", "", 1.0)


def test_lists_are_filtered_and_bounded(store: MemoryDatabase) -> None:
    """Listing knows kinds and tags, newest first, and refuses a limit below one."""
    store.add([NewMemory(content="one", tags=["t"], created=1.0), fact("x", "y", created=2.0)], 3.0)
    assert [memory.kind for memory in store.newest(None, "", 10)] == ["fact", "note"]
    assert [memory.content for memory in store.newest(None, "t", 10)] == ["one"]
    with pytest.raises(InvalidArguments):
        store.newest(None, "", 0)


def test_statistics_count(store: MemoryDatabase) -> None:
    """The statistics tell kinds, tiers and missing vectors."""
    store.add([NewMemory(content="one"), fact("x", "y", tier="long")], 3.0)
    stats = store.stats()
    assert (stats.memories, stats.by_kind, stats.by_tier) == (
        2,
        {"fact": 1, "note": 1},
        {"long": 1, "short": 1},
    )
    assert stats.without_vector == 2
    assert stats.bytes > 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("boiler code", "the code of the boiler"),
        ("Anna's birthday", "birthday of Anna"),
        ("café key", "cafe keys"),
        ("wifi password", "my WiFi password"),
    ],
)
def test_one_thing_named_two_ways_is_one_subject(one: str, other: str) -> None:
    """Order, articles, possessives, plural and accents do not make another subject."""
    assert subject_key(one) == subject_key(other)


def test_different_things_are_different_subjects() -> None:
    """A garage is no boiler, and glass is not glas."""
    assert subject_key("boiler code") != subject_key("garage code")
    assert content_words("glass bus") == ["glass", "bus"]


FIND = "SELECT rowid FROM memory_words WHERE memory_words MATCH ?"


@given(st.text(max_size=60))
def test_any_text_makes_a_valid_query(text: str) -> None:
    """Whatever a person types is a query the search understands; where nothing is stored it finds nothing."""
    expression = match_expression(text, "AND")
    if expression:
        database = MemoryDatabase(Path(":memory:"))
        assert database.database.rows(FIND, expression) == []
        database.close()


@given(st.lists(st.sampled_from(["tea", "AND", "OR", "NOT", "NEAR(", '"', "'", "*", "^", "-", ":", "content:", ")", "it's", "+"]), max_size=12))
def test_quotes_and_operators_are_only_words_to_the_search(pieces: list[str]) -> None:
    """A memory is found by its own text, whatever of the search's own language is in it."""
    text = " ".join([*pieces, "kettle"])
    database = MemoryDatabase(Path(":memory:"))
    database.add([NewMemory(content=text)], 1.0)
    assert len(database.database.rows(FIND, match_expression(text, "AND"))) == 1
    database.close()
