"""Log lines as JSON on standard error, written so that logging can never hurt the agent.

A line goes out in one synchronous write. If nobody reads the other end of the pipe (its reader died, is
stopped, or its disk is full), the line is dropped and counted, and the next one that gets through says how
many are missing. The writer waits for room at most once per blockage, because a stopped reader must not stop us.
"""

from __future__ import annotations

import logging
import os
import select
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from tandem.telemetry.resource import Resource, current_resource, set_process_resource
from tandem.telemetry.tracing import current_context

MAX_LINE_BYTES = 64 * 1024
"""The fields of a longer line are cut short: one careless dump must not fill the log."""

WAIT_FOR_ROOM_MS = 50
"""How long one line waits for a full pipe; a burst outruns the reader by far less."""

# A pipe that polls writable takes this much without blocking (POSIX PIPE_BUF, pipe(7)).
_CHUNK = select.PIPE_BUF
Redact = Callable[[str], str]

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_encoder = msgspec.json.Encoder(enc_hook=repr)


class LineWriter:
    """Writes whole lines to a descriptor without ever raising or blocking for long."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._torn = False
        self._blocked = False
        self._poll = select.poll()
        self._poll.register(fd, select.POLLOUT)

    def write(self, line: bytes) -> bool:
        """Write ``line`` and a newline; False when it was dropped."""
        data = (b"\n" if self._torn else b"") + line + b"\n"
        written = 0
        try:
            while written < len(data):
                if not self._poll.poll(0 if self._blocked else WAIT_FOR_ROOM_MS):
                    self._blocked = True
                    break
                written += os.write(self._fd, data[written : written + _CHUNK])
        except OSError:
            pass  # the caller counts; there is nobody to tell now
        if written == len(data):
            self._torn = self._blocked = False
            return True
        self._torn = self._torn or written > 0
        return False


class JsonFormatter(logging.Formatter):
    """One record as one line of JSON: ts, level, agent, machine, logger, msg, and turn, trace, span, exc when known.

    ``ts`` is RFC 3339 in UTC with milliseconds. Fields given by ``extra=`` follow under their own names. Every text
    goes through ``redact`` first.
    """

    def __init__(self, redact: Redact = str) -> None:
        super().__init__()
        self.redact = redact

    def format(self, record: logging.LogRecord) -> str:
        resource = current_resource()
        fields: dict[str, Any] = {
            "ts": timestamp(record.created),
            "level": record.levelname,
            "agent": resource.agent,
            "machine": resource.machine,
            "logger": record.name,
            "msg": _message(record),
        }
        context = current_context()
        if context is not None:
            fields.update(turn=context.turn, trace=context.trace_id, span=context.span_id)
        if record.exc_info and record.exc_info[0] is not None:
            fields["exc"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        fields.update((key, value) for key, value in vars(record).items() if key not in _STANDARD)
        fields = {key: self._clean(value) for key, value in fields.items()}
        line = _encode(fields)
        return line if len(line) <= MAX_LINE_BYTES else _encode(_cut(fields))


    def _clean(self, value: Any) -> Any:
        if isinstance(value, str):
            return self.redact(value)
        if isinstance(value, (bool, int, float)) or value is None:
            return value
        if isinstance(value, dict):
            return {self._clean(_text(key)): self._clean(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(inner) for inner in value]
        return self._clean(msgspec.to_builtins(value, enc_hook=repr))


class JsonHandler(logging.Handler):
    """Sends records to a descriptor as JSON lines; never raises. ``dropped`` counts lines that did not get out."""

    def __init__(self, fd: int = 2, redact: Redact = str) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter(redact))
        self.dropped = 0
        self.fd = fd
        self._writer = LineWriter(fd)
        self._reported = 0

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception as error:
            # A caller's object whose repr raises must not take the line down with it.
            line = _encode(
                {"ts": timestamp(record.created), "level": record.levelname, "msg": f"unprintable: {error!r}"}
            )
        if not self._writer.write(line.encode()):
            self.dropped += 1
        elif self.dropped > self._reported:
            self._report_drops(record.created)

    def _report_drops(self, now: float) -> None:
        lost = self.dropped - self._reported
        resource = current_resource()
        notice = {
            "ts": timestamp(now),
            "level": "WARNING",
            "agent": resource.agent,
            "machine": resource.machine,
            "logger": "tandem.logs",
            "msg": f"{lost} log lines lost because nobody read them",
            "lost": lost,
        }
        if self._writer.write(_encode(notice).encode()):
            self._reported += lost


def configure(
    agent: str, machine: str, level: str | int = "INFO", fd: int = 2, redact: Redact = str
) -> JsonHandler:
    """Make the root logger of this process write JSON lines to ``fd``, replacing its handlers.

    ``redact`` removes secrets from every text that is written.

    Python warnings are logged as well. Returns the handler, whose ``dropped`` counts lost lines. What a zygote has
    configured is kept where it fits: every change would touch each logger there is, in every one of its children.
    """
    set_process_resource(Resource(agent, machine))
    root = logging.getLogger()
    match root.handlers:
        case [JsonHandler(fd=present) as handler] if present == fd and _redacts_with(handler, redact):
            pass
        case _:
            handler = JsonHandler(fd, redact)
            root.handlers[:] = [handler]
            logging.captureWarnings(True)
    if logging.getLevelName(root.level) != level and root.level != level:
        root.setLevel(level)
    return handler


def _redacts_with(handler: logging.Handler, redact: Redact) -> bool:
    return isinstance(handler.formatter, JsonFormatter) and handler.formatter.redact is redact


def timestamp(unix_s: float) -> str:
    """RFC 3339 in UTC with milliseconds: ``2025-01-31T12:00:00.000Z``."""
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError) as error:
        return f"{record.msg!s} {record.args!r} ({error})"


def _cut(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields of an overlong line, each shortened so that together they fit."""
    share = MAX_LINE_BYTES // (8 * len(fields))
    return {
        key: value if len(str(value)) <= share else f"{str(value)[:share]}… (cut)"
        for key, value in fields.items()
    }


def _encode(fields: dict[str, Any]) -> str:
    try:
        return _encoder.encode(fields).decode()
    except (UnicodeEncodeError, TypeError, ValueError):
        # Lone surrogates, keys that are no strings and the like: keep what can be kept.
        return _encoder.encode({_text(key): _text(value) for key, value in fields.items()}).decode()


def _text(value: object) -> str:
    return str(value).encode("utf-8", "backslashreplace").decode()


_MARKS = {"DEBUG": "36", "INFO": "32", "WARNING": "33", "ERROR": "31", "CRITICAL": "1;31"}
_SHOWN = frozenset({"ts", "level", "agent", "machine", "logger", "msg", "turn", "trace", "span", "exc"})


def render_plain(line: str, *, color: bool = False) -> str:
    """A stored line for a person: local time, level, agent, message, other fields, traceback indented below.

    A line that is not one of ours (a foreign program's output) comes back unchanged.
    """
    try:
        fields = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return line.rstrip("\n")
    if not isinstance(fields, dict) or "msg" not in fields:
        return line.rstrip("\n")
    level = str(fields.get("level", "INFO"))
    mark = f"\x1b[{_MARKS.get(level, '0')}m{level:<8}\x1b[0m" if color else f"{level:<8}"
    rest = " ".join(f"{key}={value}" for key, value in fields.items() if key not in _SHOWN)
    parts = (
        _local_time(str(fields.get("ts", ""))),
        mark,
        str(fields.get("agent", "")),
        str(fields["msg"]),
        rest,
    )
    text = " ".join(part for part in parts if part)
    exc = fields.get("exc")
    return text + "".join(f"\n    {row}" for row in str(exc).splitlines()) if exc else text


def _local_time(ts: str) -> str:
    try:
        return datetime.fromisoformat(ts).astimezone().strftime("%H:%M:%S.%f")[:-3]
    except ValueError:
        return ts
