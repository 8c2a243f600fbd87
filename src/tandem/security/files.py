"""Files that hold secrets: private from the first byte, whole or absent, never half written."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tandem.core.errors import ConfigError

SECRET_MODE = 0o400


def sync_dir(path: Path) -> None:
    """Make the names in ``path`` durable; a rename is only on disk after this."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomic(path: Path, data: bytes, mode: int = SECRET_MODE) -> None:
    """Replace ``path`` by ``data``, with permissions ``mode`` before any byte is in it; durable on return."""
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(fd, mode)
            os.fsync(fd)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_dir(path.parent)


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
