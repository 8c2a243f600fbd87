"""Credentials renewed and revoked over real servers."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tandem.core import clock
from tandem.core.errors import PermissionDenied
from tandem.core.paths import Home
from tandem.events.connection import Connection
from tandem.infra import CredentialDesk, CredentialKeeper, nats_access
from tandem.security import Authority, EpochFile, Identity, Verifier
from tandem.security.tokens import CREDENTIAL_S

pytestmark = pytest.mark.integration

PEER = "Beta@mainpc"


class Agent:
    """What an agent process holds."""

    def __init__(self, servers, name: str) -> None:
        material = servers.machine.issue(servers.machine.agent(name))
        self.identity = Identity(material)
        self.verifier = Verifier(material.ca_public, material.epochs)
        self.revoked: list[str] = []
        self.access = nats_access(servers.machine, servers.ports, name)
        self.keeper = CredentialKeeper(
            material.credential,
            lambda: self.identity,
            self.verifier,
            self.access,
            EpochFile(servers.authority.epochs_file),
            self.revoked.extend,
        )


@asynccontextmanager
async def desk_of(servers) -> AsyncIterator[CredentialDesk]:
    """A node's desk, connected; ``desk.heard`` and ``desk.refused`` are what it was told."""
    node = Connection(nats_access(servers.machine, servers.ports, "node"), "node")
    heard: list[str] = []
    refused: list[str] = []
    desk = CredentialDesk(
        node, servers.authority, servers.machine, heard.extend, lambda agent, why: refused.append(agent)
    )
    desk.heard, desk.refused = heard, refused  # type: ignore[attr-defined]
    await desk.start()
    node.start()
    await node.client(60)
    try:
        yield desk
    finally:
        await desk.close()
        await node.close()


@asynccontextmanager
async def running(servers, *names: str) -> AsyncIterator[tuple[CredentialDesk, list[Agent]]]:
    """A node's desk and some agents."""
    async with desk_of(servers) as desk:
        agents = [Agent(servers, name) for name in names]
        for agent in agents:
            agent.keeper.start()
        try:
            yield desk, agents
        finally:
            for agent in agents:
                await agent.keeper.close()


async def test_credentials_are_renewed_without_a_gap(mainpc, eventually, monkeypatch) -> None:
    """Credentials of ten seconds are renewed again and again, and at every look the agent's own token is valid."""
    monkeypatch.setattr("tandem.security.machine.CREDENTIAL_S", 10)
    async with running(mainpc, "Alpha") as (_, (alpha,)):
        strict = Verifier(mainpc.authority.ca_public, leeway_s=1.0)
        seen: set[int] = set()

        async def two_renewals() -> bool:
            assert strict.verify(alpha.identity.token(PEER), PEER).name == "Alpha@mainpc"
            seen.add(alpha.identity.expires_at)
            return len(seen) > 2

        await eventually(two_renewals)


async def test_a_credential_is_renewed_once_the_node_is_back(mainpc, eventually, monkeypatch) -> None:
    """Nobody renews while the node and its server are away; both return, and the ended credential is replaced."""
    monkeypatch.setattr("tandem.security.machine.CREDENTIAL_S", 3)
    monkeypatch.setattr("tandem.infra.credentials.ANSWER_S", 0.5)
    alpha = Agent(mainpc, "Alpha")
    first = alpha.identity.expires_at
    mainpc.kill("nats")
    alpha.keeper.start()
    try:
        await eventually(lambda: clock.wall() > first)
        assert alpha.identity.expires_at == first
        await mainpc.start("nats")
        async with desk_of(mainpc):
            await eventually(lambda: alpha.identity.expires_at > first)
            assert alpha.verifier.verify(alpha.identity.token(PEER), PEER).name == "Alpha@mainpc"
    finally:
        await alpha.keeper.close()


async def test_a_credential_that_has_ended_is_renewed(mainpc, monkeypatch) -> None:
    """An agent whose computer slept for two days gets a valid credential with its next renewal."""
    async with running(mainpc, "Alpha") as (_, (alpha,)):
        now = clock.wall() + 2 * CREDENTIAL_S
        monkeypatch.setattr(clock, "wall", lambda: now)
        with pytest.raises(PermissionDenied, match="expired"):
            alpha.verifier.verify(alpha.identity.token(PEER), PEER)
        await alpha.keeper.renew(alpha.access)
        assert alpha.verifier.verify(alpha.identity.token(PEER), PEER).name == "Alpha@mainpc"


async def test_a_credential_from_the_future_is_renewed(mainpc, eventually, monkeypatch) -> None:
    """When the clock is set back an hour, an agent renews by itself what was issued in the hour that comes again."""
    now = clock.wall()
    monkeypatch.setattr(clock, "wall", lambda: now)
    monkeypatch.setattr("tandem.infra.credentials.CHECK_EVERY_S", 0.1)
    async with running(mainpc, "Alpha") as (_, (alpha,)):
        first = alpha.identity.expires_at
        now -= 3600
        await eventually(lambda: alpha.identity.expires_at == first - 3600)
        assert alpha.verifier.verify(alpha.identity.token(PEER), PEER).name == "Alpha@mainpc"


async def test_an_agent_renews_only_its_own_credential(mainpc) -> None:
    """Showing a neighbour's credential on one's own subject is refused and told of; its subject is out of reach."""
    async with running(mainpc, "Alpha", "Beta") as (desk, (alpha, beta)):
        await alpha.keeper.renew(alpha.access)
        with pytest.raises(TimeoutError):
            await beta.keeper.renew(alpha.access)  # on renew.mainpc.Beta, where Alpha may not speak
        client = await mainpc.nats("Alpha")
        reply = await client.request("renew.mainpc.Alpha", beta.identity.credential.encode(), timeout=60)
        assert b"showed the credential of Beta" in reply.data
        assert desk.refused == ["Alpha@mainpc"]


async def test_a_revocation_reaches_every_agent(mainpc, eventually) -> None:
    """What another process of the computer revokes, neighbours refuse, are told of, and the node does not renew."""
    async with running(mainpc, "Alpha", "Beta") as (desk, (alpha, beta)):
        token = alpha.identity.token(PEER)
        assert beta.verifier.verify(token, PEER).name == "Alpha@mainpc"
        Authority(mainpc.authority.epochs_file.parent).revoke("Alpha@mainpc")
        await eventually(lambda: beta.revoked and desk.heard)
        assert beta.revoked == desk.heard == ["Alpha@mainpc"]
        with pytest.raises(PermissionDenied, match="revoked"):
            beta.verifier.verify(token, PEER)
        with pytest.raises(PermissionDenied, match="revoked"):
            await alpha.keeper.renew(alpha.access)


async def test_nobody_but_the_authority_can_revoke(mainpc, eventually, settle) -> None:
    """A forged announcement, even from the node's own connection, revokes nothing; a true one after it does."""
    async with running(mainpc, "Alpha", "Beta") as (_, (alpha, beta)):
        node = await mainpc.nats()
        await node.publish("epoch.mainpc", mainpc.machine.issue("x").credential.encode())
        await node.publish("epoch.mainpc", b"\xff junk")
        await settle(node)
        mainpc.authority.revoke("Other@mainpc")
        await eventually(lambda: beta.revoked)
        assert beta.revoked == ["Other@mainpc"]
        assert beta.verifier.verify(alpha.identity.token(PEER), PEER).name == "Alpha@mainpc"


async def test_a_revocation_crosses_the_link(pair, tmp_path, eventually) -> None:
    """A computer with a home of its own learns from the CA's computer over the link, and writes it down for its agents."""
    founder = pair.hub.authority
    elsewhere = Home(tmp_path / "elsewhere")
    shutil.copytree(founder.epochs_file.parent, elsewhere.ca)
    (elsewhere.ca / "root" / "key.pem").unlink()
    remote = Authority.open(elsewhere)
    node = Connection(nats_access(pair.leaf.machine, pair.leaf.ports, "node"), "node")
    heard: list[str] = []
    desk = CredentialDesk(node, remote, remote.machine("pc2"), heard.extend)
    async with desk_of(pair.hub) as announcing:
        await desk.start()
        node.start()
        await node.client(60)
        try:
            founder.revoke("Alpha@mainpc")

            async def known() -> bool:
                # Interest in the subject crosses the link on its own time.
                await announcing._announce()
                return bool(heard)

            await eventually(known)
            assert heard == ["Alpha@mainpc"]
            assert Verifier(remote.ca_public).learn(remote.epochs_file.read_text()) == ["Alpha@mainpc"]
        finally:
            await desk.close()
            await node.close()
