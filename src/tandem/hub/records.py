"""What hubs keep for each other in the stream HUB: measurements, what a person decided, and which alerts were sent.

The server lets nobody but a machine's hub publish on ``hub.<machine>.<hub>``: no agent can silence an incident.

While the link is cut it waits in the stream of its machine; afterwards the other hub reads it. While our own NATS is
away, decisions and alerts wait on the hub's disk, so that they outlive the hub, and measurements in its memory.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec
from msgspec import Struct
from nats.aio.msg import Msg

from tandem.core.errors import TandemError
from tandem.core.ids import AgentId, new_id
from tandem.core.tasks import end
from tandem.errors.incident import Judgement
from tandem.errors.store import Outgoing
from tandem.events import HUB, Connection, Consumer, ConsumerPolicy, Publisher, Rejected
from tandem.events.event import MSG_ID
from tandem.events.streams import dead_letter_subject
from tandem.hub.series import Point

log = logging.getLogger("tandem.hub")

MAX_WAITING = 1_000
"""Measurements held while our own NATS is away: nearly three hours of them; then the oldest go."""

PUBLISH_S = 30.0
RETRY_S = 2.0


class AlertSent(Struct, frozen=True, kw_only=True, tag=True):
    """A hub has told ``route`` of ``stage`` of the incident of ``key``, at Unix time ``at``."""

    key: str
    route: str
    stage: str
    at: float


class Measured(Struct, frozen=True, kw_only=True, tag=True):
    """Points of one machine."""

    points: list[Point]


class Judged(Struct, frozen=True, kw_only=True, tag=True):
    """A person decided about an incident; every hub does the same to its own."""

    judgement: Judgement


class Outbox(Protocol):
    """Where what must not be lost waits, see :class:`tandem.errors.desk.IncidentDesk`."""

    async def untold(self) -> list[Outgoing]: ...
    async def passed_on(self, told: str) -> None: ...


Record = AlertSent | Judged | Measured

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


def outgoing(record: Record) -> Outgoing:
    """``record`` as it travels."""
    return Outgoing(new_id(), zlib.compress(_encode(record), 1))


class Records:
    """Between :meth:`start` and :meth:`close`: what other hubs keep goes to ``heard``, at least once, and what ``outbox``
    holds goes to them."""

    def __init__(
        self,
        me: AgentId,
        connection: Connection,
        publisher: Publisher,
        outbox: Outbox,
        heard: Callable[[str, Record], Awaitable[None]],
    ):
        self._me = me
        self._publisher = publisher
        self._outbox = outbox
        self._heard = heard
        self._measured: deque[Outgoing] = deque(maxlen=MAX_WAITING)
        self._filled = asyncio.Event()
        self._sender: asyncio.Task[None] | None = None
        self.consumer = Consumer(
            connection,
            publisher,
            stream=HUB.all,
            name=f"{me.name}-hub",
            subjects=[f"{HUB.prefix}.*.{me.name}"],
            handler=self._take,
            dead_letter_subject=dead_letter_subject(me, HUB.prefix),
            policy=ConsumerPolicy(window=64),
            backlog=True,
        )

    def start(self) -> None:
        self.consumer.start()
        # The hub before us may have left something.
        self._filled.set()
        self._sender = asyncio.create_task(self._send_on(), name="hub:records")

    async def close(self) -> None:
        await end(self._sender)
        await self.consumer.close()

    def keep(self, measured: Measured) -> None:
        """Store measurements for the other hubs as soon as the stream takes them; never waits."""
        self._measured.append(outgoing(measured))
        self._filled.set()

    def wake(self) -> None:
        """There is something in the outbox."""
        self._filled.set()

    async def _send_on(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            try:
                await self._send_all()
            except TandemError as error:
                log.debug("records are not stored yet: %s", error)
                self._filled.set()
                await asyncio.sleep(RETRY_S)

    async def _send_all(self) -> None:
        while waiting := await self._outbox.untold():
            for told in waiting:
                await self._send(told)
                await self._outbox.passed_on(told.id)
        while self._measured:
            first = self._measured[0]
            await self._send(first)
            # While it was being stored, a full queue may have dropped it.
            if self._measured and self._measured[0] is first:
                self._measured.popleft()

    async def _send(self, told: Outgoing) -> None:
        subject = f"{HUB.prefix}.{self._me.machine}.{self._me.name}"
        await self._publisher.publish(subject, told.data, {MSG_ID: told.id}, timeout=PUBLISH_S)

    async def _take(self, message: Msg) -> None:
        machine = message.subject.split(".")[1]
        if machine == self._me.machine:
            return
        try:
            record = _decode(zlib.decompress(message.data))
        except (msgspec.MsgspecError, zlib.error) as error:
            raise Rejected(f"not a record of a hub: {error}") from error
        await self._heard(machine, record)
