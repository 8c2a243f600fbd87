"""The durable list of scheduled tasks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import structs

from tandem.core.errors import InvalidArguments, NotFound
from tandem_agents.infrastructure.contracts import ScheduledTask, TaskState
from tandem_agents.storage import Database, Migration, Row

MIGRATIONS = (
    Migration(
        1,
        """
CREATE TABLE tasks (
    id TEXT PRIMARY KEY,
    due REAL NOT NULL,
    rank INTEGER NOT NULL,
    state TEXT NOT NULL,
    changed REAL NOT NULL,
    body BLOB NOT NULL
) STRICT;
CREATE INDEX tasks_by_state ON tasks(state, rank, due);
""",
    ),
)
KEEP_FINISHED_S = 7 * 86_400.0
_RANK = {"high": 0, "medium": 1, "low": 2}


class TaskList:
    """Tasks on disk. Not for several threads at once."""

    def __init__(self, path: Path, epoch: int = 0):
        self._database = Database(path, MIGRATIONS, epoch)

    def close(self) -> None:
        self._database.close()

    def put(self, task: ScheduledTask, now: float) -> ScheduledTask:
        """Store a new task, or a new version of one."""
        with self._database.transaction() as store:
            _write(store, [task], now)
        return task

    def get(self, task_id: str) -> ScheduledTask:
        row = self._database.row("SELECT body FROM tasks WHERE id = ?", task_id)
        if row is None:
            raise NotFound(f"no task has the id {task_id}")
        return _task(row)

    def cancel(self, task_id: str, now: float) -> ScheduledTask:
        """Cancel a task that waits. Raises ``NotFound``, and ``InvalidArguments`` for one that has begun."""
        task = self.get(task_id)
        if task.state == "cancelled":
            return task
        if task.state != "waiting":
            raise InvalidArguments(f"the task is {task.state}; only a waiting one can be cancelled")
        return self.put(structs.replace(task, state="cancelled"), now)

    def begin(self, now: float, limit: int) -> list[ScheduledTask]:
        """Waiting tasks whose time has come, by priority, then by time; they count as running from here on."""
        rows = self._database.rows(
            "SELECT body FROM tasks WHERE state = 'waiting' AND due <= ? ORDER BY rank, due, id LIMIT ?",
            now,
            max(0, limit),
        )
        due = (_task(row) for row in rows)
        begun = [structs.replace(task, state="running", attempts=task.attempts + 1) for task in due]
        if begun:
            with self._database.transaction() as store:
                _write(store, begun, now)
        return begun

    def next_due(self) -> float | None:
        row = self._database.row("SELECT min(due) AS due FROM tasks WHERE state = 'waiting'")
        return row["due"] if row else None

    def listed(self, state: TaskState | None, limit: int) -> list[ScheduledTask]:
        """Soonest first."""
        rows = self._database.rows(
            "SELECT body FROM tasks WHERE ?1 = '' OR state = ?1 ORDER BY due, id LIMIT ?2", state or "", limit
        )
        return [_task(row) for row in rows]

    def resume(self, now: float) -> int:
        """Tasks that ran when the process ended wait again; returns how many."""
        interrupted = self.listed("running", 1_000_000)
        with self._database.transaction() as store:
            _write(store, (structs.replace(task, state="waiting") for task in interrupted), now)
        return len(interrupted)

    def forget_finished(self, now: float) -> int:
        """Drop what was finished more than a week ago."""
        with self._database.transaction() as store:
            return store.execute(
                "DELETE FROM tasks WHERE state IN ('done', 'failed', 'cancelled') AND changed < ?",
                (now - KEEP_FINISHED_S,),
            ).rowcount


def _write(store: sqlite3.Connection, tasks: Iterable[ScheduledTask], now: float) -> None:
    store.executemany(
        "INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?)",
        [
            (task.id, task.due, _RANK[task.priority], task.state, now, msgspec.msgpack.encode(task))
            for task in tasks
        ],
    )


def _task(row: Row) -> ScheduledTask:
    return msgspec.msgpack.decode(row["body"], type=ScheduledTask)
