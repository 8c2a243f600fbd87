"""Credentials that outlive their 24 hours, and revocations that arrive within moments.

Revocations are one public file per computer, signed by the CA, that every process looks at once a second: no agent
needs a connection for them. The nodes carry it from computer to computer on ``epoch.<machine>``.

The agent shows its credential on ``renew.<machine>.<agent>``, a subject only it may use, and the node answers with a
fresh one. It connects for that alone, twice a day: most agents use NATS for nothing else.
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
from tandem.core.access import NatsAccess
from tandem.core.errors import PermissionDenied, TandemError
from tandem.core.ids import AgentId
from tandem.core.tasks import end
from tandem.events.connection import Connection
from tandem.infra.permissions import EPOCH_SUBJECTS
from tandem.security import Authority, EpochFile, Identity, Machine, Verifier
from tandem.security.tokens import LEEWAY_S, SEPARATOR, CredentialClaims, unverified

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
"""How often the file of revocations is looked at (one stat(2))."""
ANNOUNCE_EVERY_S = 30.0
"""How long a machine whose link was cut may wait for the list after the link is back."""
CHECK_EVERY_S = 60.0
"""How often an agent compares its credential with the calendar, which also jumps when the computer wakes from sleep."""
RENEW_AT = (0.4, 0.5)
"""Part of a credential's life that is left when it is renewed; a range, so that agents do not all come at once."""
ANSWER_S = 5.0
RETRY_MAX_S = 60.0

Revoked = Callable[[list[str]], object]
"""Called with the subjects whose connections should end."""


class Renewal(Struct, frozen=True):
    """The node's answer: a ``credential``, or why there is none (``refusal``)."""

    credential: str = ""
    refusal: str = ""


class CredentialDesk:
    """The node's side: renews its agents' credentials and carries revocations between computers.

    ``revoked`` is called with what is newly revoked, wherever that was decided: derived keys are others from then on,
    so the node plans its servers again. ``denied`` is called with the agent and the reason of a refused renewal.
    """

    def __init__(
        self,
        connection: Connection,
        authority: Authority,
        machine: Machine,
        revoked: Revoked = lambda _: None,
        denied: Callable[[str, str], object] = lambda _agent, _why: None,
    ) -> None:
        self._connection = connection
        self._authority = authority
        self._machine = machine
        self._revoked = revoked
        self._denied = denied
        self._file = EpochFile(authority.epochs_file)
        self._known = dict(authority.epochs)
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Answer from now on, on this connection and every later one."""
        self._connection.listen(self._attend)
        if self._connection.connected:
            await self._attend(await self._connection.client())
        work = (("epochs", self._follow()), ("announce", self._repeat()))
        self._tasks = [asyncio.create_task(coroutine, name=name) for name, coroutine in work]

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        await end(*tasks)

    async def _attend(self, client: Client) -> None:
        try:
            await client.subscribe(f"renew.{self._machine.name}.*", cb=self._renew)
            await client.subscribe(EPOCH_SUBJECTS, cb=self._hear)
            await self._announce()
        except (nats.errors.Error, OSError) as error:
            log.debug("lost NATS while subscribing: %s", error)

    async def _follow(self) -> None:
        """Notice what was revoked on this computer, by a command or by another node's announcement."""
        while True:
            try:
                if self._file.news():
                    self._authority.refresh()
            except (TandemError, OSError) as error:
                log.error("the revocations on this computer cannot be read: %s", error)
            await self._tell()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _tell(self) -> None:
        epochs = dict(self._authority.epochs)
        fresh = [subject for subject, epoch in epochs.items() if epoch > self._known.get(subject, 0)]
        self._known = epochs
        if fresh:
            log.warning("revoked: %s", ", ".join(fresh))
            await self._announce()
            self._revoked(fresh)

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
            self._authority.merge(message.data.decode())
            await self._tell()
        except (PermissionDenied, UnicodeError, OSError) as error:
            log.warning("ignoring %s: %s", message.subject, error)

    async def _renew(self, message: Msg) -> None:
        agent = self._machine.agent(message.subject.rpartition(".")[2])
        try:
            answer = Renewal(credential=self._fresh(agent, message.data.decode()))
        except (PermissionDenied, UnicodeError) as error:
            log.warning("not renewing the credential of %s: %s", agent, error)
            self._denied(agent, str(error))
            answer = Renewal(refusal=str(error))
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
    """The agent's side: renews in time, and hears of revocations.

    ``identity`` gives the agent's identity, which is not needed before the first renewal. ``revoked`` is called with
    newly revoked subjects, after the verifier learned them. Without ``access`` nothing is renewed, and without
    ``epochs`` nothing heard.
    """

    def __init__(
        self,
        credential: str,
        identity: Callable[[], Identity],
        verifier: Verifier,
        access: NatsAccess | None,
        epochs: EpochFile | None,
        revoked: Revoked = lambda _: None,
    ) -> None:
        self._identity = identity
        self._verifier = verifier
        self._access = access
        self._epochs = epochs
        self._revoked = revoked
        self._share = random.uniform(*RENEW_AT)
        self._claims = unverified(credential.rpartition(SEPARATOR)[2], CredentialClaims)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Work in the background from now on."""
        if self._epochs is not None:
            self._tasks.append(asyncio.create_task(self._follow(self._epochs), name="revocations"))
        if self._access is not None:
            self._tasks.append(asyncio.create_task(self._keep(self._access), name="credential"))

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        await end(*tasks)

    async def renew(self, access: NatsAccess) -> None:
        """Fetch a fresh credential now, over a connection of its own.

        Raises :class:`PermissionDenied` when the node refuses, :class:`~tandem.core.errors.Unreachable`, nats-py's
        errors or ``TimeoutError`` without an answer.
        """
        identity = self._identity()
        me = AgentId(identity.name)
        connection = Connection(access, f"{me} (renewal)")
        connection.start()
        try:
            client = await connection.client(ANSWER_S)
            shown = identity.credential.encode()
            reply = await client.request(f"renew.{me.machine}.{me.name}", shown, timeout=ANSWER_S)
        finally:
            await connection.close()
        answer = msgspec.json.decode(reply.data, type=Renewal)
        if answer.refusal:
            raise PermissionDenied(answer.refusal)
        identity.renew(answer.credential)
        self._claims = unverified(answer.credential.rpartition(SEPARATOR)[2], CredentialClaims)

    async def _follow(self, epochs: EpochFile) -> None:
        while True:
            try:
                announcement = epochs.news()
                subjects = self._verifier.learn(announcement) if announcement else []
            except (PermissionDenied, OSError) as error:
                log.error("the revocations on this computer cannot be read: %s", error)
                subjects = []
            if subjects:
                self._revoked(subjects)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _keep(self, access: NatsAccess) -> None:
        pause = ANSWER_S
        while True:
            wait = self._due_in()
            if wait > 0:
                await asyncio.sleep(min(wait, CHECK_EVERY_S))
                continue
            try:
                await self.renew(access)
                pause = ANSWER_S
                continue
            except PermissionDenied as error:
                log.error("the credential is not renewed: %s", error)
                pause = RETRY_MAX_S
            except (TandemError, nats.errors.Error, msgspec.MsgspecError, TimeoutError, OSError) as error:
                log.warning("could not renew the credential, trying again: %s", error)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, RETRY_MAX_S)

    def _due_in(self) -> float:
        """Seconds until the credential should be renewed, at most 0 when it should be now: also when the clock was set back."""
        claims, now = self._claims, clock.wall()
        if claims.iat > now + LEEWAY_S:
            return 0.0
        return claims.exp - (claims.exp - claims.iat) * self._share - now
