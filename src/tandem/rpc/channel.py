"""The seam between the protocol and the transports.

A transport carries whole frames, in order, between two ends, and says once when it no longer can. It knows
nothing of calls; the protocol knows nothing of sockets. Both directions are plain calls, not coroutines: a
frame costs no task and no wake-up on its way through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

from tandem.core import clock
from tandem.core.errors import TandemError, Unreachable


class KeysDiffer(Unreachable):
    """Somebody is there, but one side does not know the other's key: it is wrong, or new and still on its way."""


class Receiver(Protocol):
    """The protocol's end of a channel."""

    def frame_received(self, frame: bytes | memoryview) -> None:
        """One whole frame. Must not raise."""
        ...

    def channel_lost(self, reason: TandemError) -> None:
        """Nothing more will arrive or leave; called exactly once, also after our own ``close``."""
        ...


class Channel(Protocol):
    """One connection that carries frames."""

    @property
    def identity(self) -> str:
        """Whom the transport itself has authenticated at the other end; empty when it cannot tell."""
        ...

    @property
    def uid(self) -> int | None:
        """The other end's user, as the kernel knows it; None on transports where it does not."""
        ...

    @property
    def congested(self) -> bool:
        """Whether so much waits to leave that the sender should :meth:`wait`."""
        ...

    def send(self, frame: bytes) -> None:
        """Queue a frame; silently dropped once the channel is lost, which the receiver has been told."""
        ...

    async def wait(self) -> None:
        """Return when no longer congested, or lost."""
        ...

    def close(self) -> None:
        """Send what is queued, then end the connection."""
        ...


Acceptor = Callable[[Channel], Receiver]


class Gate:
    """Open, or shut until opened again; :meth:`wait` passes when open."""

    __slots__ = ("_waiters", "shut")

    def __init__(self) -> None:
        self.shut = False
        self._waiters: list[asyncio.Future[None]] = []

    def close(self) -> None:
        self.shut = True

    def open(self) -> None:
        self.shut = False
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def wait(self) -> None:
        while self.shut:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter


class Alarm:
    """One timer for any number of deadlines.

    A timer per call costs more than the rest of a call's bookkeeping, and nearly all are cancelled unused. Here one
    timer stands at the earliest deadline ever asked for; when it fires, ``sweep(now)`` handles what is due and
    returns the next deadline. A fire too many is harmless, one too few impossible.
    """

    __slots__ = ("_at", "_handle", "_loop", "_sweep")

    def __init__(self, sweep: Callable[[float], float | None]):
        self._loop = asyncio.get_running_loop()
        self._sweep = sweep
        self._at = float("inf")
        self._handle: asyncio.TimerHandle | None = None

    def set(self, at: float) -> None:
        """Make sure that a sweep runs no later than ``at`` (monotonic seconds)."""
        if at < self._at:
            if self._handle is not None:
                self._handle.cancel()
            self._at = at
            self._handle = self._loop.call_at(at, self._fire)

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = None
        self._at = float("inf")

    def _fire(self) -> None:
        self._handle = None
        self._at = float("inf")
        following = self._sweep(clock.monotonic())
        if following is not None:
            self.set(following)
