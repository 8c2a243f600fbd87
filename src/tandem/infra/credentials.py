"""Credentials that outlive their 24 hours, and revocations that arrive within moments.

The agent shows its credential on ``renew.<machine>.<agent>``, a subject only it may use, and the node answers with a
fresh one. The CA's signed list of revocations goes round on ``epoch.<machine>``; whoever missed it while away asks for
a renewal after reconnecting, which brings the list along.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from tandem.core import clock
from tandem.core.errors import PermissionDenied, TandemError
from tandem.core.ids import AgentId
from tandem.events.connection import Connection
from tandem.infra.permissions import EPOCH_SUBJECTS
from tandem.security import Authority, Identity, Machine, Verifier
from tandem.security.tokens import CREDENTIAL_S, SEPARATOR, CredentialClaims, unverified

log = logging.getLogger(__name__)

ANNOUNCE_EVERY_S = 30.0
"""How long a machine whose link was cut may wait for the list after the link is back."""
CHECK_EVERY_S = 60.0
"""How often an agent compares its credential with the calendar, which also jumps when the computer wakes from sleep."""
ANSWER_S = 5.0

Revoked = Callable[[list[str]], object]
"""Called with the subjects whose connections should end."""


class Renewal(Struct, frozen=True):
    """The node's answer: a ``credential``, or why there is none (``refusal``), and the CA's list of revocations."""

    credential: str = ""
    refusal: str = ""
    announcement: str = ""


class CredentialDesk:
    """The node's side: renews its agents' credentials, passes revocations on and takes over those of other machines.

    ``changed`` is called after revocations arrived from elsewhere: derived keys are others from then on, so the node
    plans its servers again.
    """

    def __init__(
        self,
        connection: Connection,
        authority: Authority,
        machine: Machine,
        changed: Callable[[], object] = lambda: None,
    ) -> None:
        self._connection = connection
        self._authority = authority
        self._machine = machine
        self._changed = changed
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Answer from now on, on this connection and every later one."""
        self._connection.listen(self._attend)
        if self._connection.connected:
            await self._attend(await self._connection.client())
        self._task = asyncio.create_task(self._repeat(), name="epochs")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def revoke(self, subject: str) -> int:
        """Revoke and announce; returns the new epoch. Raises what :meth:`Authority.revoke` raises."""
        epoch = self._authority.revoke(subject)
        await self._announce()
        return epoch

    async def _attend(self, client: Client) -> None:
        try:
            await client.subscribe(f"renew.{self._machine.name}.*", cb=self._renew)
            await client.subscribe(EPOCH_SUBJECTS, cb=self._hear)
            await self._announce()
        except (nats.errors.Error, OSError) as error:
            log.debug("lost NATS while subscribing: %s", error)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(ANNOUNCE_EVERY_S)
            await self._announce()

    async def _announce(self) -> None:
        if not self._authority.announcement or not self._connection.connected:
            return
        try:
            client = await self._connection.client(0)
            await client.publish(f"epoch.{self._machine.name}", self._authority.announcement.encode())
        except (nats.errors.Error, TandemError, OSError) as error:
            log.warning("revocations were not announced, trying again: %s", error)

    async def _hear(self, message: Msg) -> None:
        try:
            news = self._authority.merge(message.data.decode())
        except (PermissionDenied, UnicodeError) as error:
            log.warning("ignoring %s: %s", message.subject, error)
            return
        if news:
            self._changed()

    async def _renew(self, message: Msg) -> None:
        agent = self._machine.agent(message.subject.rpartition(".")[2])
        try:
            answer = Renewal(credential=self._fresh(agent, message.data.decode()))
        except (PermissionDenied, UnicodeError) as error:
            log.warning("not renewing the credential of %s: %s", agent, error)
            answer = Renewal(refusal=str(error))
        answer = msgspec.structs.replace(answer, announcement=self._authority.announcement)
        try:
            await message.respond(msgspec.json.encode(answer))
        except (nats.errors.Error, OSError) as error:
            log.debug("could not answer %s: %s", agent, error)

    def _fresh(self, agent: AgentId, credential: str) -> str:
        claims = unverified(credential.rpartition(SEPARATOR)[2], CredentialClaims)
        if claims.sub != agent:
            raise PermissionDenied(f"{agent} showed the credential of {claims.sub}")
        return self._machine.renew(credential)


class CredentialKeeper:
    """The agent's side: renews at half the credential's life, and hears of revocations.

    ``revoked`` is called with newly revoked subjects, after the verifier learned them.
    """

    def __init__(
        self,
        connection: Connection,
        identity: Identity,
        verifier: Verifier,
        revoked: Revoked = lambda _: None,
    ) -> None:
        self._connection = connection
        self._identity = identity
        self._verifier = verifier
        self._revoked = revoked
        self._due = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Follow from now on, on this connection and every later one."""
        self._connection.listen(self._attend)
        if self._connection.connected:
            await self._attend(await self._connection.client())
        self._task = asyncio.create_task(self._keep(), name="credential")

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def renew(self) -> None:
        """Fetch a fresh credential and the list of revocations now.

        Raises :class:`PermissionDenied` when the node refuses, nats-py's errors or ``TimeoutError`` without an answer.
        """
        client = await self._connection.client(ANSWER_S)
        me = AgentId(self._identity.name)
        shown = self._identity.credential.encode()
        reply = await client.request(f"renew.{me.machine}.{me.name}", shown, timeout=ANSWER_S)
        answer = msgspec.json.decode(reply.data, type=Renewal)
        if answer.announcement:
            self._learn(answer.announcement)
        if answer.refusal:
            raise PermissionDenied(answer.refusal)
        self._identity.renew(answer.credential)

    async def _attend(self, client: Client) -> None:
        try:
            await client.subscribe(EPOCH_SUBJECTS, cb=self._hear)
        except (nats.errors.Error, OSError) as error:
            log.debug("lost NATS while subscribing: %s", error)
        if self._connection.connects > 1:
            self._due.set()

    async def _hear(self, message: Msg) -> None:
        try:
            self._learn(message.data.decode())
        except (PermissionDenied, UnicodeError) as error:
            log.warning("ignoring %s: %s", message.subject, error)

    def _learn(self, announcement: str) -> None:
        subjects = self._verifier.learn(announcement)
        if subjects:
            self._revoked(subjects)

    async def _keep(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CHECK_EVERY_S * random.uniform(0.8, 1.2)):
                    await self._due.wait()
            except TimeoutError:
                pass
            if not self._due.is_set() and self._identity.expires_at - clock.wall() > CREDENTIAL_S / 2:
                continue
            self._due.clear()
            try:
                await self.renew()
            except PermissionDenied as error:
                log.error("the credential is not renewed: %s", error)
            except (TandemError, nats.errors.Error, msgspec.MsgspecError, TimeoutError, OSError) as error:
                log.warning("could not renew the credential, trying again: %s", error)
                await asyncio.sleep(ANSWER_S * random.uniform(0.5, 1.5))
                self._due.set()
