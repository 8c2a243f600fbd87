"""Starting a keeper from the command line: the process first, what it is for a moment later.

Importing takes the keeper as long as reading the fleet file takes us, so both happen at once: what only the later
moments need is imported then.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

from tandem.core.errors import TandemError, Unreachable
from tandem.supervise.mark import MARK

if TYPE_CHECKING:
    from pathlib import Path

    from tandem.core.paths import MachineDirs
    from tandem.supervise.wire import KeeperConfig

EXIT_ALREADY_RUNNING = 75
_POLL_S = 0.002


class KeeperStart:
    """A keeper process that waits for its configuration, and leaves when it gets none."""

    def __init__(self, pid: int, config_fd: int, error_fd: int):
        self.pid = pid
        self._config_fd = config_fd
        self._error_fd = error_fd
        self._ended = False

    @classmethod
    def begin(cls) -> KeeperStart:
        """Make the process: a session of its own, its standard input and error ours until it is configured."""
        config_read, config_write = os.pipe()
        error_read, error_write = os.pipe()
        # A keeper is nobody's descendant, also when a node starts it.
        environment = {name: value for name, value in os.environ.items() if name != MARK}
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "tandem.supervise.keeper"],
            environment,
            file_actions=[
                (os.POSIX_SPAWN_DUP2, config_read, 0),
                (os.POSIX_SPAWN_OPEN, 1, "/dev/null", os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, error_write, 2),
            ],
            setsid=True,
        )
        os.close(config_read)
        os.close(error_write)
        return cls(pid, config_write, error_read)

    @property
    def is_configured(self) -> bool:
        return self._config_fd < 0

    def configure(self, config: KeeperConfig) -> None:
        """Say which machine it keeps."""
        from tandem.supervise.wire import encode_frame

        frame = memoryview(encode_frame(config))
        try:
            while frame:
                frame = frame[os.write(self._config_fd, frame) :]
        except BrokenPipeError:
            return  # it has died already; `wait_for` tells why
        finally:
            self._close_config()

    def abandon(self) -> None:
        """It is not wanted after all."""
        self._close_config()
        os.close(self._error_fd)
        os.waitpid(self.pid, 0)

    def check(self) -> None:
        """Raises :class:`TandemError` with its last words when it has ended.

        A keeper that found another one on its machine has left quietly; that other one does its work.
        """
        if self._ended:
            return
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        self._ended = pid != 0
        if self._ended and os.waitstatus_to_exitcode(status) != EXIT_ALREADY_RUNNING:
            raise TandemError(f"the keeper could not start: {self._last_words()}")

    def _last_words(self) -> str:
        with os.fdopen(self._error_fd, "rb", closefd=False) as errors:
            words = errors.read().decode("utf-8", "replace").strip()
        return words.splitlines()[-1] if words else "it said nothing"

    def _close_config(self) -> None:
        if self._config_fd >= 0:
            os.close(self._config_fd)
            self._config_fd = -1


def wait_for(path: Path, timeout_s: float, keeper: KeeperStart | None = None) -> None:
    """Return when somebody listens at ``path``, a socket that ``keeper`` or one begun by others makes.

    A dead keeper's file is not enough. Raises :class:`Unreachable` after the time, and what ``keeper.check`` does.
    """
    until = time.monotonic() + timeout_s
    while not _listens(path):
        if keeper is not None:
            keeper.check()
        if time.monotonic() >= until:
            raise Unreachable(f"nobody listens at {path} after {timeout_s:g} s", hint="tandem logs keeper")
        time.sleep(_POLL_S)


def _listens(path: Path) -> bool:
    import socket

    with socket.socket(socket.AF_UNIX) as link:
        try:
            link.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def is_kept(dirs: MachineDirs) -> bool:
    """Whether a keeper holds the machine: its lock is taken."""
    import fcntl

    try:
        fd = os.open(dirs.run / "keeper.lock", os.O_RDWR)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(fd)
    return False
