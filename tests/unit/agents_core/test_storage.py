"""Durable stores: schema steps, damage, and one thread."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tandem.core.errors import ConfigError, Unavailable
from tandem_agents.core_services.habits import Habits
from tandem_agents.core_services.model_usage import ModelUsage
from tandem_agents.infrastructure.accounts import AccountBook
from tandem_agents.storage import Database, Migration, Worker

ONE = Migration(1, "CREATE TABLE a (x INTEGER) STRICT; CREATE TABLE b (y TEXT) STRICT;")
TWO = Migration(2, "ALTER TABLE a ADD COLUMN z TEXT NOT NULL DEFAULT 'new';")
THREE = Migration(3, "DROP TABLE b;", oldest_reader=2)


def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    """A committed transaction is read back by another connection, one that failed is not."""
    store = Database(tmp_path / "s.db", [ONE])
    with store.transaction() as connection:
        connection.execute("INSERT INTO a VALUES (1)")
    with pytest.raises(RuntimeError), store.transaction() as connection:
        connection.execute("INSERT INTO a VALUES (2)")
        raise RuntimeError("no")
    again = Database(tmp_path / "s.db", [ONE])
    assert [row["x"] for row in again.rows("SELECT x FROM a")] == [1]


def test_every_commit_reaches_the_disk(tmp_path: Path) -> None:
    """The file is in WAL mode with full synchronisation, which is what makes a commit survive power loss."""
    store = Database(tmp_path / "s.db", [ONE])
    mode, synchronous = store.row("PRAGMA journal_mode"), store.row("PRAGMA synchronous")
    assert mode is not None
    assert synchronous is not None
    assert (mode[0], synchronous[0]) == ("wal", 2)


def test_a_schema_is_brought_up_to_date_once(tmp_path: Path) -> None:
    """Later steps run on older files and keep their rows; running again changes nothing."""
    with Database(tmp_path / "s.db", [ONE]).transaction() as connection:
        connection.execute("INSERT INTO a VALUES (7)")
    for _ in range(2):
        row = Database(tmp_path / "s.db", [ONE, TWO]).row("SELECT * FROM a")
        assert row is not None
        assert (row["x"], row["z"]) == (7, "new")


def test_the_release_before_an_expanding_step_still_reads_the_file(tmp_path: Path) -> None:
    """After a rollback the older code opens a file whose schema only grew."""
    Database(tmp_path / "s.db", [ONE, TWO]).close()
    assert Database(tmp_path / "s.db", [ONE]).rows("SELECT x FROM a") == []


def test_a_release_that_is_too_old_refuses_the_file(tmp_path: Path) -> None:
    """After a contracting step older code says what it needs instead of failing somewhere else."""
    Database(tmp_path / "s.db", [ONE, TWO, THREE]).close()
    with pytest.raises(ConfigError, match="schema 2 or newer"):
        Database(tmp_path / "s.db", [ONE])
    Database(tmp_path / "s.db", [ONE, TWO])


def test_a_failed_step_leaves_the_old_schema(tmp_path: Path) -> None:
    """A migration that breaks off rolls back wholly, its earlier statements included."""
    Database(tmp_path / "s.db", [ONE]).close()
    broken = Migration(2, "CREATE TABLE c (x INTEGER); CREATE TABLE a (again INTEGER);")
    with pytest.raises(sqlite3.OperationalError):
        Database(tmp_path / "s.db", [ONE, broken])
    assert Database(tmp_path / "s.db", [ONE]).rows("SELECT name FROM sqlite_master WHERE name = 'c'") == []


def test_a_damaged_file_is_named_with_its_mend(tmp_path: Path) -> None:
    """A file that is no database is neither overwritten nor hidden."""
    path = tmp_path / "s.db"
    path.write_bytes(b"not a database at all" * 100)
    with pytest.raises(ConfigError) as error:
        Database(path, [ONE])
    assert str(path) in str(error.value)
    assert path.read_bytes().startswith(b"not a database")


def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """When there is no room the write fails with words for a person, and what was there stays."""
    store = Database(tmp_path / "s.db", [ONE])
    with store.transaction() as connection:
        connection.execute("INSERT INTO b VALUES ('kept')")
    store.rows("PRAGMA max_page_count=8")
    with pytest.raises(Unavailable, match="disk is full"), store.transaction() as connection:
        connection.execute("INSERT INTO b VALUES (?)", ("x" * 200_000,))
    assert [row["y"] for row in store.rows("SELECT y FROM b")] == ["kept"]


def test_an_unusable_place_is_said(tmp_path: Path) -> None:
    """A directory that does not exist is an error with a hint, not a traceback of the library."""
    with pytest.raises(Unavailable):
        Database(tmp_path / "missing" / "s.db", [ONE])


def test_integrity_errors_pass_through(tmp_path: Path) -> None:
    """A broken constraint is the caller's to judge."""
    store = Database(tmp_path / "s.db", [Migration(1, "CREATE TABLE a (x INTEGER PRIMARY KEY) STRICT;")])
    with pytest.raises(sqlite3.IntegrityError), store.transaction() as connection:
        connection.executemany("INSERT INTO a VALUES (?)", [(1,), (1,)])


async def test_a_worker_is_one_thread() -> None:
    """All work of a store runs on the same thread, which is not the loop's."""
    worker = Worker("test")
    threads = {await worker(threading.get_ident) for _ in range(5)}
    worker.close()
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_replaced_instance_writes_no_more(tmp_path: Path) -> None:
    """Once a store was opened with a higher epoch, the older one's writes are refused and leave nothing behind."""
    older = Database(tmp_path / "s.db", [ONE], epoch=1)
    with older.transaction() as connection:
        connection.execute("INSERT INTO a VALUES (1)")
    newer = Database(tmp_path / "s.db", [ONE], epoch=2)
    with pytest.raises(Unavailable, match="later instance"), older.transaction() as connection:
        connection.execute("INSERT INTO a VALUES (2)")
    with pytest.raises(Unavailable, match="epoch 2"):
        Database(tmp_path / "s.db", [ONE], epoch=1)
    with newer.transaction() as connection:
        connection.execute("INSERT INTO a VALUES (3)")
    assert [row[0] for row in newer.rows("SELECT x FROM a ORDER BY x")] == [1, 3]


@pytest.mark.parametrize(
    ("opened", "write"),
    [
        (Habits, lambda book: book.note("ada", "lights on", 1.0)),
        (ModelUsage.open, lambda book: book.add({"tiny": 1}, 1.0)),
        (AccountBook, lambda book: book.register("ada", "correct horse battery", 1.0)),
    ],
    ids=["habits", "model usage", "accounts"],
)
def test_stores_of_single_agents_refuse_whoever_was_replaced(
    tmp_path: Path, opened: Callable[[Path, int], Any], write: Callable[[Any], None]
) -> None:
    """An instance that was handed over from, and does not know it yet, cannot write beside its successor."""
    older = opened(tmp_path / "s.db", 1)
    newer = opened(tmp_path / "s.db", 2)
    with pytest.raises(Unavailable, match="later instance"):
        write(older)
    write(newer)
    older.close()
    newer.close()
