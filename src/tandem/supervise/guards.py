"""The node's part in security: fresh credentials for its agents, and what was revoked, wherever that was decided."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from tandem.core.errors import TandemError
from tandem.core.paths import MachineDirs
from tandem.core.tasks import end
from tandem.events import Connection
from tandem.infra import CredentialDesk
from tandem.security import Authority, Machine, Throttle, Trail

log = logging.getLogger("tandem.node")


class Guards:
    """Runs from :meth:`start` to :meth:`close`. ``replan`` makes the servers take over changed keys; it is told whose."""

    def __init__(
        self,
        connection: Connection,
        authority: Authority,
        machine: Machine,
        dirs: MachineDirs,
        replan: Callable[[set[str]], Awaitable[None]],
    ):
        self._trail = Trail(dirs.trail)
        self._throttle = Throttle()
        self._node = f"node@{machine.name}"
        self._replan = replan
        self._changed = asyncio.Event()
        self._subjects: set[str] = set()
        self._desk = CredentialDesk(connection, authority, machine, self._revoked, self._denied)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        await self._desk.start()
        self._task = asyncio.create_task(self._take_over(), name="guards")

    async def close(self) -> None:
        await self._desk.close()
        await end(self._task)

    def _revoked(self, subjects: list[str]) -> None:
        for subject in subjects:
            self._trail.record("revocation learned", by=self._node, subject=subject)
        self._subjects.update(subjects)
        self._changed.set()

    def _denied(self, agent: str, why: str) -> None:
        times = self._throttle.due(agent)
        if times:
            self._trail.record("renewal denied", by=agent, subject=self._node, detail=why, times=times)

    async def _take_over(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            subjects, self._subjects = self._subjects, set()
            try:
                await self._replan(subjects)
            except (TandemError, OSError) as error:
                log.error("the servers did not take over the new keys: %s", error)
