"""Finding memories by words, by meaning, and facts by their subject."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from tandem_agents.memory_services.contracts import NewMemory
from tandem_agents.memory_services.retrieval import (
    VectorIndex,
    by_meaning,
    by_subject,
    by_words,
    facts_alike,
)
from tandem_agents.memory_services.store import MemoryDatabase


@pytest.fixture
def store(tmp_path: Path) -> Iterator[MemoryDatabase]:
    opened = MemoryDatabase(tmp_path / "memory.db")
    opened.add(
        [
            NewMemory(
                id="boiler",
                content="the boiler code is 4711",
                kind="fact",
                subject="boiler code",
                value="4711",
            ),
            NewMemory(
                id="garage", content="the garage code is 99", kind="fact", subject="garage code", value="99"
            ),
            NewMemory(
                id="anna",
                content="Anna's birthday is on May 3rd",
                kind="fact",
                subject="Anna's birthday",
                value="on May 3rd",
            ),
            NewMemory(id="orchids", content="Anna likes orchids", tags=["garden"]),
            NewMemory(id="turn", content="we talked about the boiler", kind="turn"),
        ],
        1.0,
    )
    yield opened
    opened.close()


def ids(hits: list) -> list[str]:  # type: ignore[type-arg]
    return [hit.memory.id for hit in hits]


@pytest.mark.parametrize(
    ("subject", "closeness", "found"),
    [
        ("boiler code", "same", ["boiler"]), ("the code for the boiler", "same", ["boiler"]), ("BOILER CODES", "same", ["boiler"]),
        ("boiler", "about", ["boiler"]), ("Anna's birthday", "same", ["anna"]), ("anna", "about", ["anna", "orchids"]),
        ("codes", "about", ["boiler", "garage"]),
        ("orchids Anna", "mentions", ["orchids"]), ("orchids", "mentions", []),
        # Nothing rather than a guess:
        ("code", "same", []), ("anna", "same", []), ("boiler", "same", []), ("capital of France", "same", []), ("capital of France", "about", []),
        ("boiler colour", "about", []), ("", "about", []), ("the", "about", []), ("orchids and boilers", "about", []),
    ],
)  # fmt: skip
def test_facts_by_subject(store: MemoryDatabase, subject: str, closeness: str, found: list[str]) -> None:
    """An exact subject finds its fact alone, a part of it finds everything it is in, and a miss finds nothing."""
    assert sorted(ids(by_subject(store, subject, closeness, 5))) == sorted(found)  # type: ignore[arg-type]


def test_words_rank_rare_ones_first(store: MemoryDatabase) -> None:
    """A rare word counts more than a common one; filters hold."""
    assert ids(by_words(store, "boiler code", 5))[0] == "boiler"
    assert ids(by_words(store, "orchids", 5, tag="garden")) == ["orchids"]
    assert ids(by_words(store, "orchids", 5, tag="other")) == []
    assert ids(by_words(store, "boiler", 5, kind="turn")) == ["turn"]
    assert ids(by_words(store, "?!", 5)) == []
    assert len(by_words(store, "code", 1)) == 1


def unit(*values: float) -> NDArray[np.float32]:
    vector = np.array(values, dtype=np.float32)
    return vector / np.float32(np.linalg.norm(vector))


@pytest.fixture
def index(store: MemoryDatabase) -> VectorIndex:
    """A made-up model of three dimensions: secrets, people, plants."""
    made = VectorIndex("tiny", 3)
    vectors = {
        "boiler": unit(1, 0, 0.1),
        "garage": unit(1, 0, -0.1),
        "anna": unit(0, 1, 0),
        "orchids": unit(0, 0.6, 1),
    }
    made.add(store, list(vectors), np.stack(list(vectors.values())))
    return made


def test_meaning_finds_what_no_word_says(store: MemoryDatabase, index: VectorIndex) -> None:
    """A query that shares no word is answered by its vector; words and meaning together rank first."""
    assert ids(by_meaning(store, index, "flowers", unit(0, 0.3, 1), 1)) == ["orchids"]
    assert ids(by_meaning(store, index, "garage secret", unit(1, 0, 0), 2))[0] == "garage"
    assert ids(by_meaning(store, index, "nothing alike", unit(-1, -1, -1), 5)) == []
    assert ids(by_meaning(store, index, "plants", unit(0, 0, 1), 5, tag="garden")) == ["orchids"]


def test_a_fact_by_meaning_must_be_very_close(store: MemoryDatabase, index: VectorIndex) -> None:
    """A vague likeness answers nothing: a wrong fact is worse than none."""
    assert ids(facts_alike(store, index, unit(0, 1, 0.1), 1)) == ["anna"]
    assert ids(facts_alike(store, index, unit(0.5, 0.5, -1), 5)) == []


def test_vectors_are_kept_with_their_model(store: MemoryDatabase, index: VectorIndex) -> None:
    """A reopened index has the same neighbours; another model sees none of them and asks for all texts."""
    again = VectorIndex("tiny", 3)
    again.load(store)
    assert len(again) == 4
    assert again.nearest(unit(0, 1, 0), 1)[0][0] == "anna"
    assert [memory_id for memory_id, _ in again.missing(store, 10)] == ["turn"]
    other = VectorIndex("other", 3)
    other.load(store)
    assert (len(other), len(other.missing(store, 10))) == (0, 5)


def test_superseded_and_deleted_memories_are_not_found(store: MemoryDatabase, index: VectorIndex) -> None:
    """The index may still hold their vectors; the answer does not."""
    store.add(
        [
            NewMemory(
                id="new", content="the boiler code is 5000", kind="fact", subject="boiler code", value="5000"
            )
        ],
        2.0,
    )
    store.delete("garage")
    assert ids(by_meaning(store, index, "code", unit(1, 0, 0), 5)) == ["new"]
    assert ids(by_subject(store, "boiler code", "same", 5)) == ["new"]
    assert ids(facts_alike(store, index, unit(1, 0, 0), 5)) == []


def test_the_index_grows(store: MemoryDatabase) -> None:
    """Thousands of vectors keep their rows, and a replaced one keeps its place."""
    index = VectorIndex("tiny", 3)
    store.add([NewMemory(id=f"m{n}", content=f"number {n}") for n in range(1000)], 3.0)
    vectors = np.random.default_rng(1).normal(size=(1000, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    index.add(store, [f"m{n}" for n in range(1000)], vectors)
    assert index.nearest(vectors[777], 1)[0][0] == "m777"
    index.add(store, ["m777"], -vectors[777:778])
    assert index.nearest(vectors[777], 1)[0][0] != "m777"
    assert len(index) == 1000


def test_as_many_are_found_as_are_asked_for(store: MemoryDatabase) -> None:
    """A limit above the usual number of candidates is kept."""
    store.add([NewMemory(content=f"kettle {number}") for number in range(70)], 1.0)
    assert len(by_words(store, "kettle", 500)) == 70
    assert len(by_words(store, "kettle", 5)) == 5
