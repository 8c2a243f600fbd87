"""Listening sockets, held by the keeper so that neither a restart nor a crash of an agent loses a connection."""

from __future__ import annotations

import os
import socket

from msgspec import Struct

from tandem.supervise.wire import Doors

BACKLOG = 512


class OpenDoors(Struct):
    """The sockets of one name, and what they were asked to be."""

    wanted: Doors
    unix: socket.socket | None = None
    tcp: socket.socket | None = None

    @property
    def are_open(self) -> bool:
        """False when an earlier keeper opened them: then only running agents hold them."""
        return (self.unix is not None) == bool(self.wanted.unix) and (self.tcp is not None) == bool(
            self.wanted.port
        )

    def close(self) -> None:
        """Close both and remove the path."""
        if self.unix is not None:
            self.unix.close()
        if self.wanted.unix:
            unlink(self.wanted.unix)
        if self.tcp is not None:
            self.tcp.close()


def open_doors(wanted: Doors) -> OpenDoors:
    """Bind and listen. Raises ``OSError``, with nothing left open, when a path or port cannot be had."""
    doors = OpenDoors(wanted)
    try:
        if wanted.unix:
            doors.unix = listen_unix(wanted.unix)
        if wanted.port:
            doors.tcp = _listen_tcp(wanted.host, wanted.port)
    except OSError:
        doors.close()
        raise
    return doors


def listen_unix(path: str) -> socket.socket:
    """A listening stream socket only this user can connect to; a stale file in its place is replaced."""
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    # Whoever sees the path may connect: it appears only when somebody listens.
    early = f"{path[:-1]}~"  # no longer than the path itself, whose length was checked
    unlink(early)
    try:
        door.bind(early)
        os.chmod(early, 0o600)
        door.listen(BACKLOG)
        os.rename(early, path)
    except OSError:
        door.close()
        raise
    return door


def _listen_tcp(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        # Connections of an earlier listener may linger in TIME_WAIT; a live listener still refuses us.
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((host, port))
        door.listen(BACKLOG)
    except OSError as error:
        door.close()
        raise OSError(error.errno, f"port {port} on {host}: {error.strerror}") from error
    return door


def unlink(path: str) -> None:
    """Remove a path that may be gone already."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
