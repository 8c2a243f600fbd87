"""Names of one machine, known on the other: two nats-servers, two Valkeys, one cable."""

from __future__ import annotations

import asyncio

import pytest

from tandem.core.deadline import Deadline
from tandem.core.errors import Unreachable
from tandem.core.tasks import end
from tandem.events import Connection
from tandem.registry import Lease, Mirror, Registry, RegistryResolver
from tandem.registry.mirror import bucket_name, bucket_stream

pytestmark = pytest.mark.integration

MACHINES = ("mainpc", "pc2")


class Side:
    """One machine's node, as far as names are concerned."""

    def __init__(self, nats, valkey) -> None:
        self.machine = nats.machine
        self.nats = nats
        self.valkey = valkey
        self.registry = Registry(valkey.access(), ttl_s=3600)
        self.connection = Connection(nats.access, "node")
        self.trusted = True
        self.mirror = Mirror(
            self.registry,
            self.connection,
            nats.machine,
            MACHINES,
            host="10.1.1.1",
            is_trusted=lambda _peer: self.trusted,
        )

    def start(self) -> None:
        self.connection.start()
        self.mirror.start()

    async def close(self) -> None:
        await self.mirror.close()
        await self.connection.close()
        await self.registry.close()

    async def put(self, agent: str, instance: str = "i1", zmq: str | None = "tcp://0.0.0.0:5000") -> None:
        await self.registry.put(Lease(agent=agent, machine=self.machine, instance=instance, zmq=zmq))

    async def knows(self, *names: str) -> bool:
        """Whether exactly these leases of other machines are known here."""
        return sorted(x.name for x in await self.registry.list() if x.machine != self.machine) == sorted(
            names
        )


@pytest.fixture
async def sides(nats_pair, make_valkey):
    """Both machines, mirroring."""
    sides = Side(nats_pair.mainpc, await make_valkey()), Side(nats_pair.pc2, await make_valkey())
    for side in sides:
        side.start()
    yield sides
    for side in sides:
        await side.close()


@pytest.mark.timeout(200)
async def test_names_appear_change_and_vanish_on_the_other_side(sides, eventually):
    """A lease is mirrored with the advertised host, its change too, and so is its end."""
    mainpc, pc2 = sides
    await mainpc.put("A")
    await pc2.put("B", zmq=None)
    await eventually(lambda: pc2.knows("A@mainpc"))
    await eventually(lambda: mainpc.knows("B@pc2"))
    [lease] = await pc2.registry.lookup("A")
    assert lease.zmq == "tcp://10.1.1.1:5000"
    await mainpc.put("A", instance="i2")

    async def changed() -> bool:
        return [x.instance for x in await pc2.registry.lookup("A@mainpc")] == ["i2"]

    await eventually(changed)
    await mainpc.registry.delete("A", "i2")
    await eventually(lambda: pc2.knows())


@pytest.mark.timeout(200)
async def test_a_cut_link_keeps_the_last_names_and_healing_brings_the_changes(nats_pair, sides, eventually):
    """While cut nothing is forgotten, even if that machine's NATS restarts; afterwards the changes arrive."""
    mainpc, pc2 = sides
    await mainpc.put("Stays")
    await mainpc.put("Goes")
    await eventually(lambda: pc2.knows("Stays@mainpc", "Goes@mainpc"))
    await nats_pair.cable.cut()
    await nats_pair.unlinked()
    await mainpc.registry.delete("Goes", "i1")
    await mainpc.put("Comes")
    nats_pair.pc2.kill()
    await nats_pair.pc2.start()
    assert await pc2.knows("Stays@mainpc", "Goes@mainpc")
    await nats_pair.cable.heal()
    await nats_pair.linked()
    await eventually(lambda: pc2.knows("Stays@mainpc", "Comes@mainpc"), 100)


@pytest.mark.timeout(200)
async def test_a_restart_does_not_take_a_name_from_the_other_side(sides, eventually):
    """A lease that is deleted and put again at once changes there from one instance to the next, never to none."""
    mainpc, pc2 = sides
    await mainpc.put("A", instance="i1")
    await eventually(lambda: pc2.knows("A@mainpc"))
    seen: list[str | None] = []

    async def watch() -> None:
        async for change in pc2.registry.watch(every_s=0.01):
            seen.append(change.after and change.after.instance)  # noqa: PERF401 - an endless generator

    watcher = asyncio.create_task(watch())
    await eventually(lambda: seen == ["i1"])
    await mainpc.registry.delete("A", "i1")
    await mainpc.put("A", instance="i2")
    await eventually(lambda: "i2" in seen)
    await end(watcher)
    assert seen == ["i1", "i2"]


@pytest.mark.timeout(200)
async def test_a_restarted_node_and_a_lost_valkey_are_caught_up_with(sides, eventually):
    """What ended while no node was there is removed, and copies lost by a registry come back."""
    mainpc, pc2 = sides
    await mainpc.put("A")
    await mainpc.put("B")
    await eventually(lambda: pc2.knows("A@mainpc", "B@mainpc"))
    await mainpc.close()
    again = Side(mainpc.nats, mainpc.valkey)
    await again.registry.delete("A", "i1")
    again.start()
    await eventually(lambda: pc2.knows("B@mainpc"))
    await pc2.registry._valkey.ask("FLUSHALL")
    await eventually(lambda: pc2.knows("B@mainpc"))
    await again.close()


@pytest.mark.timeout(200)
async def test_a_machine_that_starts_first_learns_the_names_of_the_second(nats_pair, make_valkey, eventually):
    """The peer's bucket need not exist when we begin."""
    first = Side(nats_pair.mainpc, await make_valkey())
    first.start()
    await first.put("A")

    async def mirrors_nothing_yet() -> bool:
        client = await first.connection.client()
        names = [info.config.name for info in await client.jetstream().streams_info()]
        return "KV_leases_pc2" in names

    await eventually(mirrors_nothing_yet)
    second = Side(nats_pair.pc2, await make_valkey())
    await second.put("B")
    second.start()
    await eventually(lambda: first.knows("B@pc2"), 100)
    await eventually(lambda: second.knows("A@mainpc"), 100)
    await first.close()
    await second.close()


@pytest.mark.timeout(200)
async def test_resolving_across_machines_outlives_the_registry(sides, eventually, tmp_path):
    """The endpoint of a peer elsewhere comes from the mirrored lease, and its last value while Valkey is dead."""
    mainpc, pc2 = sides
    await mainpc.put("A")
    await eventually(lambda: pc2.knows("A@mainpc"))
    resolver = RegistryResolver("pc2", tmp_path, {"A": ["mainpc"], "C": ["mainpc"]}, pc2.registry)
    endpoint = await resolver.resolve("A", Deadline.after(20))
    assert (endpoint.kind, endpoint.address, endpoint.instance) == ("zmq", "tcp://10.1.1.1:5000", "i1")
    pc2.valkey.kill()
    assert await resolver.resolve("A@mainpc", Deadline.after(20)) == endpoint
    with pytest.raises(Unreachable):
        await resolver.resolve("C", Deadline.after(20))
    await pc2.valkey.start()
    await mainpc.registry.delete("A", "i1")
    await eventually(lambda: pc2.knows())
    with pytest.raises(Unreachable, match="not running"):
        await resolver.resolve("A", Deadline.after(20))


@pytest.mark.timeout(200)
async def test_a_revoked_machine_is_forgotten_until_it_is_trusted_again(sides, eventually):
    """Its names vanish at once and stay away although its link is up, and all are back when it has proved itself."""
    mainpc, pc2 = sides
    await pc2.put("B")
    await eventually(lambda: mainpc.knows("B@pc2"))
    mainpc.trusted = False
    mainpc.mirror.distrust(["pc2"])
    await eventually(lambda: mainpc.knows())
    await pc2.put("C")
    await eventually(lambda: stored_on(pc2, "B", "C"))
    assert await mainpc.knows()
    mainpc.trusted = True
    await eventually(lambda: mainpc.knows("B@pc2", "C@pc2"))


@pytest.mark.timeout(200)
async def test_a_machine_that_joins_anew_at_once_is_heard_from_the_beginning(sides, eventually):
    """However soon it is trusted again, nothing of its former names is left and its new ones are known, although
    its new bucket counts from one."""
    mainpc, pc2 = sides
    for agent in ("A", "B", "C"):
        await pc2.put(agent)
    await eventually(lambda: mainpc.knows("A@pc2", "B@pc2", "C@pc2"))
    for agent in ("A", "B", "C"):
        await pc2.registry.delete(agent, "i1")
    await pc2.put("D")
    await pc2.mirror.close()
    await (await pc2.connection.client()).jetstream().delete_stream(bucket_stream("pc2"))
    mainpc.mirror.distrust(["pc2"])
    pc2.mirror.start()
    await eventually(lambda: mainpc.knows("D@pc2"))


async def stored_on(side: Side, *agents: str) -> bool:
    """Whether the machine's own bucket has exactly these."""
    bucket = await (await side.connection.client()).jetstream().key_value(bucket_name(side.machine))
    return sorted(await bucket.keys()) == sorted(agents)
