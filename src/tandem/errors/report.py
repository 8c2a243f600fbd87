"""One error as it travels: typed, bounded in size, free of credentials."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from msgspec import Struct

from tandem.core import clock
from tandem.core.ids import AgentId, new_id
from tandem.errors.severity import Severity
from tandem.security import redact
from tandem.telemetry.tracing import current_context, turn_of

Scalar = str | int | float | bool | None

MAX_MESSAGE = 2000
MAX_CONTEXT = 24
MAX_VALUE = 1000
"""Characters of a message, entries of a context, characters of a value; more is cut, since a report is no archive."""

MAX_FRAMES = 5
"""Innermost frames that are kept; the log has the whole traceback."""

UNNAMED = "Error"
"""Type of an error whose reporter named none."""

DEATH = "ProcessDied"
"""Type of the report a node makes of a process that ended by itself."""

DEATHS = frozenset({DEATH, "StartTimeout", "Unresponsive"})
"""Types of all reports of a node that mean that an agent is not there."""

ABOUT = "about"
"""Context key: the identity of the agent a report is about, when another one tells of it."""

PEER = "peer"
"""Context key: the identity of the agent that could not be reached, where the reporter knows it."""


class ErrorReport(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``id`` (as a rule a ULID) is the same however often the report arrives; ``time`` is Unix seconds at its origin.

    ``agent`` (a bare name) on ``machine`` is what the error is about. ``count`` says for how many equal errors it
    stands. ``frames`` are ``module:function:line``, innermost first. ``trace_id`` has 32 hexadecimal digits, or none.
    """

    id: str
    agent: str
    machine: str
    type: str
    message: str
    severity: Severity = Severity.ERROR
    time: float
    count: int = 1
    context: dict[str, Scalar] = {}
    trace_id: str = ""
    frames: tuple[str, ...] = ()

    @property
    def origin(self) -> AgentId:
        return AgentId.of(self.agent, self.machine)

    @property
    def subject(self) -> AgentId:
        """Whom it is about: who reports it, unless that tells of another one."""
        about = self.context.get(ABOUT)
        return AgentId(about) if isinstance(about, str) and about else self.origin

    @property
    def turn(self) -> str:
        """The turn it happened in; empty outside of one."""
        return turn_of(self.trace_id) if self.trace_id else ""


class Words(Struct, frozen=True):
    """What a caller of ``report_error`` meant."""

    type: str
    message: str
    severity: Severity
    context: Mapping[str, Any]
    error: BaseException | None


def understand(
    error_type: str | BaseException,
    message: str,
    severity: str | Mapping[str, Any],
    context: Mapping[str, Any] | None,
) -> Words:
    """Both forms of ``report_error`` as one: ``(type, message, severity)`` and ``(severity, message, context)``.

    The second form is known by a severity in the first place and none in the third. Where no type is given, it is
    that of the exception being handled. An unknown severity is taken for an error: a typing mistake must not lose
    a report.
    """
    if isinstance(severity, Mapping):
        context, severity = severity, Severity.ERROR
    handled = error_type if isinstance(error_type, BaseException) else sys.exception()
    if isinstance(error_type, BaseException):
        return Words(
            type(error_type).__name__, message or str(error_type), _severity(severity), context or {}, handled
        )
    leading = Severity.parse(error_type) if severity == Severity.ERROR else None
    if leading is not None or not error_type:
        error_type = type(handled).__name__ if handled is not None else UNNAMED
    # An exception somebody else is dealing with says nothing about an error that has a name of its own.
    own = handled if handled is not None and type(handled).__name__ == error_type else None
    return Words(error_type, message, leading or _severity(severity), context or {}, own)


def make_report(origin: AgentId, words: Words) -> ErrorReport:
    """A report of now, in the current trace, within the limits above and redacted."""
    trace = current_context()
    error = words.error
    return ErrorReport(
        id=new_id(),
        agent=origin.name,
        machine=origin.machine,
        type=words.type[:100],
        message=clean(words.message, MAX_MESSAGE),
        severity=words.severity,
        time=clock.wall(),
        context=bounded(words.context) | _peer_of(error),
        trace_id="" if trace is None else trace.trace_id,
        frames=() if error is None else top_frames(error.__traceback__),
    )


def bounded(context: Mapping[str, Any]) -> dict[str, Scalar]:
    """``context`` as plain values: what is no number or word is shown as its ``repr``."""
    kept: dict[str, Scalar] = {}
    for key, value in context.items():
        if len(kept) == MAX_CONTEXT:
            break
        if value is not None and not isinstance(value, (bool, int, float)):
            value = clean(value if isinstance(value, str) else repr(value), MAX_VALUE)
        kept[str(key)[:100]] = value
    return kept


def clean(text: str, limit: int) -> str:
    """``text`` cut to ``limit`` characters, without credentials, and encodable."""
    # First roughly, since redacting takes time; then exactly, since half a secret would not be recognised.
    rough = text[: 4 * limit]
    # A lone surrogate, as of an undecodable file name, would make the report impossible to write down.
    safe = redact(rough if rough.isascii() else rough.encode(errors="replace").decode())
    return safe if len(safe) <= limit and len(rough) == len(text) else safe[: limit - 1] + "…"


def top_frames(traceback: TracebackType | None) -> tuple[str, ...]:
    """Where it was raised, innermost first."""
    frames: deque[str] = deque(maxlen=MAX_FRAMES)
    while traceback is not None:
        frame = traceback.tb_frame
        frames.appendleft(
            f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_name}:{traceback.tb_lineno}"
        )
        traceback = traceback.tb_next
    return tuple(frames)


def _severity(word: str) -> Severity:
    return Severity.parse(word) or Severity.ERROR


def _peer_of(error: BaseException | None) -> dict[str, Scalar]:
    peer = getattr(error, "details", {}).get(PEER) if error is not None else None
    return {PEER: str(peer)} if peer else {}
