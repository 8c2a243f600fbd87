"""The last lines of an agent's log on this machine."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.core.errors import NotFound
from tandem.core.paths import MachineDirs

READ_BYTES = 256 * 1024
"""How far back in the current file one looks; a page shows some hundred lines."""


class LogLine(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. ``ts`` is RFC 3339 in UTC or empty; ``turn`` links it to a trace; ``message`` is text somebody else wrote."""

    ts: str = ""
    level: str = "INFO"
    message: str
    turn: str = ""


class _Fields(Struct):
    ts: str = ""
    level: str = "INFO"
    msg: str = ""
    exc: str = ""
    turn: str = ""


_decode = msgspec.json.Decoder(_Fields).decode


def tail(dirs: MachineDirs, unit: str, lines: int) -> list[LogLine]:
    """At most ``lines`` of the newest lines of an agent or server (``nats``, ``node`` …), oldest first.

    Raises :class:`NotFound` when nothing of that name has ever written here.
    """
    path = dirs.logs / f"{Path(unit).name}.log"
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - READ_BYTES))
            data = file.read()
    except OSError:
        raise NotFound(f"{unit} has no log here", hint="tandem logs") from None
    rows = data.split(b"\n")[1 if size > READ_BYTES else 0 :]
    return [_parse(row) for row in rows if row][-lines:]


def _parse(raw: bytes) -> LogLine:
    try:
        fields = _decode(raw)
    except msgspec.MsgspecError:
        return LogLine(message=raw.decode("utf-8", "replace"))
    message = f"{fields.msg}\n{fields.exc}" if fields.exc else fields.msg
    return LogLine(ts=fields.ts, level=fields.level, message=message, turn=fields.turn)
