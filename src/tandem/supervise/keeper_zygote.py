"""The keeper's end of the line to one zygote."""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable

import msgspec

from tandem.supervise.descriptors import send_fds
from tandem.supervise.keeper_loop import Loop
from tandem.supervise.wire import Forked, ForkOrder, Hello

_PACKET = 1 << 20
_SEND_BUFFER = 4 << 20
"""Room for a whole fleet's birth papers at once; the kernel may grant less, then orders queue here."""


class ZygoteLink:
    """Queues fork orders, keeps their descriptors until they are sent, and reports what became of each."""

    def __init__(self, loop: Loop, on_forked: Callable[[Forked], None], on_hello: Callable[[Hello], None]):
        ours, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_CLOEXEC)
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)
        self._link = ours
        self._loop = loop
        self._on_forked = on_forked
        self._on_hello = on_hello
        self._queue: deque[tuple[bytes, list[int]]] = deque()
        self._waiting: set[str] = set()
        self._decode = msgspec.msgpack.Decoder(Forked | Hello).decode
        loop.watch(ours.fileno(), self._read)

    def order(self, order: ForkOrder, fds: list[int]) -> None:
        """Ask for a child. Takes over ``fds``."""
        self._waiting.add(order.instance)
        self._queue.append((msgspec.msgpack.encode(order), fds))
        self._flush()

    def close(self) -> set[str]:
        """The zygote is gone; the instances it was asked for and will not make."""
        self._loop.forget(self._link.fileno())
        self._link.close()
        for _data, fds in self._queue:
            _close_all(fds)
        self._queue.clear()
        lost, self._waiting = self._waiting, set()
        return lost

    def _flush(self) -> None:
        while self._queue:
            data, fds = self._queue[0]
            try:
                send_fds(self._link, data, fds)
            except BlockingIOError:
                self._loop.want_write(self._link.fileno(), self._read, self._flush)
                return
            except OSError:
                return  # it is dying; `close` settles what is open
            self._queue.popleft()
            _close_all(fds)
        self._loop.want_write(self._link.fileno(), self._read, None)

    def _read(self) -> None:
        while True:
            try:
                data = self._link.recv(_PACKET)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._loop.forget(self._link.fileno())
                return
            message = self._decode(data)
            if isinstance(message, Hello):
                self._on_hello(message)
            else:
                self._waiting.discard(message.instance)
                self._on_forked(message)


def _close_all(fds: list[int]) -> None:
    for fd in fds:
        os.close(fd)
