"""Finding memories: by words (FTS5, bm25), by meaning (cosine over unit vectors), and facts by their subject."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tandem_agents.memory_services.contracts import Closeness, Hit, Kind
from tandem_agents.memory_services.store import MAX_LISTED, MemoryDatabase
from tandem_agents.memory_services.words import content_words, match_expression, subject_key
from tandem_agents.storage import Row

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

FUSION_K = 60
"""Damps the first ranks when two rankings are fused (Cormack et al. 2009, reciprocal rank fusion)."""
CANDIDATES = 50
LEAST_COSINE = 0.40
"""Below this MiniLM sentence vectors are unrelated in practice. Such hits would be noise, and noise in a prompt makes
small models answer about the wrong thing."""
SAME_THING_COSINE = 0.60
"""A fact found by meaning alone must be at least this close, since a wrong fact is worse than none."""

_FILTER = """superseded_by = '' AND (?2 = '' OR kind = ?2)
    AND (?3 = '' OR id IN (SELECT memory FROM tags WHERE tag = ?3))"""


def by_words(
    store: MemoryDatabase, query: str, limit: int, tag: str = "", kind: Kind | None = None
) -> list[Hit]:
    """Memories that share meaningful words with the query, best first; rare words count more."""
    ids = _ranked_by_words(store, match_expression(query, "OR"), tag, kind, max(limit, CANDIDATES))
    return _hits(store, {memory_id: 1 / (rank + 1) for rank, memory_id in enumerate(ids)}, limit)


def by_meaning(
    store: MemoryDatabase,
    index: VectorIndex,
    query: str,
    vector: NDArray[np.float32],
    limit: int,
    tag: str = "",
    kind: Kind | None = None,
) -> list[Hit]:
    """Memories alike in meaning or words: both rankings fused."""
    allowed = {
        row["id"]
        for row in store.database.rows(
            f"SELECT id FROM memories WHERE {_FILTER} AND ?1 = ''", "", kind or "", tag
        )
    }
    alike = [
        memory_id
        for memory_id, cosine in index.nearest(vector, CANDIDATES * 4)
        if cosine >= LEAST_COSINE and memory_id in allowed
    ]
    worded = _ranked_by_words(store, match_expression(query, "OR"), tag, kind)
    scores: dict[str, float] = {}
    for ranking in (alike[:CANDIDATES], worded):
        for rank, memory_id in enumerate(ranking):
            scores[memory_id] = scores.get(memory_id, 0.0) + 1 / (FUSION_K + rank)
    return _hits(store, scores, limit)


def by_subject(store: MemoryDatabase, subject: str, closeness: Closeness, limit: int) -> list[Hit]:
    """Facts and notes about the subject, best first; empty rather than a guess.

    An exact subject comes first. Otherwise every meaningful word asked for must occur; for ``same`` and ``mentions``
    they must be two or more, and for ``same`` also cover at least half of the fact's own subject.
    """
    asked = set(content_words(subject))
    if not asked:
        return []
    rows = store.database.rows(
        """SELECT memories.id, memories.subject_key FROM memory_words JOIN memories ON memories.rowid = memory_words.rowid
        WHERE memory_words MATCH ? AND superseded_by = '' AND kind IN ('fact', 'note') ORDER BY rank LIMIT ?""",
        match_expression(subject, "AND"), CANDIDATES,
    )  # fmt: skip
    exact = subject_key(subject)
    scores: dict[str, float] = {}
    for rank, row in enumerate(rows):
        if row["subject_key"] == exact:
            scores[row["id"]] = 2.0 - rank / (4 * CANDIDATES)
        elif closeness == "about" or (
            len(asked) >= 2 and (closeness == "mentions" or _same_thing(asked, row))
        ):
            scores[row["id"]] = 1.0 - rank / (4 * CANDIDATES)
    if any(score > 1.5 for score in scores.values()):
        scores = {memory_id: score for memory_id, score in scores.items() if score > 1.5}
    return _hits(store, scores, limit)


def _same_thing(asked: set[str], row: Row) -> bool:
    own = set(row["subject_key"].split())
    return bool(own) and len(asked & own) * 2 >= len(own)


def facts_alike(
    store: MemoryDatabase, index: VectorIndex, vector: NDArray[np.float32], limit: int
) -> list[Hit]:
    """Facts and notes so close in meaning that they answer the question."""
    near = {
        memory_id: cosine
        for memory_id, cosine in index.nearest(vector, CANDIDATES)
        if cosine >= SAME_THING_COSINE
    }
    hits = _hits(store, near, CANDIDATES)
    return [hit for hit in hits if hit.memory.kind in ("fact", "note") and not hit.memory.superseded_by][
        :limit
    ]


def _ranked_by_words(
    store: MemoryDatabase, expression: str, tag: str, kind: Kind | None, most: int = CANDIDATES
) -> list[str]:
    if not expression:
        return []
    rows = store.database.rows(
        f"""SELECT memories.id FROM memory_words JOIN memories ON memories.rowid = memory_words.rowid
        WHERE memory_words MATCH ?1 AND {_FILTER} ORDER BY rank LIMIT ?4""",
        expression, kind or "", tag, min(most, MAX_LISTED),
    )  # fmt: skip
    return [row["id"] for row in rows]


def _hits(store: MemoryDatabase, scores: dict[str, float], limit: int) -> list[Hit]:
    best = sorted(scores, key=lambda memory_id: (-scores[memory_id], memory_id))[: max(1, limit)]
    return [Hit(memory, scores[memory.id]) for memory in store.get_many(best)]


class VectorIndex:
    """All vectors of one embedding model in one array: brute force, exact, and fast enough for a household.

    100,000 vectors of 384 float32 take 154 MB and about 15 ms a query on one core.
    """

    def __init__(self, model: str, dimensions: int):
        import numpy

        self._numpy = numpy
        self.model = model
        self.dimensions = dimensions
        self._ids: list[str] = []
        self._row_of: dict[str, int] = {}
        self._vectors = numpy.zeros((256, dimensions), dtype=numpy.float32)

    def __len__(self) -> int:
        return len(self._row_of)

    def load(self, store: MemoryDatabase) -> None:
        """Read every stored vector of this model."""
        for row in store.database.rows("SELECT memory, vector FROM vectors WHERE model = ?", self.model):
            vector = self._numpy.frombuffer(row["vector"], dtype=self._numpy.float32)
            if len(vector) == self.dimensions:
                self._put(row["memory"], vector)

    def add(self, store: MemoryDatabase, ids: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Store vectors of memories that still exist."""
        with store.database.transaction() as connection:
            for memory_id, vector in zip(ids, vectors, strict=True):
                connection.execute(
                    "INSERT OR REPLACE INTO vectors SELECT id, ?, ? FROM memories WHERE id = ?",
                    (self.model, vector.astype(self._numpy.float32).tobytes(), memory_id),
                )
        for memory_id, vector in zip(ids, vectors, strict=True):
            self._put(memory_id, vector)

    def missing(self, store: MemoryDatabase, limit: int) -> list[tuple[str, str]]:
        """(id, text) of memories this model has not seen yet, oldest first."""
        rows = store.database.rows(
            """SELECT id, content FROM memories LEFT JOIN vectors ON memory = id
            WHERE kind != 'session' AND (model IS NULL OR model != ?) ORDER BY created LIMIT ?""",
            self.model, limit,
        )  # fmt: skip
        return [(row["id"], row["content"]) for row in rows]

    def nearest(self, vector: NDArray[np.float32], limit: int) -> list[tuple[str, float]]:
        """(id, cosine), closest first."""
        cosines = self._vectors[: len(self._ids)] @ vector.astype(self._numpy.float32)
        order = self._numpy.argsort(-cosines)[:limit]
        return [
            (self._ids[row], float(cosines[row])) for row in order if self._row_of.get(self._ids[row]) == row
        ]

    def _put(self, memory_id: str, vector: NDArray[np.float32]) -> None:
        row = self._row_of.get(memory_id)
        if row is None:
            row = len(self._ids)
            self._ids.append(memory_id)
            self._row_of[memory_id] = row
            if row == len(self._vectors):
                grown = self._numpy.zeros((2 * row, self.dimensions), dtype=self._numpy.float32)
                grown[:row] = self._vectors
                self._vectors = grown
        self._vectors[row] = vector
