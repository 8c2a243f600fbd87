"""Publishing that means something: it returns once the message is stored, or raises within the caller's budget."""

from __future__ import annotations

import asyncio

import nats.errors
from nats.aio.client import Client
from nats.js.api import PubAck
from nats.js.errors import APIError, NoStreamResponseError

from tandem.core.deadline import Deadline, effective_deadline
from tandem.core.errors import PermissionDenied, TandemError, TooLarge, Unavailable, Unreachable
from tandem.events.connection import Connection

MAX_IN_FLIGHT = 512
"""Publishes of one process awaiting their acknowledgement; further ones wait for a place."""

ATTEMPT_S = 2.0
"""How long one attempt waits for its acknowledgement before the message is sent again under the same id."""

RETRY_S = 0.05

# Server error codes that waiting does not mend within a call: storage is full or the stream refuses.
_REFUSED_STATUS = range(400, 500)


class Publisher:
    """Stores messages in the streams of this machine; safe to call from many tasks at once.

    A message is repeated under its id until JetStream acknowledges it, and JetStream keeps one of them
    (``duplicate_window`` of the stream, two minutes), so the caller's budget must stay below that.
    """

    def __init__(self, connection: Connection, max_in_flight: int = MAX_IN_FLIGHT) -> None:
        self._connection = connection
        self._places = asyncio.Semaphore(max_in_flight)

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str], *, timeout: float | None = None
    ) -> PubAck:
        """Store one message; ``headers`` holds its ``Nats-Msg-Id``. Returns JetStream's acknowledgement.

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
    ) -> PubAck:
        while True:
            client = await self._connection.client(max(0.0, deadline.remaining()))
            try:
                return await self._attempt(client, subject, payload, headers)
            except nats.errors.MaxPayloadError:
                raise TooLarge(
                    f"a message of {len(payload)} bytes exceeds NATS' limit of {client.max_payload}",
                    hint="send the content by an action and only its name by an event",
                ) from None
            except APIError as error:
                if error.code in _REFUSED_STATUS:
                    raise Unavailable(f"NATS refuses {subject}: {error.description}") from error
            except (NoStreamResponseError, nats.errors.Error, TimeoutError, OSError):
                # Restarting or not ready; the deadline bounds how often we come round. A refusal for lack of rights
                # arrives beside the request, which merely stays unanswered.
                self._require_permission(subject)
            await asyncio.sleep(RETRY_S)

    async def _attempt(self, client: Client, subject: str, payload: bytes, headers: dict[str, str]) -> PubAck:
        request = asyncio.ensure_future(
            client.jetstream().publish(subject, payload, timeout=ATTEMPT_S, headers=headers)
        )
        lost = asyncio.ensure_future(self._connection.lost())
        try:
            await asyncio.wait((request, lost), return_when=asyncio.FIRST_COMPLETED)
            if request.done():
                return await request
            raise nats.errors.ConnectionClosedError
        finally:
            request.cancel()
            lost.cancel()

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
