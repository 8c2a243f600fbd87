"""Events: typed facts an agent announces.

On NATS an event is a JSON body (its own fields) with headers in CloudEvents' binary mode
(https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/nats-protocol-binding.md), so any NATS
client can read it. The subject is ``event.<machine>.<topic>``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, dataclass_transform

from msgspec import Struct, StructMeta, field

from tandem.core import clock
from tandem.core.ids import AgentId, new_id
from tandem.telemetry.tracing import current_traceparent

_TOPIC = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")

MSG_ID = "Nats-Msg-Id"
TRACEPARENT = "traceparent"
_ID, _SOURCE, _TYPE, _TIME, _VERSION = "ce-id", "ce-source", "ce-type", "ce-time", "ce-specversion"


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
class EventMeta(StructMeta):
    """Takes the ``topic`` of a class statement; makes the class frozen with keyword-only fields."""

    topic: str

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        topic: str = "",
        **options: Any,
    ) -> EventMeta:
        if topic and not _TOPIC.fullmatch(topic):
            raise TypeError(f"topic of {name} must be lower-case words joined by dots, not {topic!r}")
        cls = super().__new__(mcls, name, bases, namespace, **{"frozen": True, "kw_only": True, **options})
        cls.topic = topic
        return cls


class Event(Struct, metaclass=EventMeta):
    """Base of all events: ``class FactLearned(Event, topic="fact.learned"): statement: str``.

    Give a field a default when you add it later: events of an older release are still on their way.
    """

    if TYPE_CHECKING:

        def __init_subclass__(cls, topic: str = "", **options: Any) -> None: ...


class Delivery(Struct, frozen=True, kw_only=True):
    """How an event came: ``id`` is the same however often it is delivered, ``time`` is Unix seconds at its origin,
    ``attempt`` counts deliveries from 1."""

    id: str
    topic: str
    origin: AgentId
    time: float
    attempt: int = 1


_current: ContextVar[Delivery | None] = ContextVar("tandem_delivery", default=None)


def current_delivery() -> Delivery | None:
    """The delivery being handled, for handlers that must know an event's id, origin or time."""
    return _current.get()


@contextmanager
def delivery_scope(delivery: Delivery) -> Iterator[None]:
    """Make ``delivery`` the current one within the block."""
    token = _current.set(delivery)
    try:
        yield
    finally:
        _current.reset(token)


def subject_of(machine: str, topic: str) -> str:
    """Where events of ``topic`` from ``machine`` (``*``: any) travel."""
    return f"event.{machine}.{topic}"


def headers_for(event: Event, origin: AgentId) -> dict[str, str]:
    """Headers of a new event; its id also lets JetStream recognise a repeated publish.

    Raises ``TypeError`` for a class declared without a topic.
    """
    topic = type(event).topic
    if not topic:
        raise TypeError(
            f'{type(event).__name__} has no topic: class {type(event).__name__}(Event, topic="...")'
        )
    event_id = new_id()
    headers = {
        MSG_ID: event_id,
        _ID: event_id,
        _SOURCE: origin,
        _TYPE: topic,
        _TIME: f"{clock.wall():.6f}",
        _VERSION: "1.0",
    }
    traceparent = current_traceparent()
    if traceparent:
        headers[TRACEPARENT] = traceparent
    return headers


def delivery_from(headers: Mapping[str, str], subject: str, attempt: int) -> Delivery:
    """What the headers say; a message without ours gets its subject's topic and machine, and no id."""
    _, machine, topic = (*subject.split(".", 2), "", "")[:3]
    try:
        time = float(headers.get(_TIME, ""))
    except ValueError:
        time = 0.0
    return Delivery(
        id=headers.get(_ID) or headers.get(MSG_ID, ""),
        topic=headers.get(_TYPE) or topic,
        origin=AgentId(headers.get(_SOURCE) or AgentId.of("", machine)),
        time=time,
        attempt=attempt,
    )
