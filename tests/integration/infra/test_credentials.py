"""Credentials renewed and revoked over real servers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tandem.core import clock
from tandem.core.errors import PermissionDenied
from tandem.events.connection import Connection
from tandem.infra import CredentialDesk, CredentialKeeper, nats_access
from tandem.security import Identity, Verifier
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
        self.connection = Connection(nats_access(servers.machine, servers.ports, name), name)
        self.keeper = CredentialKeeper(
            self.connection, self.identity, self.verifier, lambda subjects: self.revoked.extend(subjects)
        )


@asynccontextmanager
async def running(servers, *names: str) -> AsyncIterator[tuple[CredentialDesk, list[Agent]]]:
    """A node's desk and some agents, connected."""
    node = Connection(nats_access(servers.machine, servers.ports, "node"), "node")
    desk = CredentialDesk(node, servers.authority, servers.machine)
    agents = [Agent(servers, name) for name in names]
    await desk.start()
    node.start()
    await node.client(20)
    for agent in agents:
        await agent.keeper.start()
        agent.connection.start()
        await agent.connection.client(20)
    try:
        yield desk, agents
    finally:
        for agent in agents:
            await agent.keeper.close()
            await agent.connection.close()
        await desk.close()
        await node.close()


async def test_a_credential_that_has_ended_is_renewed_by_itself(mainpc, eventually, monkeypatch) -> None:
    """An agent whose computer slept for two days has a valid credential again once its connection is back."""
    async with running(mainpc, "Alpha") as (_, (alpha,)):
        now = clock.wall() + 2 * CREDENTIAL_S
        monkeypatch.setattr(clock, "wall", lambda: now)
        with pytest.raises(PermissionDenied, match="expired"):
            alpha.verifier.verify(alpha.identity.token(PEER), PEER)
        mainpc.kill("nats")
        await mainpc.start("nats")
        await eventually(lambda: alpha.identity.expires_at > now)
        assert alpha.verifier.verify(alpha.identity.token(PEER), PEER).name == "Alpha@mainpc"


async def test_an_agent_renews_only_its_own_credential(mainpc) -> None:
    """Showing a neighbour's credential on one's own subject is refused."""
    async with running(mainpc, "Alpha", "Beta") as (_, (alpha, beta)):
        thief = CredentialKeeper(alpha.connection, beta.identity, alpha.verifier)
        alpha_only = Identity(mainpc.machine.issue("Alpha@mainpc"))
        await CredentialKeeper(alpha.connection, alpha_only, alpha.verifier).renew()
        with pytest.raises(TimeoutError):
            await thief.renew()  # on renew.mainpc.Beta, where Alpha may not speak
        client = await alpha.connection.client()
        reply = await client.request("renew.mainpc.Alpha", beta.identity.credential.encode(), timeout=10)
        assert b"showed the credential of Beta" in reply.data


async def test_a_revocation_reaches_every_agent(mainpc, eventually) -> None:
    """After the node revokes an agent its neighbours refuse its tokens and are told whose connections to end."""
    async with running(mainpc, "Alpha", "Beta") as (desk, (alpha, beta)):
        token = alpha.identity.token(PEER)
        assert beta.verifier.verify(token, PEER).name == "Alpha@mainpc"
        await desk.revoke("Alpha@mainpc")
        await eventually(lambda: beta.revoked)
        assert beta.revoked == ["Alpha@mainpc"]
        with pytest.raises(PermissionDenied, match="revoked"):
            beta.verifier.verify(token, PEER)
        with pytest.raises(PermissionDenied, match="revoked"):
            await alpha.keeper.renew()


async def test_a_revocation_missed_while_away_is_learned_on_return(mainpc, eventually) -> None:
    """An agent that was cut off during a revocation knows of it after its connection came back."""
    async with running(mainpc, "Alpha", "Beta") as (_, (alpha, beta)):
        mainpc.kill("nats")
        mainpc.authority.revoke("Alpha@mainpc")
        await mainpc.start("nats")
        await eventually(lambda: beta.revoked)
        with pytest.raises(PermissionDenied, match="revoked"):
            beta.verifier.verify(alpha.identity.token(PEER), PEER)


async def test_nobody_but_the_authority_can_revoke(mainpc, eventually, settle) -> None:
    """A forged announcement, even from the node's own connection, revokes nothing; a true one after it does."""
    async with running(mainpc, "Alpha", "Beta") as (desk, (alpha, beta)):
        node = await mainpc.nats()
        await node.publish("epoch.mainpc", mainpc.machine.issue("x").credential.encode())
        await node.publish("epoch.mainpc", b"\xff junk")
        await settle(node)
        await desk.revoke("Other@mainpc")
        await eventually(lambda: beta.revoked)
        assert beta.revoked == ["Other@mainpc"]
        assert beta.verifier.verify(alpha.identity.token(PEER), PEER).name == "Alpha@mainpc"


async def test_a_revocation_reaches_agents_of_the_other_machine(pair, eventually) -> None:
    """What the CA's computer revokes is refused by agents on the leaf's machine, too."""
    async with (
        running(pair.hub, "Alpha") as (desk, (alpha,)),
        running(pair.leaf, "Beta") as (_, (remote,)),
    ):
        await desk.revoke("Alpha@mainpc")

        async def known() -> bool:
            # Interest in the subject crosses the link on its own time.
            await desk._announce()
            return bool(remote.revoked)

        await eventually(known)
        with pytest.raises(PermissionDenied, match="revoked"):
            remote.verifier.verify(alpha.identity.token("Beta@pc2"), "Beta@pc2")
