"""Declaring events, and what travels with them."""

from __future__ import annotations

import msgspec
import pytest

from tandem.core.ids import AgentId
from tandem.events import Event, current_delivery
from tandem.events.event import Delivery, delivery_from, delivery_scope, headers_for, subject_of
from tandem.telemetry import tracing


class FactLearned(Event, topic="fact.learned"):
    """An example."""

    statement: str
    certainty: float = 1.0


def test_an_event_is_a_frozen_struct_with_keyword_fields():
    """The class statement needs the topic and nothing else."""
    event = FactLearned(statement="tea")
    assert FactLearned.topic == "fact.learned"
    with pytest.raises(AttributeError):
        event.statement = "coffee"  # type: ignore[misc]
    with pytest.raises(TypeError):
        FactLearned("tea")  # type: ignore[misc]
    assert msgspec.json.decode(msgspec.json.encode(event), type=FactLearned) == event


def test_struct_options_pass_through():
    """Everything msgspec understands may stand beside the topic."""

    class Small(Event, topic="small", omit_defaults=True, rename="camel"):
        long_name: int = 0

    assert msgspec.json.encode(Small(long_name=1)) == b'{"longName":1}'
    assert msgspec.json.encode(Small()) == b"{}"


@pytest.mark.parametrize("topic", ["Upper", "a..b", ".a", "a.", "a b", "a.*", "a.>", "ä"])
def test_a_topic_that_is_no_subject_is_refused(topic):
    """Wildcards, spaces and empty words would change whom the event reaches."""
    with pytest.raises(TypeError, match="topic"):
        type(Event)("Bad", (Event,), {}, topic=topic)


def test_a_topic_is_not_inherited():
    """A subclass is another event: it announces nothing until it names its own topic."""

    class More(FactLearned):
        extra: int = 0

    assert More.topic == ""
    with pytest.raises(TypeError, match="has no topic"):
        headers_for(More(statement="x"), AgentId("A@m"))


def test_headers_read_back_as_the_delivery():
    """Id, topic, origin and time survive the way."""
    headers = headers_for(FactLearned(statement="tea"), AgentId("A@mainpc"))
    delivery = delivery_from(headers, subject_of("mainpc", "fact.learned"), attempt=2)
    assert headers["Nats-Msg-Id"] == headers["ce-id"] == delivery.id
    assert (delivery.topic, delivery.origin, delivery.attempt) == ("fact.learned", "A@mainpc", 2)
    assert delivery.time > 1e9
    assert "traceparent" not in headers


def test_headers_carry_the_trace():
    """Inside a turn the event names its span."""
    with tracing.start_turn(sampled=False):
        headers = headers_for(FactLearned(statement="tea"), AgentId("A@mainpc"))
        assert headers["traceparent"] == tracing.current_traceparent()


def test_a_foreign_message_is_described_by_its_subject():
    """A message some other program published has machine and topic all the same."""
    delivery = delivery_from({"ce-time": "yesterday"}, "event.pc2.door.opened", attempt=1)
    assert (delivery.id, delivery.topic, delivery.origin.machine, delivery.time) == (
        "",
        "door.opened",
        "pc2",
        0.0,
    )


def test_the_current_delivery_ends_with_its_block():
    """Outside a handler there is none."""
    delivery = Delivery(id="1", topic="t", origin=AgentId("A@m"), time=0.0)
    with delivery_scope(delivery):
        assert current_delivery() is delivery
    assert current_delivery() is None
