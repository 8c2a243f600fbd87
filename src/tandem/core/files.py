"""Files that are whole or absent, never half written, and on the disk when a call returns."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def sync_dir(path: Path) -> None:
    """Make the names in ``path`` durable; a rename is only on disk after this."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomic(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace ``path`` by ``data``, with permissions ``mode`` before any byte is in it; durable on return.

    Raises ``OSError``, and leaves what was there.
    """
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
