"""The few words of RESP2 a lease needs (https://valkey.io/topics/protocol/), spoken to a Valkey on this machine.

Every agent process keeps such a connection for its lease, so it is small on purpose: a full client library costs each
of 77 processes a megabyte and several milliseconds of its start. Who needs more of Valkey than leases uses one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, cast

from tandem.core.access import ValkeyAccess
from tandem.core.errors import PermissionDenied, TandemError, Unavailable, Unreachable

Answer = Any
"""``bytes``, ``int``, ``None``, or a list of answers."""

_REFUSALS = (b"NOPERM", b"NOAUTH", b"WRONGPASS")
_TRANSIENT = (b"LOADING", b"BUSY")


class Refused(Exception):
    """The server answered with an error; its words."""


class Resp(asyncio.Protocol):
    """One connection. Answers come in the order of the questions; a broken connection fails them all."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._waiting: deque[asyncio.Future[Answer]] = deque()
        self._transport: asyncio.WriteTransport | None = None

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports derive from nothing of asyncio's.
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        for future in self._waiting:
            if not future.done():
                future.set_exception(ConnectionResetError("the server closed the connection"))
        self._waiting.clear()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        at = 0
        while self._waiting:
            try:
                answer, at = parse(self._buffer, at)
            except Incomplete:
                break
            except ValueError:
                self.close()
                return
            future = self._waiting.popleft()
            if future.done():
                continue
            if isinstance(answer, Refused):
                future.set_exception(answer)
            else:
                future.set_result(answer)
        del self._buffer[:at]

    def ask(self, *words: str | bytes | int) -> asyncio.Future[Answer]:
        """Send a command. The answer may be :class:`Refused`, or an ``OSError`` when the connection breaks."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        if self._transport is None:
            future.set_exception(ConnectionResetError("not connected"))
            return future
        self._waiting.append(future)
        self._transport.write(encode(words))
        return future

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Client:
    """Connects when first asked, and again after the connection broke; logs in each time."""

    def __init__(self, access: ValkeyAccess, timeout_s: float):
        self._access = access
        self._timeout_s = timeout_s
        self._link: Resp | None = None
        self._connecting = asyncio.Lock()

    async def ask(self, *words: str | bytes | int) -> Answer:
        """One command. Raises :class:`Unreachable` while the server is away, :class:`PermissionDenied` when it refuses
        the login or the command, :class:`Unavailable` when it refuses for another reason (no room).
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask(words)
        except Refused as error:
            raise self._refusal(error) from error
        except (OSError, TimeoutError) as error:
            raise Unreachable(
                f"no answer from the registry at {self._access.socket}: {error or 'it is silent'}",
                hint="tandem status shows whether the machine's control Valkey runs",
            ) from error

    async def close(self) -> None:
        if self._link is not None:
            self._link.close()
            self._link = None

    async def _ask(self, words: tuple[str | bytes | int, ...]) -> Answer:
        known = self._link
        try:
            return await (await self._connected()).ask(*words)
        except OSError:
            if known is None:
                raise
            # One repetition finds a connection that a restarted server closed; waiting is the caller's business.
            return await (await self._connected()).ask(*words)

    async def _connected(self) -> Resp:
        async with self._connecting:
            if self._link is None or not self._link.is_open:
                _transport, link = await asyncio.get_running_loop().create_unix_connection(
                    Resp, self._access.socket
                )
                if self._access.password:
                    try:
                        await link.ask("AUTH", self._access.username or "default", self._access.password)
                    except Refused:
                        link.close()
                        raise
                self._link = link
            return self._link

    def _refusal(self, error: Refused) -> TandemError:
        words = str(error).encode()
        if words.startswith(_REFUSALS):
            return PermissionDenied(f"the registry refuses {self._access.username}: {error}")
        if words.startswith(_TRANSIENT):
            return Unreachable(f"the registry at {self._access.socket} is not ready: {error}")
        return Unavailable(f"the registry refuses: {error}")


class Incomplete(Exception):
    """More bytes are needed."""


def encode(words: tuple[str | bytes | int, ...]) -> bytes:
    """A command as an array of bulk strings."""
    parts = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        parts.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(parts)


def parse(buffer: bytes | bytearray, at: int) -> tuple[Answer, int]:
    """The answer that begins at ``at``, and where the next one does; an error answer is a :class:`Refused`.

    Raises :class:`Incomplete`, or ``ValueError`` for what is no RESP2.
    """
    end = buffer.find(b"\r\n", at)
    if end < 0:
        raise Incomplete
    kind, rest, after = buffer[at : at + 1], bytes(buffer[at + 1 : end]), end + 2
    if kind == b"+":
        return rest, after
    if kind == b"-":
        return Refused(rest.decode("utf-8", "replace")), after
    if kind == b":":
        return int(rest), after
    if kind == b"$":
        size = int(rest)
        if size < 0:
            return None, after
        if len(buffer) < after + size + 2:
            raise Incomplete
        return bytes(buffer[after : after + size]), after + size + 2
    if kind == b"*":
        return _parse_list(buffer, int(rest), after)
    raise ValueError(f"no answer begins with {bytes(kind)!r}")


def _parse_list(buffer: bytes | bytearray, count: int, at: int) -> tuple[Answer, int]:
    if count < 0:
        return None, at
    items = []
    for _ in range(count):
        item, at = parse(buffer, at)
        items.append(item)
    return items, at
