"""The durable book of alarms. Each machine keeps one; they agree by merging, and each alarm rings once, by id.

An alarm only moves forwards: pending, ringing, then rung or cancelled. Merging two books therefore never needs
to ask which one is newer: the further state wins, and of two final ones the earlier.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import get_args

import msgspec
from msgspec import structs

from tandem_agents.infrastructure.contracts import Alarm, AlarmState
from tandem_agents.storage import Database, Migration, Row

MIGRATIONS = (
    Migration(
        1,
        """
CREATE TABLE alarms (
    id TEXT PRIMARY KEY,
    due REAL NOT NULL,
    state TEXT NOT NULL,
    settled REAL NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX alarms_by_due ON alarms(state, due);
CREATE INDEX alarms_by_settled ON alarms(settled);
""",
    ),
)
KEEP_SETTLED_S = 30 * 86_400.0
_PROGRESS: dict[AlarmState, int] = {"pending": 0, "ringing": 1, "rung": 2, "cancelled": 2}
assert set(_PROGRESS) == set(get_args(AlarmState))


def merged(ours: Alarm, theirs: Alarm) -> Alarm:
    """The one of two versions of an alarm that is further on; commutative, associative and idempotent."""
    return max(ours, theirs, key=_progress)


def _progress(alarm: Alarm) -> tuple[int, float, str]:
    return _PROGRESS[alarm.state], -alarm.settled, alarm.state


class AlarmBook:
    """One machine's alarms, on disk. Not for several threads at once."""

    def __init__(self, path: Path, epoch: int = 0):
        self._database = Database(path, MIGRATIONS, epoch)

    def close(self) -> None:
        self._database.close()

    def merge(self, alarms: Iterable[Alarm]) -> list[Alarm]:
        """Take over what is further on in ``alarms``; returns those that changed this book."""
        changed = []
        with self._database.transaction() as store:
            for theirs in alarms:
                row = store.execute("SELECT body FROM alarms WHERE id = ?", (theirs.id,)).fetchone()
                result = merged(_alarm(row), theirs) if row else theirs
                if row is None or result != _alarm(row):
                    changed.append(result)
                    store.execute(
                        "INSERT OR REPLACE INTO alarms VALUES (?, ?, ?, ?, ?)",
                        (result.id, result.due, result.state, result.settled, msgspec.msgpack.encode(result)),
                    )
        return changed

    def advance(self, alarm_id: str, state: AlarmState, now: float) -> Alarm | None:
        """Move an alarm on; None when it is unknown or already at least as far. Exactly one caller gets it."""
        current = self.get(alarm_id)
        if current is None or _PROGRESS[current.state] >= _PROGRESS[state]:
            return None
        final = _PROGRESS[state] == 2
        moved = structs.replace(current, state=state, settled=now if final else 0.0)
        return moved if self.merge([moved]) else None

    def get(self, alarm_id: str) -> Alarm | None:
        row = self._database.row("SELECT body FROM alarms WHERE id = ?", alarm_id)
        return _alarm(row) if row else None

    def in_state(self, state: AlarmState) -> list[Alarm]:
        """Soonest first."""
        return [
            _alarm(row)
            for row in self._database.rows("SELECT body FROM alarms WHERE state = ? ORDER BY due, id", state)
        ]

    def everything(self) -> list[Alarm]:
        """All that is kept, settled ones included."""
        return [_alarm(row) for row in self._database.rows("SELECT body FROM alarms ORDER BY due, id")]

    def next_due(self) -> float | None:
        row = self._database.row("SELECT min(due) AS due FROM alarms WHERE state = 'pending'")
        return row["due"] if row else None

    def forget_settled(self, now: float) -> int:
        """Drop what rang or was cancelled more than thirty days ago."""
        with self._database.transaction() as store:
            return store.execute(
                "DELETE FROM alarms WHERE state IN ('rung', 'cancelled') AND settled < ?",
                (now - KEEP_SETTLED_S,),
            ).rowcount


def _alarm(row: Row) -> Alarm:
    return msgspec.msgpack.decode(row["body"], type=Alarm)
