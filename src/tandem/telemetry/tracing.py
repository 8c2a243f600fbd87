"""Spans of one turn across agents and machines (W3C Trace Context, https://www.w3.org/TR/trace-context/).

A *turn* is one request of a person and everything the agents do for it. Its id is a ULID, and the 128 bits
of that ULID *are* the trace id, so every process that receives a ``traceparent`` knows the turn as well.
Only sampled turns are recorded; outside of one, :func:`span` returns a shared object that does nothing.

Span names, kinds, statuses and attribute keys follow OpenTelemetry's semantic conventions, so that an OTLP
exporter is a pure mapping of :class:`Span` (``cancelled`` is theirs unset: the caller withdrew, nothing failed).
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from random import getrandbits
from types import TracebackType
from typing import Literal, Self

from msgspec import Struct

from tandem.core import clock
from tandem.core.errors import Cancelled, TandemError
from tandem.core.ids import new_id
from tandem.telemetry.resource import current_resource

Kind = Literal["internal", "server", "client", "producer", "consumer"]
SpanStatus = Literal["ok", "error", "cancelled"]
Attribute = str | int | float
_WITHDRAWN = (asyncio.CancelledError, Cancelled)
"""Work its caller no longer wanted has not failed."""

TURN_SPAN = "turn"
"""Name of a turn's root span."""
INTENT = "intent"
"""The attribute of a turn's root span by which lists of turns call it."""

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_VALUE_OF = {letter: value for value, letter in enumerate(_CROCKFORD)}
# Version 00 has exactly these four fields; a higher version may append more after a dash (section 3.2.1).
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_VERSION_00 = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")
_SAMPLED = 0x01
_NO_TRACE, _NO_SPAN_ID = "0" * 32, "0" * 16


class SpanContext(Struct, frozen=True):
    """What travels with a request: 32 hexadecimal digits of trace, 16 of span, and whether anybody records."""

    trace_id: str
    span_id: str
    sampled: bool

    def traceparent(self) -> str:
        """The header's value, version 00."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    @classmethod
    def parse(cls, traceparent: str) -> SpanContext | None:
        """The context of a header, or None for a malformed one, which the standard says to ignore."""
        if _VERSION_00.fullmatch(traceparent):
            trace_id, span_id = traceparent[3:35], traceparent[36:52]
            valid = trace_id != _NO_TRACE and span_id != _NO_SPAN_ID
            return cls(trace_id, span_id, traceparent[54] == "1") if valid else None
        match = _TRACEPARENT.fullmatch(traceparent)
        if match is None:
            return None
        version, trace_id, span_id, flags, rest = match.groups()
        if version == "ff" or (version == "00" and rest) or trace_id == _NO_TRACE or span_id == _NO_SPAN_ID:
            return None
        return cls(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))

    @property
    def turn(self) -> str:
        """The turn's ULID."""
        return turn_of(self.trace_id)


class Span(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One finished piece of work. ``start`` is Unix seconds, ``parent_id`` empty for a root."""

    trace_id: str
    span_id: str
    parent_id: str = ""
    name: str
    kind: Kind = "internal"
    agent: str = ""
    machine: str = ""
    start: float
    duration_s: float
    status: SpanStatus = "ok"
    attributes: dict[str, Attribute] = {}


def turn_of(trace_id: str) -> str:
    """The ULID whose bits are ``trace_id`` (32 hexadecimal digits)."""
    value = int(trace_id, 16)
    return "".join(_CROCKFORD[(value >> shift) & 31] for shift in range(125, -1, -5))


def trace_of(turn: str) -> str:
    """The trace id of a turn's ULID; raises ``ValueError`` when ``turn`` is no ULID."""
    value = 0
    if len(turn) != 26:
        raise ValueError(f"a turn id has 26 characters: {turn!r}")
    for letter in turn.lower():
        if letter not in _VALUE_OF:
            raise ValueError(f"not a letter of a turn id: {letter!r}")
        value = value << 5 | _VALUE_OF[letter]
    if value >> 128:
        raise ValueError(f"turn id out of range: {turn!r}")
    return f"{value:032x}"


class SpanQueue:
    """A bounded sink: keeps the newest spans until somebody drains them, and counts what it had to drop."""

    def __init__(self, capacity: int = 2048) -> None:
        self.dropped = 0
        self._spans: deque[Span] = deque(maxlen=capacity)

    def __call__(self, span: Span) -> None:
        if len(self._spans) == self._spans.maxlen:
            self.dropped += 1
        self._spans.append(span)

    def __len__(self) -> int:
        return len(self._spans)

    def drain(self, limit: int = 256) -> list[Span]:
        """Take up to ``limit`` spans, oldest first."""
        return [self._spans.popleft() for _ in range(min(limit, len(self._spans)))]


Sink = Callable[[Span], None]


def _discard(_span: Span) -> None:
    """The sink of a process that exports nothing."""


_current: ContextVar[SpanContext | None] = ContextVar("tandem_span", default=None)
_sink: Sink = _discard


def set_sink(sink: Sink | None) -> None:
    """Where finished spans of this process go; None discards them. The sink must neither block nor raise."""
    global _sink
    _sink = _discard if sink is None else sink


def current_context() -> SpanContext | None:
    """The span the running task is in, if any."""
    return _current.get()


def current_traceparent() -> str:
    """The header to send along, empty outside of a trace."""
    context = _current.get()
    return context.traceparent() if context is not None else ""


def _leave(token: Token[SpanContext | None] | None) -> None:
    if token is None:
        return
    try:
        _current.reset(token)
    except ValueError:
        # An async generator may be closed from another task, whose context never held this span.
        pass


def _error_type(error: BaseException) -> str:
    return error.code if isinstance(error, TandemError) else type(error).__name__


class ActiveSpan:
    """A recording span; use as a context manager. An exception leaving the block marks it as an error."""

    __slots__ = (
        "_attributes",
        "_error",
        "_kind",
        "_name",
        "_parent_id",
        "_start",
        "_token",
        "_wall",
        "context",
    )

    def __init__(
        self, name: str, kind: Kind, context: SpanContext, parent_id: str, attributes: dict[str, Attribute]
    ) -> None:
        self.context = context
        self._name = name
        self._kind = kind
        self._parent_id = parent_id
        self._attributes = attributes
        self._error: BaseException | None = None
        self._token: Token[SpanContext | None] | None = None
        self._start = self._wall = 0.0

    def __enter__(self) -> Self:
        self._token = _current.set(self.context)
        self._wall = clock.wall()
        self._start = clock.monotonic()
        return self

    def __exit__(
        self, _type: type[BaseException] | None, error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        # A consumer that stops reading a stream closes its generator, which is no failure of the work.
        if error is not None and not isinstance(error, GeneratorExit):
            self.fail(error)
        _leave(self._token)
        _finish(
            self._name,
            self._kind,
            self.context,
            self._parent_id,
            self._wall,
            clock.monotonic() - self._start,
            self._error,
            self._attributes,
        )

    def set(self, key: str, value: Attribute) -> None:
        """Add or replace an attribute."""
        self._attributes[key] = value

    def fail(self, error: BaseException) -> None:
        """Mark as an error without raising; ``error.type`` becomes its wire code, else its class name."""
        self._error = error


def _finish(
    name: str,
    kind: Kind,
    context: SpanContext,
    parent_id: str,
    start: float,
    duration_s: float,
    error: BaseException | None,
    attributes: dict[str, Attribute],
) -> None:
    """Hand the span to the sink; ``start`` is Unix seconds."""
    resource = current_resource()
    status: SpanStatus = "ok"
    if isinstance(error, _WITHDRAWN):
        status = "cancelled"
    elif error is not None:
        status = "error"
        attributes = {**attributes, "error.type": _error_type(error)}
    _sink(
        Span(
            trace_id=context.trace_id,
            span_id=context.span_id,
            parent_id=parent_id,
            name=name,
            kind=kind,
            agent=resource.agent,
            machine=resource.machine,
            start=start,
            duration_s=duration_s,
            status=status,
            attributes=attributes,
        )
    )


class _NoSpan:
    """What :func:`span` returns when nobody records."""

    __slots__ = ()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None

    def set(self, key: str, value: Attribute) -> None:
        """Nothing to add to."""

    def fail(self, error: BaseException) -> None:
        """Nothing to mark."""


class _Unrecorded(_NoSpan):
    """Carries a context through a block without recording it."""

    __slots__ = ("_token", "context")

    def __init__(self, context: SpanContext) -> None:
        self.context = context
        self._token: Token[SpanContext | None] | None = None

    def __enter__(self) -> Self:
        self._token = _current.set(self.context)
        return self

    def __exit__(self, *_: object) -> None:
        _leave(self._token)


_NO_SPAN = _NoSpan()
AnySpan = ActiveSpan | _NoSpan


def _span_id() -> str:
    # Needs no secrecy, only no collision within a trace; os.urandom would be a system call per span.
    return (getrandbits(64) or 1).to_bytes(8, "big").hex()


def span(name: str, kind: Kind = "internal", **attributes: Attribute) -> AnySpan:
    """A child of the current span as a context manager; does nothing unless the current turn is sampled.

    Keys with dots are passed as ``**{"rpc.method": "look_up"}``.
    """
    return child_of(_current.get(), name, kind, attributes)


def child_of(parent: SpanContext | None, name: str, kind: Kind, attributes: dict[str, Attribute]) -> AnySpan:
    """A child of ``parent``, for example of a context that a caller sent along; within an unsampled turn it records
    nothing but carries the turn."""
    if parent is None:
        return _NO_SPAN
    if not parent.sampled:
        return _Unrecorded(parent)
    return ActiveSpan(name, kind, child_context(parent), parent.span_id, attributes)


def start_turn(
    turn: str | None = None, *, sampled: bool = True, name: str = TURN_SPAN, **attributes: Attribute
) -> AnySpan:
    """Begin a new trace, whatever the current one is; its root span lasts as long as the block.

    ``turn`` is a ULID (a new one when None); raises ``ValueError`` when it is none. An unsampled turn records
    nothing but still names itself in log lines of the block.
    """
    context = SpanContext(trace_of(turn or new_id()), _span_id(), sampled)
    if not sampled:
        return _Unrecorded(context)
    return ActiveSpan(name, "internal", context, "", attributes)


@contextmanager
def remote_context(traceparent: str) -> Iterator[SpanContext | None]:
    """Continue the caller's trace within the block; an empty or malformed header means no trace."""
    context = SpanContext.parse(traceparent) if traceparent else None
    token = _current.set(context)
    try:
        yield context
    finally:
        _leave(token)


def child_context(parent: SpanContext) -> SpanContext:
    """The context of a child of ``parent``, to be sent along and given to :func:`record` at its end; that of an unsampled
    turn is its own child."""
    return SpanContext(parent.trace_id, _span_id(), True) if parent.sampled else parent


def enter_context(context: SpanContext) -> None:
    """Make ``context`` the current one for the rest of the running task; :func:`child_of` does so for a block."""
    _current.set(context)


def record(
    name: str,
    kind: Kind,
    context: SpanContext,
    parent_id: str,
    started: float,
    error: BaseException | None,
    attributes: dict[str, Attribute],
) -> None:
    """Record ``context``'s span, which began at ``started`` (monotonic seconds) and ends now, with what it failed of.

    What a block does with less ceremony, for calls: each has two such spans.
    """
    if context.sampled:
        duration_s = clock.monotonic() - started
        _finish(
            name, kind, context, parent_id, clock.wall() - duration_s, duration_s, error, attributes
        )
