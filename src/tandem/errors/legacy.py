"""What an old ZeroMQ error bus says, in our terms, and which of it the new bus has told already. Pure.

The old names live here only: messages ``ERROR:{json}`` (or a topic frame and a JSON frame) on a SUB/PUB port.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import msgspec
from msgspec import Struct

from tandem.core import clock
from tandem.core.ids import AgentId, new_id
from tandem.errors.report import ErrorReport, Words, bounded, make_report
from tandem.errors.severity import Severity

TOPIC = "ERROR:"
BRIDGE = "bridge"
"""Reporter of what comes from the old bus, which names its senders as it likes."""

UNKNOWN = "legacy"
"""Agent of a message that does not name one."""

WINDOW_S = 5.0
"""A report on one transport and an equal one on the other within this time are one error told twice."""

MAX_REMEMBERED = 20_000
"""Reports of the new bus that are compared with old messages; a greater storm may count some of those twice."""

_AGENT = ("agent", "agent_name", "source", "service", "component")
_TYPE = ("error_type", "type")
_MESSAGE = ("message", "error_message", "error", "msg")
_SEVERITY = ("severity", "level")
_CONTEXT = ("details", "context")
_TIME = ("at", "timestamp", "time")
_ID = ("id", "error_id", "event_id")


class Phase(StrEnum):
    """``dual``: both buses, for old senders and old readers. ``nats-only``: old senders are still heard, old readers no
    longer served. ``off``: the port is closed."""

    DUAL = "dual"
    NATS_ONLY = "nats-only"
    OFF = "off"


def parse(frames: Sequence[bytes], machine: str) -> ErrorReport | None:
    """An old message as a report; None for what is none."""
    text = b"".join(frames[-1:]).strip()
    prefix = TOPIC.encode()
    try:
        fields = msgspec.json.decode(text.removeprefix(prefix))
    except msgspec.DecodeError:
        return None
    if not isinstance(fields, dict):
        return None
    message = _first(fields, _MESSAGE)
    kind = _first(fields, _TYPE)
    if not isinstance(message, str) and not isinstance(kind, str):
        return None
    context = _first(fields, _CONTEXT)
    severity = _first(fields, _SEVERITY)
    words = Words(
        type=str(kind or "Error"),
        message=str(message or ""),
        severity=(Severity.parse(severity) if isinstance(severity, str) else None) or Severity.ERROR,
        context=context if isinstance(context, Mapping) else {},
        error=None,
    )
    report = make_report(AgentId.of(_name(_first(fields, _AGENT)), machine), words)
    return msgspec.structs.replace(
        report,
        id=_known_id(_first(fields, _ID)),
        time=_time(_first(fields, _TIME)),
        context=report.context | bounded({"transport": "zmq"}),
        trace_id="",
    )


def render(report: ErrorReport) -> bytes:
    """A report as readers of the old bus expect it; the id lets them, and us, recognise it."""
    fields = {
        "id": report.id,
        "agent": report.agent,
        "error_type": report.type,
        "message": report.message,
        "severity": report.severity.upper(),
        "details": report.context,
        "timestamp": report.time,
    }
    return TOPIC.encode() + msgspec.json.encode(fields)


class _Told(Struct):
    report: ErrorReport
    at: float


class Twins:
    """Finds errors told on both buses, whichever comes first: by id, else by type and message, one against one.

    Times are monotonic seconds. What came on the old bus waits for its twin; :meth:`ripe` gives what had none.
    """

    def __init__(self, window_s: float = WINDOW_S):
        self._window_s = window_s
        self._old: deque[_Told] = deque()
        self._new: deque[_Told] = deque(maxlen=MAX_REMEMBERED)

    def on_old(self, report: ErrorReport, now: float) -> None:
        """A message of the old bus."""
        if not self._match(self._new, report, now):
            self._old.append(_Told(report, now))

    def on_new(self, report: ErrorReport, now: float) -> None:
        """A report of the new bus."""
        if not self._match(self._old, report, now):
            self._new.append(_Told(report, now))

    def ripe(self, now: float) -> list[ErrorReport]:
        """Old messages that nobody told on the new bus within the window."""
        found = []
        while self._old and now - self._old[0].at >= self._window_s:
            found.append(self._old.popleft().report)
        while self._new and now - self._new[0].at >= self._window_s:
            self._new.popleft()
        return found

    def _match(self, others: deque[_Told], report: ErrorReport, now: float) -> bool:
        for told in others:
            same = report.id == told.report.id or _key(report) == _key(told.report)
            if same and now - told.at < self._window_s:
                others.remove(told)
                return True
        return False


def _key(report: ErrorReport) -> tuple[str, str]:
    return report.type, report.message


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((fields[name] for name in names if fields.get(name) not in (None, "")), None)


def _name(said: Any) -> str:
    """A subject-safe agent name."""
    kept = "".join(letter for letter in str(said or "") if letter.isalnum() or letter in "-_")
    return kept[:64] or UNKNOWN


def _known_id(said: Any) -> str:
    # A short one is a sender's own counter, which others use too.
    return said[:64] if isinstance(said, str) and len(said) >= 20 else new_id()


def _time(said: Any) -> float:
    """Unix seconds, when it is a time near ours; old agents wrote what they liked."""
    now = clock.wall()
    if isinstance(said, (int, float)) and not isinstance(said, bool) and abs(said - now) < 7 * 86_400:
        return float(said)
    return now
