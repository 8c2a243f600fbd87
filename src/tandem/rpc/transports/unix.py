"""Frames over a unix stream socket: four bytes of little-endian length, then the frame.

Works on any asyncio loop. Frames sent within one turn of the loop leave in one system call.
"""

from __future__ import annotations

import asyncio
import socket
import stat
import sys
from pathlib import Path
from struct import Struct as Layout
from typing import Any, cast

from tandem.core.errors import ConfigError, PermissionDenied, TooLarge, Unreachable
from tandem.core.paths import check_socket_path
from tandem.rpc.channel import Acceptor, Gate, Receiver
from tandem.rpc.envelope import FRAME_LIMIT

_HEADER = Layout("<I")
_HEADER_SIZE = _HEADER.size
_CREDENTIALS = Layout("3i")  # struct ucred: pid, uid, gid (unix(7))
WRITE_HIGH_WATER = 1024
"""Bytes that may wait on top of what the kernel has taken; more, and the channel is congested. uvloop also writes at
once, instead of at the end of its turn, only what exceeds this."""

BURST_FRAMES = 24
"""Frames gathered into one system call at most: the other side should begin with the first answers of a large batch
while we work on the last."""

LINGER_S = 2.0
"""Time for last frames to leave towards somebody who does not read."""

BACKLOG = 512
"""Connections that may wait to be accepted; a whole fleet may reconnect to one agent at once."""


class UnixChannel(asyncio.Protocol):
    """A connected stream socket. ``pause_reading_when_congested`` makes a callee stop reading from a caller that
    does not read its answers; a caller must always read, or two full pipes would wait for each other."""

    identity = ""

    def __init__(self, accept: Acceptor | None = None, receiver: Receiver | None = None):
        self._loop = asyncio.get_running_loop()
        self._accept = accept
        self._receiver = receiver
        self._transport: asyncio.Transport | None = None
        # uvloop gathers what is written during one turn of the loop by itself, and without the extra turn we need.
        self._gathers = type(self._loop).__module__.startswith("uvloop")
        self._burst = 0
        self._outgoing: list[bytes] = []
        self._partial = bytearray()
        self._needed = _HEADER_SIZE
        self._gate = Gate()

    @property
    def congested(self) -> bool:
        return self._gate.shut

    @property
    def uid(self) -> int | None:
        sock = self._transport.get_extra_info("socket") if self._transport is not None else None
        if sock is None or not hasattr(socket, "SO_PEERCRED"):
            return None
        _pid, uid, _gid = _CREDENTIALS.unpack(
            sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        )
        return int(uid)

    def send(self, frame: bytes) -> None:
        if self._transport is None:
            return
        if self._gathers and self._burst <= 1 and not self._outgoing:
            self._transport.write(_HEADER.pack(len(frame)) + frame)
            return
        if not self._outgoing:
            self._loop.call_soon(self._flush)
        self._outgoing.append(_HEADER.pack(len(frame)))
        self._outgoing.append(frame)
        if len(self._outgoing) >= 2 * BURST_FRAMES:
            self._flush()

    async def wait(self) -> None:
        await self._gate.wait()

    def close(self) -> None:
        if self._transport is not None:
            self._flush()
            self._transport.close()
            if self._transport.get_write_buffer_size():
                self._loop.call_later(LINGER_S, self._transport.abort)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        if self._accept is not None:
            self._receiver = self._accept(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._outgoing.clear()
        self._gate.open()
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.channel_lost(Unreachable(f"connection lost: {exc}" if exc else "connection closed"))

    def pause_writing(self) -> None:
        self._gate.close()
        if self._accept is not None and self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._gate.open()
        if self._accept is not None and self._transport is not None:
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._partial:
            self._partial += data
            if len(self._partial) < self._needed:
                return
            data = bytes(self._partial)
            self._partial.clear()
        start, size = 0, len(data)
        self._burst = 0
        self._needed = _HEADER_SIZE
        while size - start >= _HEADER_SIZE:
            (length,) = _HEADER.unpack_from(data, start)
            if length > FRAME_LIMIT:
                self._overrun(length)
                return
            end = start + _HEADER_SIZE + length
            if end > size:
                self._needed = end - start
                break
            if self._receiver is None:
                return
            self._burst += 1
            self._receiver.frame_received(data[start + _HEADER_SIZE : end])
            start = end
        if start < size:
            self._partial += data[start:]

    def _flush(self) -> None:
        outgoing = self._outgoing
        if outgoing and self._transport is not None:
            self._outgoing = []
            # Not writelines(): asyncio's own, until 3.12.4, never tells that its buffer is full.
            self._transport.write(b"".join(outgoing))

    def _overrun(self, length: int) -> None:
        error = TooLarge(f"a frame of {length} bytes was announced, the limit is {FRAME_LIMIT}")
        receiver, self._receiver = self._receiver, None
        if self._transport is not None:
            self._transport.abort()
        if receiver is not None:
            receiver.channel_lost(error)


class UnixListener:
    """Accepts callers on one listening socket."""

    def __init__(self, server: asyncio.AbstractServer, own_path: Path | None):
        self._server = server
        self._own_path = own_path

    @classmethod
    async def open(cls, where: socket.socket | Path | str, accept: Acceptor) -> UnixListener:
        loop = asyncio.get_running_loop()
        own_path = None
        if not isinstance(where, socket.socket):
            own_path = Path(where)
            where = bind(own_path)
        # The path of a socket that somebody else keeps must outlive this process.
        keep: dict[str, Any] = {"cleanup_socket": False} if sys.version_info >= (3, 13) else {}
        server = await loop.create_unix_server(
            lambda: UnixChannel(accept), sock=where, backlog=BACKLOG, **keep
        )
        return cls(server, own_path)

    async def stop_accepting(self) -> None:
        self._server.close()
        if self._own_path is not None:
            self._own_path.unlink(missing_ok=True)
            self._own_path = None

    async def close(self) -> None:
        await self.stop_accepting()


def bind(path: Path) -> socket.socket:
    """A listening socket at ``path``, mode 0600, replacing a stale one.

    Raises :class:`~tandem.core.errors.ConfigError` when somebody answers there or something else is in the way.
    """
    check_socket_path(path)
    if path.exists():
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ConfigError(f"{path} exists and is no socket")
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(path)) == 0:
                raise ConfigError(f"somebody already answers at {path}")
        path.unlink()
    listening = socket.socket(socket.AF_UNIX)
    listening.setblocking(False)
    listening.bind(str(path))
    path.chmod(0o600)
    listening.listen(BACKLOG)
    return listening


async def connect(address: str, receiver: Receiver) -> UnixChannel:
    """Raises :class:`~tandem.core.errors.Unreachable` when nobody listens at the path ``address``, and
    :class:`~tandem.core.errors.PermissionDenied` when another user does."""
    loop = asyncio.get_running_loop()
    try:
        _, channel = await loop.create_unix_connection(lambda: UnixChannel(receiver=receiver), address)
    except PermissionError as error:
        raise PermissionDenied(
            f"{address} belongs to another user of this computer", hint="run this as the user who started the fleet"
        ) from error
    except OSError as error:
        raise Unreachable(f"nobody answers at {address}: {error.strerror or error}") from error
    return channel
