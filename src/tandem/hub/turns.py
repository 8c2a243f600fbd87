"""Turns kept for days on the hub's disk, so that looking back needs nothing else installed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tandem.core import clock
from tandem.core.errors import NotFound
from tandem.hub.shelf import Shelf
from tandem.telemetry.tracing import Span, trace_of
from tandem.telemetry.waterfall import Row, TurnSummary, summarise, waterfall

KEPT_S = 7 * 86_400.0
MAX_TURNS = 20_000
MAX_SPANS = 2_000
"""Spans kept of one turn; a loop gone wild must not fill the disk."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS turns (
    trace TEXT PRIMARY KEY, turn TEXT NOT NULL, start REAL NOT NULL, words TEXT NOT NULL, summary BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS turns_by_start ON turns (start);
CREATE TABLE IF NOT EXISTS spans (
    trace TEXT NOT NULL, span TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (trace, span)
) WITHOUT ROWID;
"""

_encode = msgspec.msgpack.Encoder().encode
_span = msgspec.msgpack.Decoder(Span).decode
_summary = msgspec.msgpack.Decoder(TurnSummary).decode


class TurnStore:
    """Every span of every sampled turn for a week, at most :data:`MAX_TURNS` turns. Raises as :class:`Shelf` does."""

    def __init__(self, path: Path, kept_s: float = KEPT_S):
        self._shelf = Shelf(path, _SCHEMA)
        self._kept_s = kept_s

    async def open(self) -> None:
        await self._shelf.open()

    async def close(self) -> None:
        await self._shelf.close()

    async def take(self, spans: Iterable[Span]) -> list[TurnSummary]:
        """Keep spans, each once however often it comes; the turns they belong to, as they are now."""
        batch = list(spans)
        return await self._shelf.run(lambda db: _take(db, batch))

    async def recent(self, limit: int = 50, search: str = "", since: float = 0.0) -> list[TurnSummary]:
        """The latest first; ``search`` matches the id's beginning, a span's name or an agent; ``since``: Unix seconds."""
        wanted = search.strip().lower()
        pattern = "%" + wanted.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_") + "%"

        def work(db: sqlite3.Connection) -> list[TurnSummary]:
            rows = db.execute(
                "SELECT summary FROM turns WHERE start >= ?1 AND (?2 = '' OR turn LIKE ?2 || '%' OR trace LIKE ?2 || '%' "
                r"OR words LIKE ?3 ESCAPE '\') ORDER BY start DESC LIMIT ?4",
                (since, wanted, pattern, limit),
            )
            return [_summary(row[0]) for row in rows]

        return await self._shelf.run(work)

    async def turn(self, name: str) -> tuple[TurnSummary, list[Row]]:
        """One turn by its id, trace id or enough of their first letters. Raises :class:`NotFound`."""
        spans = await self._shelf.run(lambda db: _spans(db, _find(db, name.strip().lower())))
        return summarise(spans), waterfall(spans)

    async def tally(self, since: float, limit_s: float) -> tuple[int, int]:
        """Turns that began since then (Unix seconds): how many took longer than ``limit_s`` or had an error, and all."""

        def work(db: sqlite3.Connection) -> tuple[int, int]:
            found = [_summary(row[0]) for row in db.execute("SELECT summary FROM turns WHERE start >= ?", (since,))]
            return sum(turn.duration_s > limit_s or turn.errors > 0 for turn in found), len(found)

        return await self._shelf.run(work)

    async def tidy(self) -> None:
        """Forget what is too old or too much."""
        oldest = clock.wall() - self._kept_s

        def work(db: sqlite3.Connection) -> None:
            db.execute("DELETE FROM turns WHERE start < ?", (oldest,))
            db.execute(
                "DELETE FROM turns WHERE trace IN (SELECT trace FROM turns ORDER BY start DESC LIMIT -1 OFFSET ?)", (MAX_TURNS,)
            )
            db.execute("DELETE FROM spans WHERE trace NOT IN (SELECT trace FROM turns)")
            db.execute("PRAGMA incremental_vacuum(1000)")

        await self._shelf.run(work)


def _take(db: sqlite3.Connection, batch: list[Span]) -> list[TurnSummary]:
    db.executemany(
        "INSERT OR IGNORE INTO spans VALUES (?, ?, ?)", [(span.trace_id, span.span_id, _encode(span)) for span in batch]
    )
    found = []
    for trace in {span.trace_id for span in batch}:
        spans = _spans(db, trace)
        summary = summarise(spans)
        found.append(summary)
        named = {summary.name, *(word for span in spans for word in (span.name, span.agent))}
        words = " ".join(sorted({word.lower() for word in named}))
        db.execute(
            "INSERT OR REPLACE INTO turns VALUES (?, ?, ?, ?, ?)",
            (trace, summary.turn, summary.start, words, _encode(summary)),
        )
    return found


def _spans(db: sqlite3.Connection, trace: str) -> list[Span]:
    rows = db.execute("SELECT data FROM spans WHERE trace = ? LIMIT ?", (trace, MAX_SPANS))
    return [_span(row[0]) for row in rows]


def _find(db: sqlite3.Connection, name: str) -> str:
    """The trace ``name`` means."""
    try:
        whole = trace_of(name)
    except ValueError:
        whole = name
    rows = db.execute(
        "SELECT trace FROM turns WHERE trace = ?1 OR (?2 <> '' AND (turn LIKE ?2 || '%' OR trace LIKE ?2 || '%')) LIMIT 20",
        (whole, "".join(letter for letter in name if letter.isalnum())),
    ).fetchall()
    if len(rows) == 1:
        return str(rows[0][0])
    if any(row[0] == whole for row in rows):
        return whole
    if rows:
        raise NotFound(f"several turns begin with {name}", hint="give more of its letters")
    raise NotFound(f"no turn {name} is kept", hint="turns are kept for a week")
