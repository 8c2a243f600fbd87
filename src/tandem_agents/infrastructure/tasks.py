"""The durable list of scheduled tasks."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import structs

from tandem.core.errors import NotFound
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
            store.execute(
                "INSERT OR REPLACE INTO tasks VALUES (?, ?, ?, ?, ?, ?)",
                (task.id, task.due, _RANK[task.priority], task.state, now, msgspec.msgpack.encode(task)),
            )
        return task

    def get(self, task_id: str) -> ScheduledTask:
        row = self._database.row("SELECT body FROM tasks WHERE id = ?", task_id)
        if row is None:
            raise NotFound(f"no task has the id {task_id}")
        return _task(row)

    def due(self, now: float, limit: int) -> list[ScheduledTask]:
        """Waiting tasks whose time has come, by priority, then by time."""
        rows = self._database.rows(
            "SELECT body FROM tasks WHERE state = 'waiting' AND due <= ? ORDER BY rank, due, id LIMIT ?",
            now,
            max(0, limit),
        )
        return [_task(row) for row in rows]

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
        for task in interrupted:
            self.put(structs.replace(task, state="waiting"), now)
        return len(interrupted)

    def forget_finished(self, now: float) -> int:
        """Drop what was finished more than a week ago."""
        with self._database.transaction() as store:
            return store.execute(
                "DELETE FROM tasks WHERE state IN ('done', 'failed', 'cancelled') AND changed < ?",
                (now - KEEP_FINISHED_S,),
            ).rowcount


def _task(row: Row) -> ScheduledTask:
    return msgspec.msgpack.decode(row["body"], type=ScheduledTask)
