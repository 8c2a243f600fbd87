"""What hubs of different machines say to each other, live: beats, pictures, and questions with answers.

It travels on ``presence.<machine>.<hub>``, on which the server lets nobody but that machine's hub publish; a message is
therefore from whom its subject says. An agent may have JetStream deliver an event of its own to any subject; such a message
keeps the event's subject, which is why it is compared. Nothing here is stored: what must not be lost goes through a stream.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable
from typing import Literal

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from tandem.core import clock
from tandem.core.errors import NotFound, TandemError, Unreachable, error_from_wire
from tandem.core.ids import AgentId, new_id
from tandem.core.tasks import end
from tandem.events import Connection
from tandem.hub.objectives import Standing
from tandem.hub.picture import AgentPicture, MachinePicture
from tandem.hub.predict import Forecast
from tandem.hub.recovery import Attempt
from tandem.hub.tails import LogLine

log = logging.getLogger("tandem.hub")

ANSWER_S = 5.0
WORK_S = 95.0
"""How long an order may take on the other machine."""

Verb = Literal["start", "stop", "restart"]


class Beat(Struct, frozen=True, kw_only=True, tag=True):
    """I am here. ``alerting``: I send the alerts. ``since``: Unix time this hub started at."""

    alerting: bool
    since: float


class Shown(Struct, frozen=True, kw_only=True, tag=True):
    """My machine's :class:`MachinePicture`, msgpack under zlib."""

    picture: bytes


class OrderAgents(Struct, frozen=True, kw_only=True, tag=True):
    """Do ``verb`` to these agents of your machine; ``by`` is who wanted it."""

    verb: Verb
    agents: list[str]
    by: str


class TailLog(Struct, frozen=True, kw_only=True, tag=True):
    """The newest lines of a log of your machine."""

    unit: str
    lines: int


class ReadMetrics(Struct, frozen=True, tag=True):
    """Your machine's metrics as Prometheus text."""


class ReadJudgements(Struct, frozen=True, tag=True):
    """How your machine keeps what is promised, what you foresee, and what you tried."""


class Ping(Struct, frozen=True, tag=True):
    """Are you there?"""


Question = OrderAgents | TailLog | ReadMetrics | ReadJudgements | Ping


class Answer(Struct, frozen=True, kw_only=True):
    """``code`` is an error's wire code, empty when it worked. ``text`` is under zlib. ``attempts_fault``: why attempts are
    not known."""

    agents: list[AgentPicture] = []
    lines: list[LogLine] = []
    text: bytes = b""
    standings: list[Standing] = []
    forecasts: list[Forecast] = []
    attempts: list[Attempt] = []
    attempts_fault: str = ""
    code: str = ""
    message: str = ""
    hint: str = ""


class Asked(Struct, frozen=True, kw_only=True, tag=True):
    """A question to the hub of machine ``to``; answered under the same ``id``."""

    to: str
    id: str
    question: Question


class Answered(Struct, frozen=True, kw_only=True, tag=True):
    """What the question ``id`` of machine ``to`` came to."""

    to: str
    id: str
    answer: Answer


Said = Beat | Shown | Asked | Answered

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Said).decode
_decode_picture = msgspec.msgpack.Decoder(MachinePicture).decode


class Siblings:
    """This hub's ear and voice. ``answer`` does what another hub asks for; ``heard`` gets beats and pictures."""

    def __init__(
        self,
        me: AgentId,
        hubs: list[str],
        connection: Connection,
        answer: Callable[[Question], Awaitable[Answer]],
        heard: Callable[[str, Beat | MachinePicture], None],
    ):
        """``hubs``: identities of all hubs of the fleet."""
        self._me = me
        self._hubs = {AgentId(hub).machine: AgentId(hub).name for hub in hubs if hub != me}
        self._connection = connection
        self._answer = answer
        self._heard = heard
        self._waiting: dict[str, asyncio.Future[Answer]] = {}
        self._work: set[asyncio.Task[None]] = set()

    @property
    def machines(self) -> list[str]:
        """Where there is another hub."""
        return list(self._hubs)

    async def start(self) -> None:
        """Listen, also after every reconnection."""
        self._connection.listen(self._subscribe)
        if self._connection.connected:
            await self._subscribe(await self._connection.client(0))

    async def close(self) -> None:
        """Break off the answers that are being worked out."""
        await end(*self._work)

    async def beat(self, alerting: bool, since: float) -> None:
        await self._say(Beat(alerting=alerting, since=since))

    async def show(self, picture: MachinePicture) -> None:
        await self._say(Shown(picture=zlib.compress(_encode(picture), 1)))

    async def ask(self, machine: str, question: Question, limit_s: float = ANSWER_S) -> Answer:
        """The answer of that machine's hub.

        Raises :class:`NotFound` when it has none, :class:`Unreachable` without an answer, and what the hub raised.
        """
        if machine not in self._hubs:
            raise NotFound(f"machine {machine!r} has no hub")
        number = new_id()
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(limit_s):
                await self._say(Asked(to=machine, id=number, question=question))
                answer: Answer = await waiting
        except TimeoutError:
            raise Unreachable(f"the hub of {machine} does not answer", hint="tandem status") from None
        finally:
            self._waiting.pop(number, None)
        if answer.code:
            raise error_from_wire(answer.code, answer.message, answer.hint or None)
        return answer

    async def ping(self, machine: str) -> float | None:
        """Seconds of a round trip; None without an answer within 2 s."""
        began = clock.monotonic()
        try:
            await self.ask(machine, Ping(), 2.0)
        except TandemError:
            return None
        return clock.monotonic() - began

    async def _say(self, said: Said) -> None:
        """Once, to whoever hears it; silence while the server is away."""
        try:
            client = await self._connection.client(0)
            await client.publish(f"presence.{self._me.machine}.{self._me.name}", _encode(said))
        except (Unreachable, nats.errors.Error, OSError) as error:
            log.debug("other hubs cannot be told: %s", error)

    async def _subscribe(self, client: Client) -> None:
        for machine in self._hubs:
            await client.subscribe(self._subject_of(machine), cb=self._on_message)

    def _subject_of(self, machine: str) -> str:
        return f"presence.{machine}.{self._hubs.get(machine, '')}"

    async def _on_message(self, message: Msg) -> None:
        machine = message.subject.split(".")[1]
        if message.subject != self._subject_of(machine):
            log.warning("something on %s speaks as a hub and is none: %s", machine, message.subject)
            return
        try:
            said = _decode(message.data)
            match said:
                case Shown(picture=picture):
                    shown = _decode_picture(zlib.decompress(picture))
                    if shown.machine == machine:
                        self._heard(machine, shown)
                case Beat():
                    self._heard(machine, said)
                case Asked(to=self._me.machine):
                    task = asyncio.create_task(self._reply(machine, said), name="hub:reply")
                    self._work.add(task)
                    task.add_done_callback(self._work.discard)
                case Answered(to=self._me.machine, id=number, answer=answer):
                    waiting = self._waiting.get(number)
                    if waiting is not None and not waiting.done():
                        waiting.set_result(answer)
        except (msgspec.MsgspecError, zlib.error) as error:
            # A hub of another version may say what we do not know.
            log.warning("the hub of %s said what nobody understands: %s", machine, error)

    async def _reply(self, machine: str, asked: Asked) -> None:
        try:
            answer = await self._answer(asked.question)
        except TandemError as error:
            answer = Answer(code=error.code, message=error.message, hint=error.hint or "")
        except Exception as error:
            log.exception("a question of the hub of %s failed", machine)
            answer = Answer(code="remote", message=f"{type(error).__name__}: {error}")
        await self._say(Answered(to=machine, id=asked.id, answer=answer))
