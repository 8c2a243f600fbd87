"""Reports of the whole fleet, as they come or as they are stored; every message is checked against its sender."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable
from datetime import UTC, datetime

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from tandem.core.health import Issue
from tandem.core.ids import AgentId
from tandem.errors.legacy import BRIDGE
from tandem.errors.report import ErrorReport
from tandem.events import ERRORS, Connection, Consumer, ConsumerPolicy, Publisher, Rejected
from tandem.events.event import MSG_ID
from tandem.events.streams import dead_letter_subject

log = logging.getLogger(__name__)

ALL = f"{ERRORS.prefix}.>"
NODE = "node"
"""A reporter that may speak of others on its machine; the other one is the bridge to an old bus."""

FETCH = 64
FETCH_TIMEOUT_S = 5.0
READY_WAIT_S = 3.0
RETRY_S = 0.5
POLICY = ConsumerPolicy(window=32, ack_wait_s=30.0)

Handler = Callable[[list[ErrorReport]], Awaitable[None]]

_decode = msgspec.json.Decoder(list[ErrorReport]).decode


def reports_in(subject: str, data: bytes) -> list[ErrorReport]:
    """The reports of one message on ``errors.<machine>.<agent>.<severity>``.

    Raises :class:`Rejected` for what is no report, or speaks in another's name: the server lets an agent publish on
    its own subject only, so the subject can be trusted and the contents cannot.
    """
    _, machine, agent, *_ = (*subject.split("."), "", "", "")
    try:
        reports = _decode(data)
    except msgspec.MsgspecError as error:
        raise Rejected(f"not a list of error reports: {error}") from error
    for report in reports:
        if report.machine != machine or agent not in (report.agent, NODE, BRIDGE):
            raise Rejected(f"{agent}@{machine} reports in the name of {report.origin}")
    return reports


class ErrorFeed:
    """What an observer reads. ``reader`` must be allowed to consume the stream."""

    def __init__(self, connection: Connection, publisher: Publisher, reader: AgentId):
        self._connection = connection
        self._publisher = publisher
        self._reader = reader
        self._consumer: Consumer | None = None

    async def follow(self, handle: Handler) -> None:
        """Hand every report to ``handle``, beginning with what is stored and was not handled before; at least once.

        What ``handle`` fails on is tried again and ends as a dead letter. Waits at most 3 s for the server.
        """

        async def handler(message: Msg) -> None:
            await handle(reports_in(message.subject, message.data))

        self._consumer = Consumer(
            self._connection,
            self._publisher,
            stream=ERRORS.all,
            name=f"{self._reader.name}-errors",
            subjects=[ALL],
            handler=handler,
            dead_letter_subject=dead_letter_subject(self._reader, ERRORS.prefix),
            policy=POLICY,
            backlog=True,
        )
        self._consumer.start()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(READY_WAIT_S):
                await self._consumer.ready.wait()

    async def stored(self, since: float) -> AsyncIterator[list[ErrorReport]]:
        """What the streams still hold since ``since`` (Unix seconds), oldest first.

        Raises :class:`~tandem.core.errors.Unreachable` and nats-py's errors when the server does not answer.
        """
        async for reports in read_stored(await self._connection.client(FETCH_TIMEOUT_S), since):
            yield reports

    def issues(self) -> Iterable[Issue]:
        """Whether following makes progress."""
        return () if self._consumer is None else self._consumer.issues()

    async def close(self) -> None:
        if self._consumer is not None:
            await self._consumer.close()
            self._consumer = None


async def read_stored(client: Client, since: float) -> AsyncIterator[list[ErrorReport]]:
    """Stored reports since ``since`` (Unix seconds), oldest first; messages that are no reports are left out."""
    # What was pending may have expired since we asked; the rest has been read.
    with contextlib.suppress(nats.errors.TimeoutError):
        async with contextlib.aclosing(_messages(client, since)) as messages:
            async for message in messages:
                with contextlib.suppress(Rejected):
                    yield reports_in(message.subject, message.data)


async def follow(connection: Connection, since: float, handle: Handler) -> None:
    """Hand every report stored since ``since`` (Unix seconds), and every one that comes, to ``handle``: in the stream's
    order, each once. Runs for ever; when the server was away it goes on where it was."""
    reached = 0
    # A server that was killed may have to fetch its last messages again, and number them otherwise.
    lately: deque[str] = deque(maxlen=4 * FETCH)
    while True:
        client = await connection.client()
        try:
            async with contextlib.aclosing(_messages(client, since, max(0, reached - FETCH), endless=True)) as messages:
                async for message in messages:
                    reached = message.metadata.sequence.stream
                    known = (message.headers or {}).get(MSG_ID, str(reached))
                    if known in lately:
                        continue
                    lately.append(known)
                    with contextlib.suppress(Rejected):
                        await handle(reports_in(message.subject, message.data))
        except nats.errors.Error as error:
            log.debug("following error reports: %s", error)
        await asyncio.sleep(RETRY_S)


async def _messages(client: Client, since: float, behind: int = 0, *, endless: bool = False) -> AsyncGenerator[Msg, None]:
    """What is stored since then, or behind a number of the stream; ``endless``: and what comes, while the connection lasts."""
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE if behind else DeliverPolicy.BY_START_TIME,
        opt_start_seq=behind + 1 if behind else None,
        opt_start_time=None if behind else datetime.fromtimestamp(since, UTC),
        ack_policy=AckPolicy.NONE,
        inactive_threshold=2 * FETCH_TIMEOUT_S,
    )
    subscription = await client.jetstream().pull_subscribe(ALL, stream=ERRORS.all, config=config)
    try:
        left = (await subscription.consumer_info()).num_pending or 0
        while left > 0:
            for message in await subscription.fetch(min(left, FETCH), timeout=FETCH_TIMEOUT_S):
                left -= 1
                yield message
        while endless and client.is_connected:
            try:
                [message] = await subscription.fetch(1, timeout=FETCH_TIMEOUT_S)
            except nats.errors.TimeoutError:
                continue
            yield message
    finally:
        if client.is_connected:
            await subscription.unsubscribe()
