"""What hubs keep for each other in the stream HUB: measurements, what a person decided, and which alerts were sent.

The server lets nobody but a machine's hub publish on ``hub.<machine>.<hub>``: no agent can silence an incident.

While the link is cut it waits in the stream of its machine; afterwards the other hub reads it, in order, once.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections import deque
from collections.abc import Awaitable, Callable

import msgspec
from msgspec import Struct
from nats.aio.msg import Msg

from tandem.core.errors import TandemError
from tandem.core.ids import AgentId, new_id
from tandem.core.tasks import end
from tandem.errors.desk import Judgement
from tandem.events import HUB, Connection, Consumer, ConsumerPolicy, Publisher, Rejected
from tandem.events.event import MSG_ID
from tandem.events.streams import dead_letter_subject
from tandem.hub.series import Point

log = logging.getLogger("tandem.hub")

MAX_WAITING = 1_000
"""Records held while our own NATS is away: nearly three hours of measurements, which are the first to go."""

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


class _Waiting(Struct, frozen=True):
    id: str
    measured: bool
    data: bytes


Record = AlertSent | Judged | Measured

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Record).decode


class Records:
    """Between :meth:`start` and :meth:`close`: what other hubs keep goes to ``heard``, at least once."""

    def __init__(
        self, me: AgentId, connection: Connection, publisher: Publisher, heard: Callable[[str, Record], Awaitable[None]]
    ):
        self._me = me
        self._publisher = publisher
        self._heard = heard
        self._waiting: deque[_Waiting] = deque()
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
        self._sender = asyncio.create_task(self._send_on(), name="hub:records")

    async def close(self) -> None:
        await end(self._sender)
        await self.consumer.close()

    def keep(self, record: Record) -> None:
        """Store ``record`` for the other hubs as soon as the stream takes it; never waits."""
        if len(self._waiting) >= MAX_WAITING:
            self._waiting.remove(next((held for held in self._waiting if held.measured), self._waiting[0]))
        self._waiting.append(_Waiting(new_id(), isinstance(record, Measured), zlib.compress(_encode(record), 1)))
        self._filled.set()

    async def _send_on(self) -> None:
        subject = f"{HUB.prefix}.{self._me.machine}.{self._me.name}"
        while True:
            await self._filled.wait()
            while self._waiting:
                first = self._waiting[0]
                try:
                    await self._publisher.publish(subject, first.data, {MSG_ID: first.id}, timeout=PUBLISH_S)
                except TandemError as error:
                    log.debug("a record is not stored yet: %s", error)
                    await asyncio.sleep(RETRY_S)
                else:
                    # While it was being stored, a full queue may have dropped it.
                    if self._waiting and self._waiting[0] is first:
                        self._waiting.popleft()
            self._filled.clear()

    async def _take(self, message: Msg) -> None:
        machine = message.subject.split(".")[1]
        if machine == self._me.machine:
            return
        try:
            record = _decode(zlib.decompress(message.data))
        except (msgspec.MsgspecError, zlib.error) as error:
            raise Rejected(f"not a record of a hub: {error}") from error
        await self._heard(machine, record)
