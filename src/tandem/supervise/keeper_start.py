"""Starting a keeper from the command line: the process first, what it is for a moment later.

Importing takes the keeper as long as reading the fleet file takes us, so both happen at once.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from tandem.core.errors import TandemError, Unreachable
from tandem.core.paths import MachineDirs
from tandem.supervise.wire import MARK, KeeperConfig, encode_frame

EXIT_ALREADY_RUNNING = 75
_POLL_S = 0.002


class KeeperStart:
    """A keeper process that waits for its configuration, and leaves when it gets none."""

    def __init__(self, pid: int, config_fd: int, error_fd: int):
        self.pid = pid
        self._config_fd = config_fd
        self._error_fd = error_fd

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

    def wait_for(self, path: Path, timeout_s: float) -> None:
        """Return when ``path`` (a socket the keeper makes) exists.

        Raises :class:`TandemError` with its last words when the keeper ends instead, :class:`Unreachable` after the
        time. A keeper that finds another one on its machine leaves quietly; that other one makes the path.
        """
        until = time.monotonic() + timeout_s
        ended = False
        while not path.exists():
            if not ended:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
                ended = pid != 0
                if ended and os.waitstatus_to_exitcode(status) != EXIT_ALREADY_RUNNING:
                    raise TandemError(f"the keeper could not start: {self._last_words()}")
            if time.monotonic() >= until:
                raise Unreachable(f"the node's socket {path} did not appear within {timeout_s:g} s")
            time.sleep(_POLL_S)

    def _last_words(self) -> str:
        with os.fdopen(self._error_fd, "rb", closefd=False) as errors:
            words = errors.read().decode("utf-8", "replace").strip()
        return words.splitlines()[-1] if words else "it said nothing"

    def _close_config(self) -> None:
        if self._config_fd >= 0:
            os.close(self._config_fd)
            self._config_fd = -1


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
