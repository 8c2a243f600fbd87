"""Vectors for memories, made beside the work: the store answers by words until they are there."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Protocol

from tandem.core.errors import TandemError
from tandem.core.health import Issue
from tandem_agents.memory_services.retrieval import VectorIndex
from tandem_agents.memory_services.store import MemoryDatabase
from tandem_agents.storage import Worker

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tandem_agents.engines.kinds import Embedder

BATCH = 32
RECHECK_S = 15.0
"""How often a missing model is looked for again, so that a fetch needs no restart."""


class OpensEmbedder(Protocol):
    async def __call__(self) -> Embedder: ...


class Meaning:
    """Keeps every memory's vector current. ``issue`` says why there are none, if there are none."""

    def __init__(
        self, store: MemoryDatabase, worker: Worker, open_embedder: OpensEmbedder, log: logging.Logger
    ):
        self._store, self._worker, self._open, self._log = store, worker, open_embedder, log
        self._embedder: Embedder | None = None
        self._index: VectorIndex | None = None
        self._changed = asyncio.Event()
        self.issue: Issue | None = None

    @property
    def index(self) -> VectorIndex | None:
        return self._index

    async def open(self) -> None:
        """Load the model if it is there; without it everything else works, and :meth:`run` looks for it again."""
        await self._load()

    async def run(self) -> None:
        """Load the model as soon as there is one, then embed what is new whenever :meth:`wake` is called."""
        while self._embedder is None:
            await asyncio.sleep(RECHECK_S)
            await self._load()
        while True:
            await self.catch_up()
            await self._changed.wait()
            self._changed.clear()

    async def _load(self) -> None:
        try:
            embedder = await self._open()
        except TandemError as error:
            issue = Issue(
                f"searching by words only: {error.message}", fix=error.hint or "tandem models fetch"
            )
            if issue != self.issue:
                self._log.warning("no embedding model: %s", error)
            self.issue = issue
            return
        index = VectorIndex(embedder.name, embedder.dimensions)
        await self._worker(index.load, self._store)
        self._embedder, self._index, self.issue = embedder, index, None

    def wake(self) -> None:
        """Something was stored."""
        self._changed.set()

    async def catch_up(self) -> int:
        """Embed everything this model has not seen; returns how many."""
        if self._embedder is None or self._index is None:
            return 0
        done = 0
        while missing := await self._worker(self._index.missing, self._store, BATCH):
            vectors = await self._embedder.embed([text for _, text in missing])
            await self._worker(self._index.add, self._store, [memory_id for memory_id, _ in missing], vectors)
            done += len(missing)
        return done

    async def vector(self, text: str) -> NDArray[np.float32] | None:
        """The vector of a query; None while there is no model."""
        if self._embedder is None:
            return None
        vector: NDArray[np.float32] = (await self._embedder.embed([text]))[0]
        return vector

    async def close(self) -> None:
        if self._embedder is not None:
            await self._embedder.close()
