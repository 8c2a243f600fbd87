"""The agent's side of the readiness protocol: systemd's vocabulary over an inherited pipe.

Under systemd or in a container without a keeper, ``NOTIFY_SOCKET`` is honoured instead (sd_notify(3)).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable

import msgspec

from tandem.agent.tally import Tally
from tandem.core.health import HealthReport


class Notifier:
    """Tells the supervisor how this process is doing. Never raises and never blocks: a deaf supervisor must not hurt."""

    def __init__(self, fd: int | None, reopen: Callable[[], bool] | None = None):
        """``reopen`` puts a new pipe in place of a broken one, and says whether it could."""
        self._fd = fd
        self._reopen = reopen
        self._broken = False
        if fd is not None:
            os.set_blocking(fd, False)
        self._socket = _systemd_socket() if fd is None else None

    def mend(self) -> bool:
        """Whether the pipe was broken (its reader was killed) and is whole again: then everything is to be said anew."""
        if not self._broken or self._reopen is None or not self._reopen():
            return False
        self._broken = False
        return True

    def ready(self) -> None:
        self._send("READY=1")

    def standby(self) -> None:
        """Prepared; waits to be told to go on."""
        self._send("STANDBY=1")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def alive(self) -> None:
        """The event loop still turns."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for people, shown by ``tandem status`` while the agent starts."""
        self._send("STATUS=" + " ".join(text.split()))

    def starting(self, text: str, seconds: float) -> None:
        """What :meth:`tandem.agent.Agent.starting` says."""
        self.status(text)
        if seconds > 0:
            self.extend_start(seconds)

    def extend_start(self, seconds: float) -> None:
        """Ask that the start deadline be at least ``seconds`` from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}")

    def health(self, report: HealthReport) -> None:
        self._send("HEALTH=" + msgspec.json.encode(report).decode())

    def calls(self, tally: Tally) -> None:
        self._send("CALLS=" + msgspec.json.encode(tally).decode())

    def _send(self, line: str) -> None:
        data = line.encode() + b"\n"
        try:
            if self._fd is not None:
                os.write(self._fd, data)
            elif self._socket is not None and not line.startswith(("HEALTH=", "CALLS=")):
                self._socket.send(data)
        except BrokenPipeError:
            self._broken = True
        except OSError:
            # A full pipe means nobody is listening now; the next line tries again.
            return


def _systemd_socket() -> socket.socket | None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return None
    link = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        link.connect("\0" + address[1:] if address.startswith("@") else address)
    except OSError:
        link.close()
        return None
    return link
