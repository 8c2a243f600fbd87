"""What is left of a file of ours when its content is damaged: it is put aside under another name, never deleted.

Work then goes on without it. Only for what can be made anew, or whose loss is told; what nobody can replace (keys,
secrets, memories) stays where it is, and whoever reads it says so and stops.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import msgspec

T = TypeVar("T")

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)
"""What msgspec raises for bytes that are not what they should be."""

MARK = ".damaged-"

log = logging.getLogger("tandem.damage")


def set_aside(path: Path) -> Path:
    """Rename ``path`` so that nobody reads it any more, and say where it is: ``NAME.damaged-YYYYmmddTHHMMSSffffffZ``.

    Raises ``OSError``.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%fZ")
    return path.rename(path.with_name(f"{path.name}{MARK}{stamp}"))


def read_json(path: Path, kind: type[T]) -> T | None:
    """What a JSON file holds; None when there is none, or when it is damaged, which puts it aside and is logged.

    Raises ``OSError`` when it cannot be read or put aside.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except UNREADABLE as error:
        log.error("%s is damaged (%s); it is put aside as %s", path, error, set_aside(path).name)
        return None
