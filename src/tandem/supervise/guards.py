"""The node's part in security: fresh credentials for its agents, and what was revoked, wherever that was decided."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable

from tandem.core.errors import TandemError
from tandem.core.paths import MachineDirs
from tandem.core.tasks import end
from tandem.events import Connection
from tandem.infra import CredentialDesk, Refusals
from tandem.security import Authority, EpochFile, Machine, Throttle, Trail

log = logging.getLogger("tandem.node")


LOOK_EVERY_S = 3.0
"""How often the nats-server is asked whom it turned away."""
LONGEST_S = 60.0
"""Pause between records of the same refusal at a nats-server, when it is tried again and again."""
NEWCOMERS_S = 1.0
"""How often it is looked whether another computer has joined."""
SHUT_OUT = "the fleet's first computer does not admit this one: it was removed, or another one has joined in its place"
AGAIN_S = 5.0
"""Pause before servers that did not take over what changed are asked again."""


class Guards:
    """Runs from :meth:`start` to :meth:`close`. ``replan`` makes the servers take over changed keys; it is told whose were
    revoked. ``elsewhere``: the machines of other computers whose servers link to this one's, once they have joined.
    """

    def __init__(
        self,
        connection: Connection,
        authority: Authority,
        machine: Machine,
        dirs: MachineDirs,
        replan: Callable[[set[str]], Awaitable[None]],
        refusals: Refusals,
        elsewhere: Iterable[str] = (),
    ):
        self._trail = Trail(dirs.trail)
        self._throttle, self._doors = Throttle(), Throttle(LONGEST_S)
        self._node = f"node@{machine.name}"
        self._replan = replan
        self._changed = asyncio.Event()
        self._subjects: set[str] = set()
        self._desk = CredentialDesk(connection, authority, machine, self._revoked, self._denied)
        self._refusals = refusals
        # Known from now on; what is planned afterwards has what is there already.
        self._records = {name: EpochFile(authority.record_file(name)) for name in elsewhere}
        for record in self._records.values():
            record.news()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self._desk.start()
        work = (("guards", self._take_over()), ("refusals", self._watch_doors()), ("newcomers", self._await_newcomers()))
        self._tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in work]

    async def close(self) -> None:
        await self._desk.close()
        tasks, self._tasks = self._tasks, []
        await end(*tasks)

    def _revoked(self, subjects: list[str]) -> None:
        for subject in subjects:
            self._trail.record("revocation learned", by=self._node, subject=subject)
        self._subjects.update(subjects)
        self._changed.set()

    def _denied(self, agent: str, why: str) -> None:
        times = self._throttle.due(agent)
        if times:
            self._trail.record("renewal denied", by=agent, subject=self._node, detail=why, times=times)

    async def _watch_doors(self) -> None:
        """Put on record whom the nats-server turned away, and who turned it away; agents do so themselves for their own doors."""
        while True:
            try:
                counted = Counter(await self._refusals.fresh())
            except (TandemError, OSError, EOFError, ValueError):
                counted = Counter()  # the server is away, which its own supervision tells
            for refusal, times in counted.items():
                if told := self._doors.due(refusal.door, refusal.where, refusal.why, times=times):
                    log.warning("%s refused a connection from %s: %s", refusal.door, refusal.where, refusal.why)
                    self._trail.record(
                        "denied", by=refusal.where, subject=refusal.door, detail=refusal.why, times=told
                    )
            own = self._refusals.own()
            if own and (told := self._doors.due(SHUT_OUT, times=own)):
                log.warning(SHUT_OUT)
                self._trail.record("link refused", by=self._node, detail=SHUT_OUT, times=told)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _await_newcomers(self) -> None:
        """Let the server of a computer in that joins while this node runs."""
        while self._records:
            for name, record in self._records.items():
                if record.news():
                    log.info("%s has joined", name)
                    self._changed.set()
            await asyncio.sleep(NEWCOMERS_S)

    async def _take_over(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            subjects, self._subjects = self._subjects, set()
            try:
                await self._replan(subjects)
            except (TandemError, OSError) as error:
                log.error("the servers did not take over the new keys, they are asked again: %s", error)
                await asyncio.sleep(AGAIN_S)
                self._changed.set()
