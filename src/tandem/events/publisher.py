"""Publishing that means something: it returns once the message is stored, or raises within the caller's budget."""

from __future__ import annotations

import asyncio
from itertools import count

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from tandem.core.deadline import Deadline, effective_deadline
from tandem.core.errors import PermissionDenied, TandemError, TooLarge, Unavailable, Unreachable
from tandem.core.ids import new_id
from tandem.events.connection import Connection
from tandem.events.healing import ApiError

MAX_IN_FLIGHT = 512
"""Publishes of one process awaiting their acknowledgement; further ones wait for a place."""

ATTEMPT_S = 2.0
"""How long one attempt waits for its acknowledgement before the message is sent again under the same id."""

RETRY_S = 0.05

# Error codes that waiting does not mend: the stream refuses this message.
_REFUSED = range(400, 500)


class Stored(Struct, frozen=True):
    """JetStream's acknowledgement: where the message is; ``duplicate`` when its id was there already."""

    stream: str = ""
    seq: int = 0
    duplicate: bool = False


class _Reply(Stored, frozen=True):
    error: ApiError | None = None


_decoder = msgspec.json.Decoder(_Reply)


class Publisher:
    """Stores messages in the streams of this machine; safe to call from many tasks at once.

    A message is repeated under its id until JetStream acknowledges it, and JetStream keeps one of them
    (``duplicate_window`` of the stream, two minutes), so the caller's budget must stay below that.
    """

    def __init__(self, connection: Connection, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        self._connection = connection
        self._places = asyncio.Semaphore(max_in_flight)
        self._client: Client | None = None
        self._inbox = ""
        self._numbers = count()
        self._waiting: dict[str, asyncio.Future[Msg]] = {}
        connection.on_lost(self._fail_waiting)

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str], *, timeout: float | None = None
    ) -> Stored:
        """Store one message; ``headers`` holds its ``Nats-Msg-Id``.

        ``timeout`` is in seconds, None takes what is left of the current request, else 5 s. Raises
        :class:`Unreachable` when NATS stays away for that long, :class:`TooLarge` above the server's limit (1 MiB),
        :class:`Unavailable` when the stream refuses it, :class:`PermissionDenied` for a subject that is not ours.
        """
        deadline = effective_deadline(timeout)
        try:
            async with asyncio.timeout(deadline.require("publishing")), self._places:
                return await self._until_stored(subject, payload, headers, deadline)
        except TimeoutError:
            raise self._gave_up(subject) from None

    async def _until_stored(
        self, subject: str, payload: bytes, headers: dict[str, str], deadline: Deadline
    ) -> Stored:
        while True:
            client = await self._connection.client(max(0.0, deadline.remaining()))
            try:
                reply = await self._attempt(client, subject, payload, headers)
            except nats.errors.MaxPayloadError:
                raise TooLarge(
                    f"a message of {len(payload)} bytes exceeds NATS' limit of {client.max_payload}",
                    hint="send the content by an action and only its name by an event",
                ) from None
            except (nats.errors.Error, TimeoutError, OSError):
                # Restarting or not ready; the deadline bounds how often we come round. A refusal for lack of rights
                # arrives beside the request, which merely stays unanswered.
                self._require_permission(subject)
            else:
                if reply is not None and reply.error is None:
                    return reply
                if reply is not None and reply.error is not None and reply.error.code in _REFUSED:
                    raise Unavailable(f"NATS refuses {subject}: {reply.error.description}")
            await asyncio.sleep(RETRY_S)

    async def _attempt(
        self, client: Client, subject: str, payload: bytes, headers: dict[str, str]
    ) -> _Reply | None:
        """The server's answer; None when no stream takes the subject (yet)."""
        if client is not self._client:
            await self._open_inbox(client)
        number = str(next(self._numbers))
        waiting = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(ATTEMPT_S):
                await client.publish(subject, payload, reply=f"{self._inbox}.{number}", headers=headers)
                answer = await waiting
        finally:
            self._waiting.pop(number, None)
        return _decoder.decode(answer.data) if answer.data else None

    async def _open_inbox(self, client: Client) -> None:
        # Set before the subscription is sent: commands of one connection keep their order, so that publishes of
        # other tasks may already name this inbox.
        self._client = client
        self._inbox = f"{self._connection.inbox_prefix}.stored.{new_id()}"
        await client.subscribe(f"{self._inbox}.*", cb=self._on_answer)

    async def _on_answer(self, message: Msg) -> None:
        waiting = self._waiting.get(message.subject.rpartition(".")[2])
        if waiting is not None and not waiting.done():
            waiting.set_result(message)

    def _fail_waiting(self) -> None:
        self._client = None
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(nats.errors.ConnectionClosedError())

    def _require_permission(self, subject: str) -> None:
        if subject.lower() in self._connection.denied:
            self._connection.denied.discard(subject.lower())
            raise PermissionDenied(f"{self._connection.name} may not publish on {subject}")

    def _gave_up(self, subject: str) -> TandemError:
        reason = self._connection.last_error or "no acknowledgement"
        return Unreachable(
            f"{subject} was not stored in time: {reason}",
            hint="tandem status shows whether the machine's nats-server runs",
        )
