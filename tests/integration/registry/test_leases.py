"""Leases in a real Valkey."""

from __future__ import annotations

import asyncio

import pytest

from tandem.core.errors import PermissionDenied, Unreachable
from tandem.core.tasks import end
from tandem.registry import Change, Lease, Registry

pytestmark = pytest.mark.integration


def lease(agent: str = "Agent", instance: str = "i1", machine: str = "mainpc", **more) -> Lease:
    """A lease with what the test cares about."""
    return Lease(agent=agent, machine=machine, instance=instance, **more)


@pytest.fixture
async def registry(valkey):
    """The node's registry."""
    registry = Registry(valkey.access(), ttl_s=3600)
    yield registry
    await registry.close()


async def on_disk(registry: Registry) -> None:
    """Wait for the append-only file: while it is being synced the server answers before it writes."""
    await registry._valkey.ask("WAITAOF", 1, 0, 0)


async def test_a_lease_is_found_by_either_name_until_it_is_deleted(registry):
    """Bare and full names find it; another machine's name does not; deletion says whether there was one."""
    held = lease(
        pid=7, unix="/run/a.sock", zmq="tcp://10.0.0.1:5", curve_public="k" * 40, release="r", time=1.5
    )
    await registry.put(held)
    assert await registry.lookup("Agent") == [held]
    assert await registry.lookup("Agent@mainpc") == [held]
    assert await registry.lookup("Agent@pc2") == []
    assert await registry.lookup("Agen") == []
    assert await registry.delete("Agent", "i1")
    assert not await registry.delete("Agent", "i1")
    assert await registry.lookup("Agent") == []


async def test_a_lease_expires_without_refreshes(valkey, eventually):
    """What is not refreshed vanishes, what is refreshed stays."""
    registry = Registry(valkey.access(), ttl_s=0.4)
    await registry.put(lease("Stays"))
    await registry.put(lease("Goes"))

    async def only_one_stays() -> bool:
        await registry.refresh(lease("Stays"))
        return [held.agent for held in await registry.list()] == ["Stays"]

    await eventually(only_one_stays)
    await registry.close()


async def test_an_older_instance_cannot_take_the_name_back(registry):
    """After a new instance took the name, refreshes and deletions by the old one change nothing."""
    await registry.put(lease(instance="old"))
    await registry.put(lease(instance="new"))
    assert not await registry.refresh(lease(instance="old"))
    assert not await registry.delete("Agent", "old")
    assert [held.instance for held in await registry.lookup("Agent")] == ["new"]


async def test_a_refresh_restores_a_lost_lease(registry):
    """An agent whose lease vanished, or was overwritten with rubbish, puts it back by its next refresh."""
    assert await registry.refresh(lease(status="healthy"))
    assert [held.status for held in await registry.lookup("Agent")] == ["healthy"]
    await registry._valkey.ask("SET", "agent:ready:Agent", b"rubbish")
    assert await registry.lookup("Agent") == []
    assert await registry.refresh(lease())
    assert await registry.lookup("Agent") == [lease()]


async def test_mirrored_leases_stand_beside_own_ones(registry):
    """Copies of another machine's leases are found by name and replaced as a whole, without touching others."""
    own, there, other = lease(), lease(machine="pc2"), lease("Other", machine="pc2")
    third = lease(machine="pc2-b")
    await registry.put(own)
    await registry.replace_mirrored("pc2", [there, other])
    await registry.replace_mirrored("pc2-b", [third])
    assert await registry.lookup("Agent") == [own, there, third]
    assert await registry.lookup("Agent@pc2") == [there]
    assert await registry.own() == [own]
    await registry.replace_mirrored("pc2", [other])
    assert await registry.list() == [own, third, other]
    await registry.replace_mirrored("pc2", [])
    assert await registry.list() == [own, third]


async def test_an_agent_may_refresh_its_own_lease_only(valkey, registry):
    """With an agent's ACL user its own name works, others can be read, and writing them is denied."""
    agent = Registry(valkey.access("agent"), ttl_s=3600)
    await registry.put(lease("Other"))
    assert await agent.refresh(lease())
    assert [held.agent for held in await agent.list()] == ["Agent", "Other"]
    with pytest.raises(PermissionDenied):
        await agent.refresh(lease("Other"))
    await agent.close()


async def test_a_wrong_password_is_denied(valkey):
    """Authentication failures are no matter of waiting."""
    access = valkey.access()
    stranger = Registry(type(access)(access.socket, "node", "wrong"))
    with pytest.raises(PermissionDenied):
        await stranger.list()
    await stranger.close()


async def test_the_registry_survives_kill_9(valkey, registry):
    """While the server is dead calls fail as Unreachable; after its restart leases are there and calls work."""
    await registry.put(lease())
    await on_disk(registry)
    valkey.kill()
    with pytest.raises(Unreachable):
        await registry.lookup("Agent")
    await valkey.start()
    assert await registry.lookup("Agent") == [lease()]
    assert await registry.refresh(lease(status="healthy"))


async def test_watch_tells_changes_and_not_refreshes(valkey, registry, eventually):
    """A watcher hears of new, changed and deleted leases, through a restart of the server."""
    heard: list[Change] = []

    async def listen() -> None:
        async for change in registry.watch(every_s=0.02):
            heard.append(change)  # noqa: PERF401 - an endless generator

    await registry.put(lease(time=1.0))
    listener = asyncio.create_task(listen())
    await eventually(lambda: len(heard) >= 1)
    await registry.refresh(lease(time=2.0))
    await registry.put(lease("Other"))
    await eventually(lambda: len(heard) >= 2)
    await on_disk(registry)
    valkey.kill()
    await valkey.start()
    await registry.refresh(lease(status="healthy"))
    await eventually(lambda: len(heard) >= 3)
    await registry.delete("Other", "i1")
    await eventually(lambda: len(heard) >= 4)
    await end(listener)
    assert [(c.before and c.before.agent, c.after and c.after.agent) for c in heard] == [
        (None, "Agent"),
        (None, "Other"),
        ("Agent", "Agent"),
        ("Other", None),
    ]
