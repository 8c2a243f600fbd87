"""What an agent holds to announce events and to follow those of others."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from nats.aio.msg import Msg

from tandem.core.access import NatsAccess
from tandem.core.health import Issue
from tandem.core.ids import AgentId
from tandem.core.tasks import end
from tandem.events.connection import Connection
from tandem.events.consumer import DEFAULT_POLICY, Consumer, ConsumerPolicy, Rejected
from tandem.events.event import (
    TRACEPARENT,
    Event,
    delivery_from,
    delivery_scope,
    headers_for,
    subject_of,
)
from tandem.events.publisher import Publisher
from tandem.events.streams import EVENTS, dead_letter_subject
from tandem.telemetry.tracing import remote_context, span

MEASURE_EVERY_S = 30.0
DOWN_IS_AN_ISSUE_S = 3.0
SUBSCRIBE_WAIT_S = 3.0

E = TypeVar("E", bound=Event)


class Bus:
    """Typed publish/subscribe of one agent on one machine; starts without NATS and catches up when it comes.

    A handler runs inside the publisher's trace, sees :func:`~tandem.events.event.current_delivery`, and may get an
    event twice after a crash: what it does should be harmless when repeated with the same id.
    """

    def __init__(self, access: NatsAccess, agent: str, *, connection: Connection | None = None) -> None:
        self.origin = AgentId.of(agent, access.machine)
        self.connection = connection or Connection(access, agent)
        self.publisher = Publisher(self.connection)
        self._consumers: dict[str, Consumer] = {}
        self._watch: asyncio.Task[None] | None = None

    async def connect(self, timeout: float | None = None) -> None:
        """Start connecting; with a ``timeout`` in seconds also wait for it.

        Raises :class:`~tandem.core.errors.Unreachable` when it is not connected by then; it goes on trying.
        """
        self.connection.start()
        if self._watch is None:
            self._watch = asyncio.create_task(self._measure(), name="events:progress")
        if timeout is not None:
            await self.connection.client(timeout)

    async def close(self) -> None:
        """Settle what is being handled, give the rest back and disconnect."""
        watch, self._watch = self._watch, None
        await end(watch)
        await asyncio.gather(*(consumer.close() for consumer in self._consumers.values()))
        await self.connection.close()

    async def publish(self, event: Event, *, timeout: float | None = None) -> None:
        """Announce ``event``; when this returns it is stored and will reach every subscriber.

        Raises what :meth:`Publisher.publish` raises.
        """
        topic = type(event).topic
        with span(
            f"publish {topic}",
            "producer",
            **{"messaging.system": "nats", "messaging.destination.name": topic},
        ):
            await self.publisher.publish(
                subject_of(self.origin.machine, topic),
                msgspec.json.encode(event),
                headers_for(event, self.origin),
                timeout=timeout,
            )

    async def subscribe(
        self,
        event: type[E],
        handler: Callable[[E], Awaitable[None]],
        *,
        durable: str = "",
        policy: ConsumerPolicy = DEFAULT_POLICY,
    ) -> Consumer:
        """Hand every event of this type, from any machine, to ``handler``, in the order of the stream.

        The position is kept under ``durable`` (the agent's name when empty) and the topic. Waits at most 3 s for the
        server; a subscription made while NATS is away still covers everything published from now on.
        """
        topic = event.topic
        if not topic:
            raise TypeError(f"{event.__name__} has no topic to subscribe to")
        name = f"{durable or self.origin.name}-{topic.replace('.', '_')}"
        if name in self._consumers:
            raise ValueError(f"{name} is subscribed already")
        consumer = Consumer(
            self.connection,
            self.publisher,
            stream=EVENTS.all,
            name=name,
            subjects=[subject_of("*", topic)],
            handler=_typed(event, handler),
            dead_letter_subject=dead_letter_subject(self.origin, topic),
            policy=policy,
        )
        self._consumers[name] = consumer
        consumer.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SUBSCRIBE_WAIT_S):
                await consumer.ready.wait()
        return consumer

    def health(self) -> list[Issue]:
        """What is wrong with announcing or following, measured by progress; empty when all is well."""
        issues = [issue for consumer in self._consumers.values() for issue in consumer.issues()]
        down = self.connection.down_s
        if down > DOWN_IS_AN_ISSUE_S:
            issues.insert(0, Issue(f"no connection to NATS for {down:.0f} s: {self.connection.last_error}"))
        return issues

    async def _measure(self) -> None:
        while True:
            await asyncio.sleep(MEASURE_EVERY_S * random.uniform(0.8, 1.2))
            for consumer in list(self._consumers.values()):
                await consumer.measure()


def _typed(event: type[E], handler: Callable[[E], Awaitable[None]]) -> Callable[[Msg], Awaitable[None]]:
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(event)

    async def handle(message: Msg) -> None:
        headers = message.headers or {}
        try:
            decoded = decoder.decode(message.data)
        except msgspec.MsgspecError as error:
            raise Rejected(f"not a {event.__name__}: {error}") from error
        delivery = delivery_from(headers, message.subject, message.metadata.num_delivered)
        attributes = {"messaging.system": "nats", "messaging.destination.name": delivery.topic}
        with (
            remote_context(headers.get(TRACEPARENT, "")),
            delivery_scope(delivery),
            span(f"process {delivery.topic}", "consumer", **attributes),
        ):
            await handler(decoded)

    return handle
