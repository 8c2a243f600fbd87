"""Which endpoint a name means, without any server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tandem.core.deadline import Deadline
from tandem.core.errors import NotFound, Unreachable
from tandem.registry import Lease, RegistryResolver
from tandem.registry import resolver as resolver_module


@pytest.fixture(autouse=True)
def short_patience(monkeypatch):
    """Nobody appears in these tests unless they say so."""
    monkeypatch.setattr(resolver_module, "APPEAR_S", 0.0)


RUN = Path("/run/t/mainpc")
DIRECTORY = {"Here": ["mainpc"], "There": ["pc2"], "Both": ["mainpc", "pc2"], "Elsewhere": ["pc2", "pc3"]}


class Leases:
    """A registry that answers from a list, fails, or hangs."""

    def __init__(self, *leases: Lease, error: Exception | None = None) -> None:
        self.leases = list(leases)
        self.error = error
        self.asked: list[str] = []
        self.cut: dict[str, float] = {}

    async def cut_since(self, machine: str) -> float | None:
        return self.cut.get(machine)

    async def lookup(self, name: str) -> list[Lease]:
        self.asked.append(name)
        if self.error:
            raise self.error
        agent, _, machine = name.partition("@")
        return [x for x in self.leases if x.agent == agent and machine in ("", x.machine)]


def lease(agent: str, machine: str, zmq: str | None = "tcp://10.0.0.2:7000", instance: str = "i1") -> Lease:
    """A lease with a key."""
    return Lease(agent=agent, machine=machine, instance=instance, zmq=zmq, curve_public="k" * 40)


def resolver(registry: Leases | None) -> RegistryResolver:
    """A resolver on mainpc."""
    return RegistryResolver("mainpc", RUN, DIRECTORY, registry)  # type: ignore[arg-type]


async def resolve(registry: Leases | None, peer: str):
    """One resolution with a generous budget."""
    return await resolver(registry).resolve(peer, Deadline.after(60))


@pytest.mark.parametrize("peer", ["Here", "Here@mainpc", "Both", "Both@mainpc", "Unknown@mainpc"])
async def test_a_neighbour_is_reached_by_its_socket_without_asking_anybody(peer):
    """On the own machine the path follows from the name; a bare name prefers the own machine."""
    endpoint = await resolve(None, peer)
    assert (endpoint.kind, endpoint.address) == ("unix", f"/run/t/mainpc/a/{peer.partition('@')[0]}.sock")


@pytest.mark.parametrize("peer", ["There", "There@pc2"])
async def test_a_peer_elsewhere_is_reached_by_its_lease(peer):
    """Address, instance and key come from the mirrored lease."""
    endpoint = await resolve(Leases(lease("There", "pc2")), peer)
    assert endpoint.kind == "zmq"
    assert endpoint.address == "tcp://10.0.0.2:7000"
    assert endpoint.instance == "i1"
    assert endpoint.curve_public == b"k" * 40


async def test_a_full_name_beats_the_own_machine():
    """An agent of both machines can be called on the other one."""
    endpoint = await resolve(Leases(lease("Both", "pc2")), "Both@pc2")
    assert endpoint.kind == "zmq"


async def test_a_bare_name_of_several_other_machines_is_an_error_that_lists_them():
    """Nobody guesses which one is meant."""
    with pytest.raises(NotFound, match="Elsewhere@pc2, Elsewhere@pc3"):
        await resolve(Leases(), "Elsewhere")


async def test_an_unknown_name_gets_a_suggestion():
    """A misspelt name is answered with the closest one."""
    with pytest.raises(NotFound, match="did you mean There"):
        await resolve(Leases(), "Ther")
    with pytest.raises(NotFound, match="no agent is called"):
        await resolve(None, "Ther")


async def test_an_agent_the_fleet_file_does_not_know_is_found_by_its_lease():
    """Agents added after we started resolve all the same, with the same rules."""
    leases = Leases(
        lease("New", "pc2"), lease("Near", "mainpc"), lease("Near", "pc2"), lease("X", "a"), lease("X", "b")
    )
    assert (await resolve(leases, "New")).kind == "zmq"
    assert (await resolve(leases, "Near")).kind == "unix"
    with pytest.raises(NotFound, match="X@a, X@b"):
        await resolve(leases, "X")


async def test_the_last_endpoint_serves_while_the_registry_is_away():
    """A known peer stays reachable, an unknown one is Unreachable; a fresh answer replaces the old one."""
    leases = Leases(lease("There", "pc2"))
    subject = resolver(leases)
    known = await subject.resolve("There", Deadline.after(60))
    leases.error = Unreachable("away")
    assert await subject.resolve("There", Deadline.after(60)) == known
    with pytest.raises(Unreachable, match="away"):
        await subject.resolve("Both@pc2", Deadline.after(60))
    leases.error = None
    leases.leases = [lease("There", "pc2", instance="i2")]
    assert (await subject.resolve("There", Deadline.after(60))).instance == "i2"


async def test_a_peer_without_lease_is_not_running():
    """The registry's clear no is believed, also later when it is away."""
    leases = Leases(lease("There", "pc2"))
    subject = resolver(leases)
    await subject.resolve("There", Deadline.after(60))
    leases.leases = []
    with pytest.raises(Unreachable, match="not running"):
        await subject.resolve("There", Deadline.after(60))
    leases.error = Unreachable("away")
    with pytest.raises(Unreachable, match="away"):
        await subject.resolve("There", Deadline.after(60))


async def test_a_peer_without_port_cannot_be_called_from_here():
    """The error names the mend."""
    with pytest.raises(Unreachable, match="port in the fleet file"):
        await resolve(Leases(lease("There", "pc2", zmq=None)), "There")


async def test_a_registry_that_hangs_costs_no_more_than_the_budget():
    """The caller's deadline bounds the look-up."""

    class Hanging(Leases):
        async def lookup(self, name: str) -> list[Lease]:
            await asyncio.Event().wait()
            return []

    with pytest.raises(Unreachable):
        await resolver(Hanging()).resolve("There", Deadline.after(0.01))


async def test_a_peer_that_is_just_starting_is_waited_for(monkeypatch):
    """A lease that appears within the caller's budget is as good as one that was there."""
    monkeypatch.setattr(resolver_module, "APPEAR_S", 60.0)

    class Starting(Leases):
        async def lookup(self, name: str) -> list[Lease]:
            found = await super().lookup(name)
            return found if len(self.asked) > 2 else []

    leases = Starting(lease("There", "pc2"))
    assert (await resolve(leases, "There")).kind == "zmq"
    assert len(leases.asked) == 3


async def test_a_machine_out_of_reach_is_refused_at_once():
    """Nobody waits for a connection the node knows to be impossible, and neighbours are not concerned."""
    registry = Leases(lease("There", "pc2"))
    registry.cut["pc2"] = 1.0
    with pytest.raises(Unreachable, match="pc2 cannot be reached from mainpc"):
        await resolve(registry, "There")
    assert registry.asked == []
    assert (await resolve(registry, "Here")).kind == "unix"
    registry.cut.clear()
    assert (await resolve(registry, "There")).kind == "zmq"
