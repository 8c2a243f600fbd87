"""The caller's side of one connection: any number of calls and streams, told apart by id."""

from __future__ import annotations

import asyncio
from enum import Enum, auto
from typing import Protocol

import msgspec

from tandem.core.errors import DeadlineExceeded, InvalidArguments, TandemError, Unreachable
from tandem.rpc.channel import Alarm, Channel
from tandem.rpc.envelope import (
    CONNECTION,
    UNREADABLE,
    Bye,
    Cancel,
    Credit,
    Drain,
    End,
    Failure,
    Frame,
    Hello,
    Item,
    Ping,
    Pong,
    Reply,
    Welcome,
    decode,
    encode,
    error_of,
)
from tandem.rpc.streams import Inbox

Answer = Reply | Failure


class ConnectionLost(Unreachable):
    """The connection ended while the call was under way; whether it ran is not known."""


class NotSent(Unreachable):
    """The connection had ended before the call was sent."""


class Owner(Protocol):
    """What a link tells whoever pools it."""

    def link_draining(self, link: Link) -> None:
        """The peer takes no new calls on this link."""
        ...

    def link_ended(self, link: Link, waiting: int) -> None:
        """The link is lost; ``waiting`` calls were under way."""
        ...

    def link_silent(self, link: Link) -> None:
        """A call ran out of time, and nothing at all was heard of the peer meanwhile."""
        ...

    def link_answered(self, link: Link) -> None:
        """The first answer on a new link, or after silence."""
        ...


class Stage(Enum):
    """How far a connection to a peer is."""

    GREETING = auto()
    OPEN = auto()
    DRAINING = auto()
    LOST = auto()


class _Waiting(msgspec.Struct):
    """A call under way: its future, its deadline, and how much had been heard of the peer when it began."""

    future: asyncio.Future[Answer]
    at: float
    heard: int


class Link:
    """One connection to a peer. ``instance`` names the running server behind it once greeted, ``service``
    is the identity it was looked up as."""

    def __init__(self, peer: str, owner: Owner):
        self.peer = peer
        self.instance = ""
        self.service = ""
        self._owner = owner
        self._loop = asyncio.get_running_loop()
        self._channel: Channel | None = None
        self._stage = Stage.GREETING
        self._welcome: asyncio.Future[Welcome] = self._loop.create_future()
        self._waiting: dict[int, _Waiting] = {}
        self._inboxes: dict[int, Inbox] = {}
        self._pings: dict[int, asyncio.Future[None]] = {}
        self._alarm = Alarm(self._expire)
        self._heard = 0
        self._doubtful = True
        """Whether the next answer is news to the owner."""

    @property
    def usable(self) -> bool:
        """Whether new calls may be sent."""
        return self._stage is Stage.OPEN

    async def greet(self, channel: Channel, hello: Hello, timeout_s: float) -> None:
        """Introduce ourselves on ``channel`` and wait to be welcomed.

        Raises what the peer refused us with, or :class:`~tandem.core.errors.Unreachable`.
        """
        self._channel = channel
        channel.send(encode(hello))
        try:
            async with asyncio.timeout(timeout_s):
                self.instance = (await self._welcome).instance
        except TimeoutError:
            channel.close()
            raise Unreachable(f"{self.peer} did not answer within {timeout_s:g} s of connecting") from None
        except asyncio.CancelledError:
            channel.close()
            raise

    async def request(self, call: int, frame: bytes, at: float) -> Answer:
        """Send a REQUEST and return its answer.

        Raises ``DeadlineExceeded`` at ``at`` (monotonic seconds), :class:`NotSent` and :class:`ConnectionLost`.
        """
        channel = self._channel
        if channel is None or self._stage is Stage.LOST:
            raise NotSent(f"the connection to {self.peer} was lost")
        if channel.congested:
            await self._room(channel, at)
        future: asyncio.Future[Answer] = self._loop.create_future()
        self._waiting[call] = _Waiting(future, at, self._heard)
        self._alarm.set(at)
        channel.send(frame)
        try:
            return await future
        except asyncio.CancelledError:
            if self._waiting.pop(call, None) is not None:
                self._send(encode(Cancel(call)))
                self._close_if_idle()
            raise

    def open_stream(self, call: int, frame: bytes, inbox: Inbox) -> None:
        """Send a REQUEST for a stream whose items go to ``inbox`` until :meth:`close_stream`."""
        if self._stage is Stage.LOST:
            inbox.end(Refused(NotSent(f"the connection to {self.peer} was lost")))
            return
        self._inboxes[call] = inbox
        self._send(frame)

    def grant(self, call: int, amount: int) -> None:
        """Allow ``amount`` more items."""
        self._send(encode(Credit(call, amount)))

    def close_stream(self, call: int) -> None:
        """Forget a stream, and withdraw it if it has not ended."""
        inbox = self._inboxes.pop(call, None)
        if inbox is not None and not inbox.ended:
            self._send(encode(Cancel(call)))
        self._close_if_idle()

    async def ping(self, number: int) -> None:
        """Return when the peer's event loop has answered a PING; the caller bounds the wait."""
        if self._stage is Stage.LOST:
            raise ConnectionLost(f"the connection to {self.peer} was lost")
        future: asyncio.Future[None] = self._loop.create_future()
        self._pings[number] = future
        self._send(encode(Ping(number)))
        try:
            await future
        finally:
            self._pings.pop(number, None)

    def nudge(self) -> None:
        """Make the peer say something, which the owner hears of by ``link_answered``."""
        self._doubtful = True
        self._send(encode(Ping(0)))

    def close(self) -> None:
        """End the connection; calls under way fail."""
        if self._channel is not None and self._stage is not Stage.LOST:
            self._send(encode(Bye()))
            self._channel.close()

    def frame_received(self, data: bytes | memoryview) -> None:
        try:
            frame: Frame = decode(data)
        except UNREADABLE as error:
            self._break_off(InvalidArguments(f"{self.peer} sent something that is no frame: {error}"))
            return
        self._heard += 1
        kind = type(frame)
        if kind is Reply:
            self._answered(frame)  # type: ignore[arg-type]
        elif kind is Item:
            self._item(frame)  # type: ignore[arg-type]
        elif kind is Failure:
            self._failed(frame)  # type: ignore[arg-type]
        elif kind is End:
            self._end_stream(frame.id, None)  # type: ignore[union-attr]
        else:
            self._control(frame)

    def channel_lost(self, reason: TandemError) -> None:
        if self._stage is Stage.LOST:
            return
        self._stage = Stage.LOST
        self._alarm.cancel()
        waiting = len(self._waiting) + len(self._inboxes)
        error = ConnectionLost(f"the connection to {self.peer} was lost: {reason.message}")
        self._unwelcome(Unreachable(f"{self.peer} did not welcome us: {reason.message}"))
        for call in self._waiting.values():
            if not call.future.done():
                call.future.set_exception(error)
        for inbox in self._inboxes.values():
            inbox.end(error)
        for ping in self._pings.values():
            if not ping.done():
                ping.set_exception(error)
        self._waiting.clear()
        self._inboxes.clear()
        self._owner.link_ended(self, waiting)

    def _control(self, frame: Frame) -> None:
        match frame:
            case Welcome() if self._stage is Stage.GREETING:
                self._stage = Stage.OPEN
                if not self._welcome.done():
                    self._welcome.set_result(frame)
            case Drain() if self._stage is Stage.OPEN:
                self._stage = Stage.DRAINING
                self._owner.link_draining(self)
                self._close_if_idle()
            case Ping(number):
                self._send(encode(Pong(number)))
            case Pong(number):
                ping = self._pings.get(number)
                if ping is not None and not ping.done():
                    ping.set_result(None)
                self._prove()
            case Bye():
                self._break_off(Unreachable(f"{self.peer} closed the connection"))
            case Drain():
                pass
            case _:
                self._break_off(
                    InvalidArguments(f"{self.peer} sent an unexpected {type(frame).__name__} frame")
                )

    def _answered(self, frame: Answer) -> None:
        call = self._waiting.pop(frame.id, None)
        if call is not None and not call.future.done():
            call.future.set_result(frame)
        if self._doubtful:
            self._prove()
        if self._stage is Stage.DRAINING:
            self._close_if_idle()

    def _item(self, frame: Item) -> None:
        inbox = self._inboxes.get(frame.id)
        if inbox is not None and not inbox.put(frame.value):
            self._break_off(InvalidArguments(f"{self.peer} sent more stream items than it had credit for"))
        if self._doubtful:
            self._prove()

    def _failed(self, frame: Failure) -> None:
        if frame.id == CONNECTION:
            error = error_of(frame)
            self._unwelcome(error)
            self._break_off(error)
        elif frame.id in self._inboxes:
            error = error_of(frame)
            if frame.refused:
                error = Refused(error)
            self._end_stream(frame.id, error)
        else:
            self._answered(frame)

    def _end_stream(self, call: int, error: TandemError | None) -> None:
        inbox = self._inboxes.pop(call, None)
        if inbox is not None:
            inbox.end(error)
        if self._doubtful:
            self._prove()
        self._close_if_idle()

    def _unwelcome(self, error: TandemError) -> None:
        if not self._welcome.done():
            self._welcome.set_exception(error)
            self._welcome.exception()  # a greeting that was given up has nobody left to retrieve it

    def _prove(self) -> None:
        if self._doubtful:
            self._doubtful = False
            self._owner.link_answered(self)

    def _expire(self, now: float) -> float | None:
        """Fail the calls whose time is up; returns the next deadline."""
        following: float | None = None
        silent = False
        for call_id, call in list(self._waiting.items()):
            if call.at > now:
                following = call.at if following is None else min(following, call.at)
                continue
            del self._waiting[call_id]
            self._send(encode(Cancel(call_id)))
            if not call.future.done():
                call.future.set_exception(DeadlineExceeded(f"{self.peer} did not answer in time"))
            silent = silent or call.heard == self._heard
        if silent:
            self._doubtful = True
            self._owner.link_silent(self)
        self._close_if_idle()
        return following

    async def _room(self, channel: Channel, at: float) -> None:
        try:
            async with asyncio.timeout_at(at):
                await channel.wait()
        except TimeoutError:
            raise DeadlineExceeded(f"no room to send to {self.peer} in time") from None
        if self._stage is Stage.LOST:
            raise NotSent(f"the connection to {self.peer} was lost")

    def _send(self, frame: bytes) -> None:
        if self._channel is not None and self._stage is not Stage.LOST:
            self._channel.send(frame)

    def _close_if_idle(self) -> None:
        if self._stage is Stage.DRAINING and not self._waiting and not self._inboxes:
            self.close()

    def _break_off(self, reason: TandemError) -> None:
        if self._channel is not None:
            self._channel.close()
        self.channel_lost(reason)


class Refused(TandemError):
    """A stream was refused before its handler began; ``error`` says why. Never leaves this package."""

    def __init__(self, error: TandemError):
        super().__init__(error.message)
        self.error = error
