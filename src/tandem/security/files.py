"""Files that hold secrets, and files that only one process at a time may change."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tandem.core.errors import ConfigError

SECRET_MODE = 0o400


def read_secret(path: Path) -> bytes:
    """The bytes of ``path``.

    Raises :class:`ConfigError` when it is missing, belongs to another user (root excepted), or others may read it.
    """
    try:
        with path.open("rb") as file:
            info = os.fstat(file.fileno())
            if info.st_uid not in (os.getuid(), 0):
                raise ConfigError(f"{path} belongs to another user", hint=f"chown it to uid {os.getuid()}")
            if info.st_mode & 0o077:
                raise ConfigError(f"{path} can be read by other users", hint=f"chmod 400 {path}")
            return file.read()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock between processes on ``path``; the kernel releases it when the holder dies."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
