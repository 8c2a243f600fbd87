"""What a consumer does with one message and says about itself, without a server."""

from __future__ import annotations

import asyncio

import pytest

from tandem.core import clock
from tandem.core.access import NatsAccess
from tandem.core.errors import Unreachable
from tandem.events import Bus, Connection, Consumer, ConsumerPolicy, Event, Rejected
from tandem.events.consumer import STUCK_S

ACCESS = NatsAccess("nats://127.0.0.1:1", b"", "", "", "", "mainpc", "mainpc")


class Pair:
    """A message's two sequence numbers."""

    consumer = 7
    stream = 9


class Metadata:
    """What JetStream tells about a delivery."""

    sequence = Pair()

    def __init__(self, attempt: int) -> None:
        self.num_delivered = attempt


class Message:
    """A delivery that writes down how it was settled."""

    subject = "event.mainpc.x"
    data = b"{}"
    is_acked = False

    def __init__(self, attempt: int = 1, message_id: str = "id", **headers: str) -> None:
        self.metadata = Metadata(attempt)
        self.headers = {"Nats-Msg-Id": message_id, **headers}
        self.settled: list[object] = []

    async def ack(self) -> None:
        self.settled.append("ack")

    async def nak(self, delay: float | None = None) -> None:
        self.settled.append(delay)


class Letters:
    """A publisher that keeps what it gets, or is unreachable."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, dict[str, str]]] = []
        self.away = False

    async def publish(self, subject: str, payload: bytes, headers: dict[str, str]) -> None:
        if self.away:
            raise Unreachable("away")
        self.sent.append((subject, headers))


class Rig:
    """A consumer whose handler raises what it is told to."""

    def __init__(self, **policy) -> None:
        self.letters = Letters()
        self.calls = 0
        self.error: Exception | None = None
        self.consumer = Consumer(
            Connection(ACCESS, "A"),
            self.letters,  # type: ignore[arg-type]
            stream="EVENTS_ALL",
            name="A-x",
            subjects=["event.*.x"],
            handler=self.handle,
            dead_letter_subject="dead.mainpc.A.x",
            policy=ConsumerPolicy(**policy),
        )

    async def handle(self, message: Message) -> None:
        self.calls += 1
        if self.error is not None:
            raise self.error

    async def settle(self, message: Message) -> list[object]:
        await self.consumer._settle(message)  # type: ignore[arg-type]
        return message.settled


@pytest.mark.parametrize(("attempt", "settled"), [(1, 2.0), (2, 10.0), (3, 60.0), (4, "ack")])
async def test_failures_are_retried_after_2_10_and_60_seconds_then_buried(attempt, settled):
    """The delays are those the design fixes; the fourth failure is a dead letter and acknowledged."""
    rig = Rig()
    rig.error = RuntimeError("no")
    assert await rig.settle(Message(attempt)) == [settled]
    assert len(rig.letters.sent) == (attempt == 4)


async def test_a_dead_letter_says_what_happened_and_carries_no_server_headers():
    """Reason, subject, attempts and the event's own headers are kept; headers the server refuses are not."""
    rig = Rig()
    rig.error = Rejected("not for me")
    message = Message(2, **{"ce-id": "id", "Nats-Stream-Source": "EVENTS_LOCAL 1 > > event.mainpc.x"})
    assert await rig.settle(message) == ["ack"]
    [(subject, headers)] = rig.letters.sent
    assert subject == "dead.mainpc.A.x"
    assert headers == {
        "ce-id": "id",
        "Nats-Msg-Id": "id:A-x",
        "Tandem-Subject": "event.mainpc.x",
        "Tandem-Consumer": "A-x",
        "Tandem-Reason": "not for me",
        "Tandem-Attempts": "2",
    }


async def test_a_message_is_not_acknowledged_before_its_dead_letter_is_stored():
    """While dead letters cannot be stored the message stays the server's to deliver again."""
    rig = Rig()
    rig.error, rig.letters.away = Rejected("no"), True
    message = Message()
    with pytest.raises(Unreachable):
        await rig.settle(message)
    assert message.settled == []


async def test_a_message_that_keeps_killing_its_process_is_buried_unhandled():
    """Delivered often and never settled: the handler is spared."""
    rig = Rig(max_deliveries=5)
    assert await rig.settle(Message(6)) == ["ack"]
    assert rig.calls == 0
    assert "6 times" in rig.letters.sent[0][1]["Tandem-Reason"]


async def test_duplicates_are_acknowledged_unhandled_and_forgotten_in_the_end():
    """A known id is not handled again; only the newest ids are remembered."""
    rig = Rig(remembered=2)
    for message_id in ("a", "a", "b", "c", "a"):
        assert await rig.settle(Message(message_id=message_id)) == ["ack"]
    assert rig.calls == 4
    assert rig.consumer.duplicates == 1


async def test_messages_without_id_are_all_handled():
    """No id, nothing to recognise a duplicate by."""
    rig = Rig()
    await rig.settle(Message(message_id=""))
    await rig.settle(Message(message_id=""))
    assert rig.calls == 2


async def test_a_busy_handler_and_a_standing_backlog_are_issues(monkeypatch):
    """Health is progress: neither an open connection nor a waiting queue alone says anything."""
    now = [1000.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    consumer = Rig().consumer
    consumer._handling_since[1] = now[0]
    consumer._backlog_seen = (5, 3, now[0])
    assert consumer.issues() == []
    now[0] += STUCK_S + 1
    busy, standing = (issue.message for issue in consumer.issues())
    assert "busy with one message for 61 s" in busy
    assert "5 messages wait" in standing


async def test_what_cannot_be_followed_is_refused_where_it_is_written():
    """An event without topic, and a second handler under one name, are mistakes of the author."""

    class Nameless(Event):
        pass

    class Named(Event, topic="named"):
        pass

    async def handler(event: Event) -> None:
        raise AssertionError("never called")

    bus = Bus(ACCESS, "A")
    with pytest.raises(TypeError, match="no topic"):
        await bus.subscribe(Nameless, handler)
    first = asyncio.create_task(bus.subscribe(Named, handler))
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="subscribed already"):
        await bus.subscribe(Named, handler)
    first.cancel()
    await bus.close()
