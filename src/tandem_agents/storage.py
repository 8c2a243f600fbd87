"""Durable SQLite stores: what a write returned from is on the disk.

Every store is one file in its agent's state directory, in WAL mode with ``synchronous=FULL``, so a committed
transaction survives kill -9 and power loss (https://www.sqlite.org/pragma.html#pragma_synchronous). Schemas
are numbered: a release first only *adds* (expand) and a later one drops (contract), so the release before it
can still use the file after a rollback.
"""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from msgspec import Struct

from tandem.core.databases import is_damage
from tandem.core.errors import ConfigError, TooLarge, Unavailable
from tandem.core.files import write_atomic

T = TypeVar("T")
Row = sqlite3.Row

BUSY_TIMEOUT_S = 5.0
_OUTSIDE = {
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_CANTOPEN,
}


class Migration(Struct, frozen=True):
    """One step of a schema. ``oldest_reader`` is the lowest schema version whose code can still use the result."""

    version: int
    sql: str
    oldest_reader: int = 1


class Database:
    """One SQLite file. Not for several threads at once: see :class:`Worker`."""

    def __init__(self, path: Path, migrations: Sequence[Migration], epoch: int = 0):
        """Open or create the file and bring its schema up to date.

        ``epoch``: the :attr:`tandem.agent.Agent.epoch` of an agent that must be single. Once a later one has opened the
        file, this object's writes raise :class:`Unavailable`; 0 takes no part in that.

        Raises :class:`ConfigError` for a file that is no database or that only a newer release can read, and
        :class:`Unavailable` when it cannot be opened.
        """
        self.path = path
        self._epoch = epoch
        with _translated(path):
            self._connection = sqlite3.connect(
                path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            self._connection.row_factory = sqlite3.Row
            for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
                self._connection.execute(f"PRAGMA {pragma}")
        self._migrate(migrations)
        if epoch:
            self._claim(epoch)

    def rows(self, sql: str, *values: Any) -> list[Row]:
        """All rows of a query."""
        with _translated(self.path):
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, *values: Any) -> Row | None:
        """The first row of a query."""
        with _translated(self.path):
            found: Row | None = self._connection.execute(sql, values).fetchone()
            return found

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All or nothing; durable once the block has ended without an error."""
        with _translated(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                if self._epoch:
                    self._require_our_turn()
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise

    def close(self) -> None:
        self._connection.close()

    def _claim(self, epoch: int) -> None:
        with _translated(self.path):
            self._connection.execute("CREATE TABLE IF NOT EXISTS fence (epoch INTEGER NOT NULL)")
        with self.transaction() as store:
            store.execute("DELETE FROM fence")
            store.execute("INSERT INTO fence VALUES (?)", (epoch,))

    def _require_our_turn(self) -> None:
        """Raises :class:`Unavailable` when a later instance owns the file."""
        table = "SELECT 1 FROM sqlite_master WHERE name = 'fence'"
        if self._connection.execute(table).fetchone() is None:
            return  # not yet claimed by anybody
        newest = self._connection.execute("SELECT max(epoch) FROM fence").fetchone()[0] or 0
        if newest > self._epoch:
            raise Unavailable(f"{self.path} belongs to a later instance (epoch {newest}, ours is {self._epoch})")

    def _migrate(self, migrations: Sequence[Migration]) -> None:
        with self.transaction() as store:
            store.execute("CREATE TABLE IF NOT EXISTS schema_info (oldest_reader INTEGER NOT NULL)")
            found = store.execute("PRAGMA user_version").fetchone()[0]
            oldest = store.execute("SELECT max(oldest_reader) FROM schema_info").fetchone()[0] or 0
            ours = migrations[-1].version
            if oldest > ours:
                raise ConfigError(
                    f"{self.path} has schema {found}, which needs schema {oldest} or newer; this release knows {ours}",
                    hint="run the newer release, or restore a backup made by this one",
                )
            for step in migrations:
                if step.version > found:
                    for statement in _statements(step.sql):
                        store.execute(statement)
                    store.execute("INSERT INTO schema_info VALUES (?)", (step.oldest_reader,))
                    store.execute(f"PRAGMA user_version={step.version:d}")


def write_file(path: Path, data: bytes) -> None:
    """Replace a small file, whole or not at all; on the disk when this returns. Raises :class:`Unavailable`."""
    try:
        write_atomic(path, data)
    except OSError as error:
        raise Unavailable(f"{path} cannot be written: {error.strerror}", hint=f"check {path.parent}") from error


class Worker:
    """The one thread that uses a store, so that the event loop never waits for the disk."""

    def __init__(self, name: str):
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def __call__(self, work: Callable[..., T], *values: Any) -> T:
        """Run ``work(*values)`` there. Once begun it is finished, even when the caller is cancelled."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, work, *values)

    def close(self) -> None:
        self._executor.shutdown(wait=True)


def _statements(sql: str) -> Iterator[str]:
    """The statements of a script; unlike ``executescript`` running them does not commit the open transaction."""
    pending = ""
    for piece in re.split(r"(?<=;)", sql):
        pending += piece
        if sqlite3.complete_statement(pending):
            yield pending
            pending = ""


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """What the disk or the file is to blame for, in words for a person; mistakes of ours pass through."""
    try:
        yield
    except sqlite3.DataError as error:
        raise TooLarge(f"too large to be stored: {error}") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without its extension
        if code == sqlite3.SQLITE_FULL:
            raise Unavailable(
                f"the disk is full: nothing was stored in {path}", hint="free some space, then try again"
            ) from error
        if code in _OUTSIDE:
            raise Unavailable(
                f"the store {path} cannot be used: {error}", hint=f"check {path.parent}"
            ) from error
        if is_damage(error):
            raise ConfigError(
                f"the store {path} is damaged: {error}",
                hint=f"restore it from a backup, or move {path} away to begin with an empty one",
            ) from error
        raise
