"""A durable pull consumer that outlives servers, connections and its own process.

Messages are acknowledged after their handler returned. A handler that raises gets the message again after 2, 10
and 60 seconds; then it is stored as a dead letter, with what went wrong in its headers, and acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, ConsumerInfo, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from tandem.core import clock
from tandem.core.deadline import deadline_scope
from tandem.core.errors import TandemError
from tandem.core.health import Issue
from tandem.core.tasks import end
from tandem.events.connection import Connection
from tandem.events.event import MSG_ID
from tandem.events.publisher import Publisher

log = logging.getLogger(__name__)

PULL_EXPIRES_S = 60.0
HEARTBEAT_S = 15.0
"""The server's sign of life while a pull waits; two missed ones and the pull is repeated."""

STUCK_S = 60.0
"""A handler that runs longer, or a backlog that does not move for longer, is worth an issue."""

CLOSE_S = 2.0
"""How long handlers may go on when their consumer is closed."""

_NANO = 1_000_000_000
_HEARTBEAT, _GONE = "100", "409"


class Rejected(Exception):
    """Raised by a handler for a message no retry will mend; it becomes a dead letter at once."""


class ConsumerPolicy(Struct, frozen=True, kw_only=True):
    """How messages are held and retried."""

    window: int = 16
    """Messages taken from the server and not yet settled; a crash delivers these again."""

    concurrency: int = 1
    """Handlers at once; 1 keeps the stream's order."""

    ack_wait_s: float = 10.0
    """Seconds after which the server gives a dead process' messages to the next one; live ones are prolonged."""

    retry_delays_s: tuple[float, ...] = (2.0, 10.0, 60.0)
    remembered: int = 4096
    """Message ids kept to recognise duplicates."""

    max_deliveries: int = 20
    """A message delivered this often without being settled keeps killing its handler's process: a dead letter."""

    inactive_threshold_s: float = 30 * 86400.0
    """The server forgets a consumer nobody has used for this long."""


DEFAULT_POLICY = ConsumerPolicy()


class Consumer:
    """Delivers messages of ``subjects`` in ``stream`` to ``handler``, at least once, known duplicates left out.

    ``name`` identifies the position in the stream across restarts; two processes that share it share the work.
    A consumer that did not exist starts with what is published from now on (``backlog``: with what is stored).
    """

    def __init__(
        self,
        connection: Connection,
        publisher: Publisher,
        *,
        stream: str,
        name: str,
        subjects: list[str],
        handler: Callable[[Msg], Awaitable[None]],
        dead_letter_subject: str,
        policy: ConsumerPolicy = DEFAULT_POLICY,
        backlog: bool = False,
    ) -> None:
        self.stream = stream
        self.name = name
        self.handled = 0
        self.duplicates = 0
        self.dead = 0
        self.ready = asyncio.Event()
        self._connection = connection
        self._publisher = publisher
        self._subjects = subjects
        self._handler = handler
        self._dead_letter_subject = dead_letter_subject
        self._policy = policy
        self._wanted_since = None if backlog else datetime.now(UTC)
        self._seen: OrderedDict[str, None] = OrderedDict()
        self._queue: deque[Msg] = deque()
        self._held: dict[int, Msg] = {}
        self._handling_since: dict[int, float] = {}
        self._requested = 0
        self._wake = asyncio.Event()
        self._heard = 0.0
        self._gone = False
        self._fault = ""
        self._backlog_seen: tuple[int, int, float] = (0, 0, 0.0)
        self._task: asyncio.Task[None] | None = None
        self._workers: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Begin consuming in the background; ``ready`` is set once the server knows the consumer."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"consume:{self.name}")

    async def close(self) -> None:
        """Let running handlers finish (at most two seconds), give the rest back to the server and stop."""
        task, self._task = self._task, None
        if task is None:
            return
        await end(task)
        if self._workers:
            _, late = await asyncio.wait(self._workers, timeout=CLOSE_S)
            await end(*late)
        with contextlib.suppress(nats.errors.Error, OSError):
            for message in list(self._held.values()):
                await message.nak()
        self._held.clear()

    # -- taking messages ---------------------------------------------------------------------------------

    async def _run(self) -> None:
        while True:
            client = await self._connection.client()
            try:
                await self._ensure(client)
                self.ready.set()
                self._fault = ""
                await self._consume(client)
            except Exception as error:
                # Nobody else would start this again; the reason is part of our health until it works.
                self._fault = str(error) or type(error).__name__
                log.debug("consumer %s of %s: %s", self.name, self.stream, self._fault)
            await asyncio.sleep(random.uniform(0.1, 0.5))

    async def _ensure(self, client: Client) -> None:
        """Create the durable consumer, or bring an existing one to our filter and limits, keeping its position."""
        policy = self._policy
        try:
            existing: ConsumerConfig | None = (
                await client.jetstream().consumer_info(self.stream, self.name)
            ).config
        except NotFoundError:
            existing = None
        config = existing or ConsumerConfig(
            durable_name=self.name,
            ack_policy=AckPolicy.EXPLICIT,
            deliver_policy=DeliverPolicy.BY_START_TIME if self._wanted_since else DeliverPolicy.ALL,
            opt_start_time=self._wanted_since,
        )
        single = len(self._subjects) == 1
        wanted = {
            "filter_subject": self._subjects[0] if single else None,
            "filter_subjects": None if single else self._subjects,
            "ack_wait": policy.ack_wait_s,
            "max_ack_pending": max(policy.window, policy.concurrency) * 8,
            "inactive_threshold": policy.inactive_threshold_s,
        }
        if existing is None or any(getattr(existing, key) != value for key, value in wanted.items()):
            await client.jetstream().add_consumer(self.stream, config.evolve(name=self.name, **wanted))

    async def _consume(self, client: Client) -> None:
        self._requested, self._gone, self._heard = 0, False, clock.monotonic()
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox, cb=self._on_message)
        prolong = asyncio.create_task(self._prolong())
        try:
            while client.is_connected and not self._gone:
                self._wake.clear()
                self._hand_out()
                room = self._policy.window - len(self._held) - self._requested
                if room > 0 and self._requested <= self._policy.window // 2:
                    await self._pull(client, inbox, room)
                await self._sleep_until_woken()
                if clock.monotonic() - self._heard > 2 * HEARTBEAT_S:
                    raise TimeoutError("no sign of life from the server")
        finally:
            prolong.cancel()
            if client.is_connected:
                await subscription.unsubscribe()

    async def _sleep_until_woken(self) -> None:
        """Until a message, a free place, a lost connection, or a heartbeat is overdue."""
        lost = asyncio.ensure_future(self._connection.lost())
        wake = asyncio.ensure_future(self._wake.wait())
        try:
            await asyncio.wait((lost, wake), timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            lost.cancel()
            wake.cancel()

    async def _pull(self, client: Client, inbox: str, batch: int) -> None:
        request = {
            "batch": batch,
            "expires": int(PULL_EXPIRES_S * _NANO),
            "idle_heartbeat": int(HEARTBEAT_S * _NANO),
        }
        self._requested += batch
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self.stream}.{self.name}"
        await client.publish(subject, msgspec.json.encode(request), reply=inbox)

    async def _on_message(self, message: Msg) -> None:
        self._heard = clock.monotonic()
        status = (message.headers or {}).get("Status") if not message.data else None
        if status is None:
            self._requested -= 1
            self._held[message.metadata.sequence.consumer] = message
            self._queue.append(message)
        elif status != _HEARTBEAT:
            description = (message.headers or {}).get("Description", "").lower()
            # 408: the pull expired; 409 also says that a batch is over. Anything else: the consumer is gone.
            ended = status in ("404", "408") or (status == _GONE and "deleted" not in description)
            self._requested = 0
            self._gone = not ended
            if status == _GONE or not ended:
                self._fault = description
        self._wake.set()

    # -- handling them -----------------------------------------------------------------------------------

    def _hand_out(self) -> None:
        while self._queue and len(self._workers) < self._policy.concurrency:
            worker = asyncio.create_task(self._work(), name=f"handle:{self.name}")
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)

    async def _work(self) -> None:
        while self._queue and self._task is not None:
            message = self._queue.popleft()
            key = message.metadata.sequence.consumer
            self._handling_since[key] = clock.monotonic()
            try:
                await self._settle(message)
            except (nats.errors.Error, TandemError, OSError) as error:
                # Not settled: the server delivers it again, and a handled one is then known by its id.
                log.warning("message %s of %s not settled, it will come again: %s", key, self.name, error)
            finally:
                self._held.pop(key, None)
                self._handling_since.pop(key, None)
                self._wake.set()

    async def _settle(self, message: Msg) -> None:
        message_id = (message.headers or {}).get(MSG_ID, "")
        if message_id and message_id in self._seen:
            self.duplicates += 1
            await message.ack()
            return
        attempt = message.metadata.num_delivered
        if attempt > self._policy.max_deliveries:
            await self._bury(message, f"delivered {attempt} times without being settled")
            return
        try:
            with deadline_scope(None):
                await self._handler(message)
        except Rejected as error:
            await self._bury(message, str(error))
        except Exception as error:
            await self._retry_or_bury(message, attempt, error)
        else:
            self.handled += 1
            self._remember(message_id)
            await message.ack()

    async def _retry_or_bury(self, message: Msg, attempt: int, error: Exception) -> None:
        delays = self._policy.retry_delays_s
        if attempt <= len(delays):
            log.warning(
                "handling %s failed (attempt %d), again in %g s", message.subject, attempt, delays[attempt - 1],
                exc_info=error,
            )  # fmt: skip
            await message.nak(delay=delays[attempt - 1])
            return
        log.error("handling %s failed %d times, now a dead letter", message.subject, attempt, exc_info=error)
        await self._bury(message, f"{type(error).__name__}: {error}")

    async def _bury(self, message: Msg, reason: str) -> None:
        """Store a dead letter, then acknowledge; in this order, so that a crash between repeats instead of losing."""
        original = (message.headers or {}).get(MSG_ID) or f"{self.stream}:{message.metadata.sequence.stream}"
        # The server refuses some of its own headers, such as a source's, on a message published anew.
        headers = {
            key: value for key, value in (message.headers or {}).items() if not key.startswith("Nats-")
        }
        headers |= {
            MSG_ID: f"{original}:{self.name}",
            "Tandem-Subject": message.subject,
            "Tandem-Consumer": self.name,
            "Tandem-Reason": reason[:1000],
            "Tandem-Attempts": str(message.metadata.num_delivered),
        }
        await self._publisher.publish(self._dead_letter_subject, message.data, headers)
        self.dead += 1
        self._remember(original)
        await message.ack()

    def _remember(self, message_id: str) -> None:
        if message_id:
            self._seen[message_id] = None
            if len(self._seen) > self._policy.remembered:
                self._seen.popitem(last=False)

    async def _prolong(self) -> None:
        """Tell the server that held messages are still being worked on."""
        while True:
            await asyncio.sleep(self._policy.ack_wait_s / 3)
            with contextlib.suppress(nats.errors.Error, OSError):
                for message in list(self._held.values()):
                    if not message.is_acked:
                        await message.in_progress()

    # -- progress ----------------------------------------------------------------------------------------

    def issues(self) -> list[Issue]:
        """What is wrong, as far as this process can tell without asking the server."""
        found = []
        now = clock.monotonic()
        oldest = min(self._handling_since.values(), default=now)
        if now - oldest > STUCK_S:
            found.append(
                Issue(f"the handler of {self.name} has been busy with one message for {now - oldest:.0f} s")
            )
        if self._fault and not self.ready.is_set():
            found.append(Issue(f"cannot follow {', '.join(self._subjects)}: {self._fault}"))
        pending, _, since = self._backlog_seen
        if pending and now - since > STUCK_S:
            found.append(
                Issue(f"{pending} messages wait for {self.name} and nothing moves for {now - since:.0f} s")
            )
        return found

    async def measure(self) -> ConsumerInfo | None:
        """Ask the server how far we are and note whether a backlog moves; None while NATS is away."""
        if not self._connection.connected:
            return None
        try:
            client = await self._connection.client(0)
            info: ConsumerInfo = await client.jetstream().consumer_info(self.stream, self.name)
        except (APIError, nats.errors.Error, TandemError, TimeoutError, OSError):
            return None
        pending = info.num_pending or 0
        floor = info.ack_floor.consumer_seq if info.ack_floor else 0
        _, before, since = self._backlog_seen
        moved = floor != before or not pending
        self._backlog_seen = (pending, floor, clock.monotonic() if moved else since)
        return info
