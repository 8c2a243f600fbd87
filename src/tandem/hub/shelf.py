"""One SQLite file used by one thread beside the loop: what a hub keeps for looking back."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tandem.core.databases import open_database
from tandem.core.errors import Unavailable

T = TypeVar("T")


class Shelf:
    """Open with :meth:`open`. ``run`` raises :class:`Unavailable` when the disk or the file refuses.

    A file that is found damaged when it is opened is put aside; what is measured from then on goes to a new one.

    Commits survive kill -9 of the process; power loss may cost the last ones (``synchronous=NORMAL``), which is right
    for measurements and wrong for what was promised to somebody.
    """

    def __init__(self, path: Path, schema: str):
        self.path = path
        self._schema = schema
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=path.stem)
        self._db: sqlite3.Connection

    async def open(self) -> None:
        def work() -> None:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            pragmas = ("auto_vacuum=INCREMENTAL", "journal_mode=WAL", "synchronous=NORMAL")
            self._db = open_database(self.path, pragmas, self._schema)

        await self._on_thread(work)

    async def close(self) -> None:
        await self._on_thread(lambda: self._db.close())
        self._thread.shutdown()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """``work`` in one transaction."""

        def transact() -> T:
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                return work(self._db)

        return await self._on_thread(transact)

    async def _on_thread(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except sqlite3.Error as error:
            raise Unavailable(f"{self.path} cannot be used: {error}", hint=f"check {self.path.parent}") from error
