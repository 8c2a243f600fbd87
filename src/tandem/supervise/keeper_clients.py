"""Who talks to the keeper: the node, the command line; only processes of the same user."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import msgspec

from tandem.supervise.descriptors import peer_pid, peer_uid, send_fds
from tandem.supervise.keeper_doors import listen_unix, unlink
from tandem.supervise.keeper_loop import Loop, read_available
from tandem.supervise.wire import AnyReply, AnyRequest, Frames, encode_frame

MAX_BACKLOG_BYTES = 32 * 1024 * 1024
"""A client that does not read for so long is cut off; it attaches anew and gets the whole picture."""


class _Client:
    def __init__(self, link: socket.socket):
        self.link = link
        self.frames = Frames()
        self.unsent = bytearray()
        self.attached = False


class Clients:
    """Accepts connections on ``path`` and turns frames into requests."""

    def __init__(self, loop: Loop, path: str, handle: Callable[[AnyRequest, int], None]):
        self._loop = loop
        self._path = path
        self._handle = handle
        self._clients: dict[int, _Client] = {}
        self._decode = msgspec.msgpack.Decoder(AnyRequest).decode
        self._door = listen_unix(path)
        self._door.setblocking(False)
        loop.watch(self._door.fileno(), self._accept)

    def attach(self, client: int) -> None:
        """Let the client hear every event."""
        if client in self._clients:
            self._clients[client].attached = True

    def broadcast(self, message: AnyReply) -> None:
        listening = [fd for fd, client in self._clients.items() if client.attached]
        if listening:
            data = encode_frame(message)
            for fd in listening:
                self._queue(fd, data)

    def send(self, client: int, message: AnyReply) -> None:
        self._queue(client, encode_frame(message))

    def pid(self, client: int) -> int:
        """Process id of whoever is at the other end."""
        return peer_pid(self._clients[client].link)

    def hand_over(self, client: int, fds: list[int]) -> None:
        """Give it descriptors beside one byte; ours are closed. Without any, hang up."""
        if fds:
            try:
                send_fds(self._clients[client].link, b"1", fds)
            except OSError:
                self._drop(client)
            for fd in fds:
                os.close(fd)
        else:
            self._drop(client)

    def close(self) -> None:
        """Refuse everybody from now on; the path is gone before the last connection closes."""
        self._loop.forget(self._door.fileno())
        self._door.close()
        unlink(self._path)
        for fd in list(self._clients):
            self._drop(fd)

    def _accept(self) -> None:
        link, _address = self._door.accept()
        if peer_uid(link) not in (os.getuid(), 0):
            link.close()
            return
        link.setblocking(False)
        fd = link.fileno()
        self._clients[fd] = _Client(link)
        self._loop.watch(fd, lambda: self._read(fd))

    def _read(self, fd: int) -> None:
        data = read_available(fd)
        if data is None:
            return
        if not data:
            self._drop(fd)
            return
        client = self._clients[fd]
        try:
            for frame in client.frames.feed(data):
                self._handle(self._decode(frame), fd)
                if fd not in self._clients:
                    return
        except (ValueError, msgspec.DecodeError):
            # Not one of us, or another version: nothing after this can be trusted.
            self._drop(fd)

    def _queue(self, fd: int, data: bytes) -> None:
        client = self._clients.get(fd)
        if client is None:
            return
        client.unsent += data
        if len(client.unsent) > MAX_BACKLOG_BYTES:
            self._drop(fd)
        else:
            self._flush(fd)

    def _flush(self, fd: int) -> None:
        client = self._clients[fd]
        try:
            sent = client.link.send(client.unsent)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(fd)
            return
        del client.unsent[:sent]
        self._loop.want_write(
            fd, lambda: self._read(fd), (lambda: self._flush(fd)) if client.unsent else None
        )

    def _drop(self, fd: int) -> None:
        client = self._clients.pop(fd, None)
        if client is not None:
            self._loop.forget(fd)
            client.link.close()
