"""SQLite files that can be begun anew: opening one that is damaged puts it aside."""

from __future__ import annotations

import contextlib
import logging
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from tandem.core.damage import set_aside

log = logging.getLogger("tandem.damage")


def open_database(path: Path, pragmas: Iterable[str], schema: str) -> sqlite3.Connection:
    """A connection in autocommit for one thread at a time, whichever; the file is made if need be.

    One that is damaged is put aside with what SQLite keeps beside it, which is logged, and begun anew. Raises
    ``sqlite3.Error`` for anything else, ``OSError`` when it cannot be put aside.
    """
    try:
        return _connect(path, pragmas, schema)
    except sqlite3.DatabaseError as error:
        if not is_damage(error):
            raise
        log.error("%s is damaged (%s); it is put aside as %s and begun anew", path, error, _set_aside(path).name)
    return _connect(path, pragmas, schema)


def is_damage(error: sqlite3.Error) -> bool:
    """Whether SQLite complains of what is in the file, not of the disk or of a statement."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without its extension
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _connect(path: Path, pragmas: Iterable[str], schema: str) -> sqlite3.Connection:
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        for pragma in pragmas:
            database.execute(f"PRAGMA {pragma}")
        database.executescript(schema)
    except BaseException:
        database.close()
        raise
    return database


def _set_aside(path: Path) -> Path:
    for companion in ("-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            set_aside(path.with_name(path.name + companion))
    return set_aside(path)
