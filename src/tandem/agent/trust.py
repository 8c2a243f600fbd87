"""Whom one agent trusts: its own identity kept fresh, callers verified and permitted, refusals told."""

from __future__ import annotations

import asyncio
import logging
import os
from functools import lru_cache
from pathlib import Path

from tandem.agent.spec import AgentSpec
from tandem.core import clock
from tandem.core.errors import PermissionDenied, TandemError
from tandem.core.ids import AgentId
from tandem.infra.credentials import CredentialKeeper
from tandem.registry import Registry
from tandem.rpc import Peers, Server
from tandem.security import (
    EpochFile,
    Guard,
    Identity,
    IdentityMaterial,
    Principal,
    Throttle,
    Trail,
    Verifier,
    concerns,
)
from tandem.security.guard import OPERATOR
from tandem.telemetry.metrics import Metrics

KEY_PATIENCE_S = 2.0
"""How long a caller whose key is not known may wait at the door: its lease may be on its way from the other machine."""
LOOK_AGAIN_S = 0.25
"""Pause between two looks for unknown keys, however many of them wait."""

log = logging.getLogger("tandem.security")


class Denials:
    """Counts, logs and records what was refused. A flood of one kind becomes one line a second that counts it."""

    def __init__(self, metrics: Metrics, agent: AgentId, trail: Trail | None):
        self._labels = (agent.name, agent.machine)
        self._counter = metrics.counter(
            "agent_denied_total", "Connections and calls refused", ("agent", "machine", "action")
        )
        self._trail = trail
        self._service = str(agent)
        self._throttle = Throttle()

    def __call__(self, who: str, action: str, error: TandemError) -> None:
        self._counter.labels(*self._labels, action).inc()
        times = self._throttle.due(who, action)
        if times:
            log.warning("refused %s: %s", action, error.message, extra={"caller": who, "times": times})
            if self._trail is not None:
                self._trail.record(
                    "denied", by=who, subject=f"{self._service}:{action}", detail=error.message, times=times
                )


class KeyOwners:
    """Whose CURVE key it is, by the leases known on this machine."""

    def __init__(self, registry: Registry):
        self._registry = registry
        self._owners: dict[bytes, str] = {}
        self._looked_at = float("-inf")
        self._look = asyncio.Lock()

    async def __call__(self, public: bytes) -> str | None:
        """The agent with that key, or None when there is none within :data:`KEY_PATIENCE_S`."""
        until = clock.monotonic() + KEY_PATIENCE_S
        while (owner := self._owners.get(public)) is None:
            if clock.monotonic() >= until:
                return None
            asked_at = clock.monotonic()
            async with self._look:
                if self._looked_at <= asked_at:
                    await self._learn()
        return owner

    async def _learn(self) -> None:
        pause = self._looked_at + LOOK_AGAIN_S - clock.monotonic()
        if pause > 0:
            await asyncio.sleep(pause)
        try:
            leases = await self._registry.list()
        except TandemError as error:
            # Who was known stays known: a registry that restarts must not lock neighbours out.
            log.warning("the registry cannot say whose key it is: %s", error)
        else:
            self._owners = {lease.curve_public.encode(): lease.name for lease in leases if lease.curve_public}
        self._looked_at = clock.monotonic()


class Trust:
    """Everything of an agent process that rests on its :class:`IdentityMaterial`."""

    def __init__(self, spec: AgentSpec, material: IdentityMaterial, registry: Registry | None):
        self._service = str(AgentId.of(spec.name, spec.machine))
        self._verifier = Verifier(material.ca_public, material.epochs)
        # Whoever made the folder of our sockets started the fleet.
        self._owner = Path(spec.run_dir).stat().st_uid if spec.run_dir else os.getuid()
        # Most agents call nobody for a long while, so the keys are loaded with the first call.
        self._identity = lru_cache(lambda: Identity(material))
        self._server: Server | None = None
        self._peers: Peers | None = None
        self._keeper = CredentialKeeper(
            material.credential,
            self._identity,
            self._verifier,
            spec.nats,
            EpochFile(Path(spec.epochs_file)) if spec.epochs_file else None,
            self._revoked,
        )
        self.permit = Guard(self._service, spec.allow)
        self.key_owner = None if registry is None else KeyOwners(registry)

    def token(self, audience: str) -> str:
        """Our own proof of identity for ``audience``."""
        return self._identity().token(audience)

    def admit(self, token: str) -> Principal:
        """Whose connection it is, by a token that opens no second one; see :meth:`Verifier.admit`."""
        return self._verifier.admit(token, self._service)

    def authenticate(self, token: str) -> Principal:
        """Raises :class:`~tandem.core.errors.PermissionDenied`; see :meth:`Verifier.verify`."""
        return self._verifier.verify(token, self._service)

    def operator(self, uid: int) -> Principal:
        """Who a caller on our unix socket without a token is, by the user id the kernel tells.

        Raises :class:`~tandem.core.errors.PermissionDenied` for anybody but the fleet's own user and root.
        """
        if uid not in (self._owner, 0):
            raise PermissionDenied(
                f"user {uid} of this computer is not the operator of this fleet, which is user {self._owner}",
                hint="run this as the user who started the fleet",
            )
        return Principal(OPERATOR, OPERATOR)

    def epoch(self, name: str) -> int:
        """Rises when the identity of ``name`` is revoked; see :meth:`Verifier.epoch`."""
        return self._verifier.epoch(name)

    def calls_by(self, peers: Peers) -> None:
        """From :meth:`start` on, end the connections of ``peers`` to whoever is revoked."""
        self._peers = peers

    def start(self, server: Server) -> None:
        """Keep the identity fresh, and end the connections to ``server`` of whoever is revoked."""
        self._server = server
        self._keeper.start()

    async def close(self) -> None:
        await self._keeper.close()

    def _revoked(self, subjects: list[str]) -> None:
        assert self._server is not None

        def is_meant(principal: Principal) -> bool:
            agent = principal.kind in ("agent", "node")
            return any(concerns(subject, principal.name, agent=agent) for subject in subjects)

        if self._peers is not None:
            self._peers.disconnect(lambda name: any(concerns(subject, name, agent=True) for subject in subjects))
        ended = self._server.disconnect(is_meant)
        log.warning("revoked: %s; %d connections ended", ", ".join(subjects), ended)
