"""What test processes do; imported by the zygote under test."""

from __future__ import annotations

import gc
import os
import random
import signal
import socket
import sys
from pathlib import Path


def wait(_payload: bytes) -> int:
    """Live until a signal ends it."""
    while True:
        signal.pause()


def ready(_payload: bytes) -> int:
    """Say READY, then live."""
    os.write(5, b"READY=1\nSTATUS=fine\n")
    return wait(b"")


def fail(payload: bytes) -> int:
    """End at once with the status in the payload."""
    return int(payload)


def crash(_payload: bytes) -> int:
    """Raise."""
    raise RuntimeError("boom at the start")


def facts(_payload: bytes) -> int:
    """Write what this process looks like, then live."""
    title = Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode()
    fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}"))
    mark = os.environ["TANDEM_INSTANCE"]
    facts = f"pid={os.getpid()} sid={os.getsid(0)} title={title} fds={fds} mark={mark}"
    print(facts, f"random={random.random()}", file=sys.stderr, flush=True)
    return wait(b"")


def thresholds(_payload: bytes) -> int:
    """Write when the garbage collector looks in this process, then live."""
    print(f"thresholds={gc.get_threshold()} enabled={gc.isenabled()}", file=sys.stderr, flush=True)
    return wait(b"")


def serve(_payload: bytes) -> int:
    """Answer one byte per connection on the socket handed over, with our pid."""
    door = socket.socket(fileno=3)
    os.write(5, b"READY=1\n")
    while True:
        link, _ = door.accept()
        link.sendall(str(os.getpid()).encode())
        link.close()


def stubborn_family(_payload: bytes) -> int:
    """Ignore TERM, and have a child that ignores it too and one that left the session."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if os.fork() == 0:
        return wait(b"")
    os.system(
        f"setsid {sys.executable} -c 'import signal; signal.signal(15, signal.SIG_IGN); signal.pause()' &"
    )
    os.write(5, b"READY=1\n")
    return wait(b"")
