"""The sound of open sessions, kept until everybody who listens has heard it."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Callable

from tandem.core import clock
from tandem.core.errors import InvalidArguments, NotFound, Overloaded
from tandem.core.ids import new_id
from tandem_agents.audio_interface.contracts import Chunk, SourceKind
from tandem_agents.engines.audio import SPEECH_RATE, StreamResampler, from_pcm, to_pcm
from tandem_agents.engines.kinds import Pcm

CHUNK_S = 0.1
"""Seconds of sound per chunk: short beside the half second that ends an utterance, long beside a call's cost."""

_ROUNDING = 1e-6
"""Of a chunk: the time of one, divided by its length, may come out a hair below its number."""
CHUNK_BYTES = int(CHUNK_S * SPEECH_RATE) * 2


class Signal:
    """Wakes everybody who waits for something to change."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def notify(self) -> None:
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once ``condition`` holds; it is looked at after every :meth:`notify`."""
        while not condition():
            await self._event.wait()


class Session:
    """One source's sound: written by one, heard by any number, each from the beginning.

    At most ``capacity_s`` seconds wait for the slowest listener; after that :meth:`push` waits. Without a listener
    the same number of seconds is kept.
    """

    def __init__(self, kind: SourceKind, capacity_s: float):
        self.id = new_id()
        self.kind = kind
        self.touched = clock.monotonic()
        self.ended = False
        self._capacity = max(1, int(capacity_s / CHUNK_S))
        self._chunks: deque[Chunk] = deque()
        self._first = 0
        self._rest = b""
        self._resampler: StreamResampler | None = None
        self._rate = 0
        self._positions: dict[object, int] = {}
        self._changed = Signal()

    @property
    def seconds(self) -> float:
        """How much sound has come so far."""
        return (self._first + len(self._chunks)) * CHUNK_S + len(self._rest) / 2 / SPEECH_RATE

    async def push(self, pcm: Pcm, last: bool) -> None:
        """Add sound, waiting for room. Raises ``InvalidArguments`` after the end or for a changed rate."""
        if self.ended:
            raise InvalidArguments("the session has ended")
        for chunk in self._cut(pcm, last):
            await self._changed.until(self._has_room)
            self.touched = clock.monotonic()
            self._append(chunk)
        if last:
            self.end()

    def record(self, pcm: Pcm) -> None:
        """Add sound that cannot wait, from a microphone; the oldest is forgotten when nobody keeps up.

        It keeps no session open: a microphone nobody listens to is to be closed.
        """
        for chunk in self._cut(pcm, False):
            if not self._has_room():
                self._chunks.popleft()
                self._first += 1
            self._append(chunk)

    def end(self) -> None:
        """No more sound comes."""
        self.ended = True
        self._changed.notify()

    async def listen(self, since_s: float = 0.0) -> AsyncIterator[Chunk]:
        """Every chunk from the one at ``since_s`` seconds, until the end. Raises ``InvalidArguments`` below 0."""
        if not 0 <= since_s < math.inf:
            raise InvalidArguments(f"not a time in a session: {since_s} s")
        listener = object()
        self._positions[listener] = max(self._first, int(since_s / CHUNK_S + _ROUNDING))
        try:
            while True:
                await self._changed.until(lambda: self.ended or self._next(listener) is not None)
                chunk = self._next(listener)
                if chunk is None:
                    return
                self._positions[listener] += 1
                self.touched = clock.monotonic()
                self._forget_heard()
                yield chunk
        finally:
            del self._positions[listener]
            if self._positions:
                # The others may be through with what only this listener had not heard.
                self._forget_heard()
            self._changed.notify()

    def _next(self, listener: object) -> Chunk | None:
        # A recording may have forgotten what this listener had not heard yet.
        at = self._positions[listener] = max(self._positions[listener], self._first)
        return self._chunks[at - self._first] if at - self._first < len(self._chunks) else None

    def _has_room(self) -> bool:
        return self.ended or len(self._chunks) < self._capacity

    def _append(self, chunk: Chunk) -> None:
        self._chunks.append(chunk)
        self._changed.notify()

    def _forget_heard(self) -> None:
        """Make room, but no more than needed: a listener that comes later should hear as much as possible."""
        while len(self._chunks) >= self._capacity and min(self._positions.values()) > self._first:
            self._chunks.popleft()
            self._first += 1
            self._changed.notify()

    def _cut(self, pcm: Pcm, last: bool) -> list[Chunk]:
        """``pcm`` resampled and cut into whole chunks; with ``last`` also the remainder."""
        if pcm.rate <= 0:
            raise InvalidArguments(f"not a sample rate: {pcm.rate}")
        if self._resampler is None:
            self._resampler, self._rate = StreamResampler(pcm.rate, SPEECH_RATE), pcm.rate
        if pcm.rate != self._rate:
            raise InvalidArguments(f"a session keeps its sample rate: {self._rate}, not {pcm.rate}")
        self._rest += to_pcm(self._resampler.push(from_pcm(pcm).samples, last=last)).data
        whole = len(self._rest) if last else len(self._rest) - len(self._rest) % CHUNK_BYTES
        data, self._rest = self._rest[:whole], self._rest[whole:]
        start = self._first + len(self._chunks)
        return [
            Chunk(Pcm(data[at : at + CHUNK_BYTES], SPEECH_RATE), (start + number) * CHUNK_S)
            for number, at in enumerate(range(0, len(data), CHUNK_BYTES))
        ]


class Sessions:
    """The open sessions of one agent."""

    def __init__(self, limit: int, capacity_s: float):
        self._limit = limit
        self._capacity_s = capacity_s
        self._open: dict[str, Session] = {}

    def __len__(self) -> int:
        return len(self._open)

    def open(self, kind: SourceKind) -> Session:
        """Raises ``Overloaded`` when too many are open."""
        if len(self._open) >= self._limit:
            raise Overloaded(f"{self._limit} sound sessions are open already", hint="close one first")
        session = Session(kind, self._capacity_s)
        self._open[session.id] = session
        return session

    def get(self, session: str) -> Session:
        """Raises ``NotFound``."""
        if session not in self._open:
            raise NotFound(f"there is no sound session {session!r}; it may have ended")
        return self._open[session]

    def close(self, session: str) -> None:
        """End and forget; who listens hears the rest."""
        found = self._open.pop(session, None)
        if found is not None:
            found.end()

    def close_idle(self, idle_s: float) -> list[str]:
        """Close what nobody has written to or listened to for ``idle_s`` seconds; returns their ids."""
        now = clock.monotonic()
        idle = [session.id for session in self._open.values() if now - session.touched > idle_s]
        for session in idle:
            self.close(session)
        return idle
