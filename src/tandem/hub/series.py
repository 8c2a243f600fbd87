"""What was measured, kept on the hub's disk: fine for hours, coarse for months (SQLite)."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path

from msgspec import Struct
from msgspec.structs import astuple

from tandem.core import clock
from tandem.hub.shelf import Shelf

HOUR_S, DAY_S = 3600.0, 86_400.0

LEVELS = (("fine", 10, 6 * HOUR_S), ("minutes", 60, 3 * DAY_S), ("quarters", 900, 90 * DAY_S))
"""Table, seconds of one bucket, how long it is kept. 77 agents take some 30 MB."""

MAX_POINTS = 400
"""Points of one curve: as many as a screen shows."""


class Point(Struct, frozen=True, kw_only=True, array_like=True):
    """One agent (or server) in the span that ended at ``at`` (Unix seconds); with an empty ``agent``, the whole machine.

    ``span_s``: seconds it stands for. ``up_s``: of them up. ``wanted_s``: of them it should have been up. ``checks``,
    ``passed``: health checks made and answered as healthy or degraded; ``health_s``, ``health_max_s`` how long they took.
    ``rss_bytes``, ``rss_max_bytes``: resident memory (the machine: used memory). ``cpu``: cores in use (the machine: load).
    ``requests``, ``errors``: answered, and answered with an error that is the agent's own; ``busy_s``: seconds spent on
    them. ``restarts``: since the node began. ``start_s``: how long its last start took, 0 unknown.
    """

    agent: str
    machine: str
    at: float
    span_s: float = 0.0
    up_s: float = 0.0
    wanted_s: float = 0.0
    checks: float = 0.0
    passed: float = 0.0
    health_s: float = 0.0
    health_max_s: float = 0.0
    rss_bytes: float = 0.0
    rss_max_bytes: float = 0.0
    cpu: float = 0.0
    requests: float = 0.0
    errors: float = 0.0
    busy_s: float = 0.0
    restarts: float = 0.0
    start_s: float = 0.0


_COLUMNS = Point.__struct_fields__
_SUMS = frozenset({"span_s", "up_s", "wanted_s", "checks", "passed", "requests", "errors", "busy_s"})
_MAXIMA = frozenset({"at", "health_max_s", "rss_max_bytes", "restarts", "start_s"})
"""What is neither summed nor a maximum is a mean, weighted by the span it stands for."""


def _merged(column: str) -> str:
    if column in ("agent", "machine"):
        return column
    if column in _SUMS:
        return f"SUM({column})"
    if column in _MAXIMA:
        return f"MAX({column})"
    return f"SUM({column} * span_s) / MAX(SUM(span_s), 1e-9)"


_SCHEMA = "".join(
    f"CREATE TABLE IF NOT EXISTS {table} (bucket INTEGER NOT NULL, {', '.join(f'{c} NOT NULL' for c in _COLUMNS)}, "
    f"PRIMARY KEY (machine, agent, bucket)) WITHOUT ROWID; CREATE INDEX IF NOT EXISTS {table}_by_time ON {table} (bucket);"
    for table, _, _ in LEVELS
)
_LIST = ", ".join(_COLUMNS)
_MERGED = ", ".join(_merged(column) for column in _COLUMNS)


class History:
    """Open with :meth:`open`; raises as :class:`~tandem.hub.shelf.Shelf` does."""

    def __init__(self, path: Path):
        self._shelf = Shelf(path, _SCHEMA)

    async def open(self) -> None:
        await self._shelf.open()

    async def close(self) -> None:
        await self._shelf.close()

    async def add(self, points: Iterable[Point]) -> None:
        """Keep points, each once however often it comes, in any order; coarser levels follow at once."""
        batch = list(points)
        if batch:
            await self._shelf.run(lambda db: _add(db, batch))

    async def curve(self, machine: str, agent: str, seconds: float, points: int = MAX_POINTS) -> list[Point]:
        """What is known of one agent of the last ``seconds``, oldest first, at most ``points`` of them."""
        now = clock.wall()
        table, step = _level(seconds, points)

        def work(db: sqlite3.Connection) -> list[Point]:
            rows = db.execute(
                f"SELECT {_MERGED} FROM {table} WHERE machine = ? AND agent = ? AND bucket > ? "
                "GROUP BY CAST(bucket / ? AS INTEGER) ORDER BY 3",
                (machine, agent, now - seconds, step),
            )
            return [_point(row) for row in rows]

        return await self._shelf.run(work)

    async def totals(self, seconds: float, machine: str = "") -> list[Point]:
        """One point for each agent (machines and servers left out of none) over the last ``seconds``."""
        now = clock.wall()
        table, _ = _level(seconds, 10_000)

        def work(db: sqlite3.Connection) -> list[Point]:
            rows = db.execute(
                f"SELECT {_MERGED} FROM {table} WHERE bucket > ?1 AND (?2 = '' OR machine = ?2) "
                "GROUP BY machine, agent ORDER BY machine, agent",
                (now - seconds, machine),
            )
            return [_point(row) for row in rows]

        return await self._shelf.run(work)

    async def tidy(self) -> None:
        """Forget what is older than its level keeps."""
        now = clock.wall()

        def work(db: sqlite3.Connection) -> None:
            for table, _, kept_s in LEVELS:
                db.execute(f"DELETE FROM {table} WHERE bucket < ?", (now - kept_s,))
            db.execute("PRAGMA incremental_vacuum(1000)")

        await self._shelf.run(work)


def _level(seconds: float, points: int) -> tuple[str, float]:
    """The finest table that reaches back so far, and how many seconds of it make one of ``points``."""
    for table, width, kept_s in LEVELS:
        # A level with far more rows than points would be read for nothing.
        if seconds <= kept_s and seconds / width <= 20 * points:
            return table, max(float(width), seconds / points)
    table, width, _ = LEVELS[-1]
    return table, max(float(width), seconds / points)


def _add(db: sqlite3.Connection, batch: list[Point]) -> None:
    marks = ", ".join("?" * (len(_COLUMNS) + 1))
    table, width, _ = LEVELS[0]
    db.executemany(
        f"INSERT OR REPLACE INTO {table} VALUES ({marks})",
        [(int(point.at // width * width), *astuple(point)) for point in batch],
    )
    for (finer, _, _), (coarser, step, _) in pairwise(LEVELS):
        for bucket in {int(point.at // step * step) for point in batch}:
            # A bucket whose finer points are partly forgotten already must not replace the whole one.
            db.execute(
                f"INSERT INTO {coarser} SELECT ?1, {_MERGED} FROM {finer} WHERE bucket >= ?1 AND bucket < ?1 + ?2 "
                f"AND machine IN ({', '.join('?' * len({p.machine for p in batch}))}) GROUP BY machine, agent "
                f"ON CONFLICT DO UPDATE SET ({_LIST}) = ({', '.join(f'excluded.{c}' for c in _COLUMNS)}) "
                "WHERE excluded.span_s >= span_s",
                (bucket, step, *{p.machine for p in batch}),
            )


def _point(row: tuple[object, ...]) -> Point:
    return Point(**dict(zip(_COLUMNS, row, strict=True)))  # type: ignore[arg-type]
