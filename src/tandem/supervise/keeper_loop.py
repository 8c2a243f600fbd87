"""The keeper's one thread: callbacks on descriptors and a tick, on ``selectors`` alone."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import time
from collections.abc import Callable

TICK_S = 1.0
READ_BYTES = 64 * 1024


class Loop:
    """Calls back when a descriptor can be read (or written), when a signal came, and about once a second."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, Callable[[], None]]] = []
        self._signals: dict[int, Callable[[], None]] = {}
        self._woken, waker = socket.socketpair()
        self._woken.setblocking(False)
        waker.setblocking(False)
        self._waker = waker
        signal.set_wakeup_fd(waker.fileno(), warn_on_full_buffer=False)
        self.watch(self._woken.fileno(), self._on_signal)

    def watch(self, fd: int, on_readable: Callable[[], None]) -> None:
        self._selector.register(fd, selectors.EVENT_READ, (on_readable, None))

    def want_write(
        self, fd: int, on_readable: Callable[[], None], on_writable: Callable[[], None] | None
    ) -> None:
        """Also call ``on_writable`` while the descriptor has room; None stops that."""
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if on_writable else 0)
        self._selector.modify(fd, events, (on_readable, on_writable))

    def forget(self, fd: int) -> None:
        if fd in self._selector.get_map():
            self._selector.unregister(fd)

    def on_signal(self, number: int, callback: Callable[[], None]) -> None:
        """Run ``callback`` in the loop whenever the signal arrives (several may melt into one)."""
        self._signals[number] = callback
        signal.signal(number, _nothing)

    def after(self, seconds: float, callback: Callable[[], None]) -> None:
        self._timers.append((time.monotonic() + seconds, callback))
        self._timers.sort(key=lambda timer: timer[0])

    def run_once(self) -> None:
        """Wait for something to happen, and handle it."""
        timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
        for key, events in self._selector.select(timeout):
            if key.fd not in self._selector.get_map():
                continue  # an earlier callback of this round closed it
            on_readable, on_writable = key.data
            if events & selectors.EVENT_WRITE and on_writable:
                on_writable()
            if events & selectors.EVENT_READ and key.fd in self._selector.get_map():
                on_readable()
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            self._timers.pop(0)[1]()

    def _on_signal(self) -> None:
        for number in set(read_available(self._woken.fileno()) or b""):
            callback = self._signals.get(number)
            if callback:
                callback()

    def close(self) -> None:
        signal.set_wakeup_fd(-1)
        self._selector.close()
        self._woken.close()
        self._waker.close()


def _nothing(_number: int, _frame: object) -> None:
    """Python needs a handler for a signal to reach the wakeup descriptor."""


def read_available(fd: int) -> bytes | None:
    """What a non-blocking descriptor has now: ``None`` when nothing yet, empty at its end."""
    try:
        return os.read(fd, READ_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""
