"""Events, traces, leases and mirrored names under the configuration and the permissions Tandem renders."""

from __future__ import annotations

import asyncio

import pytest

from tandem.core.errors import PermissionDenied
from tandem.core.tasks import end
from tandem.events import Bus, Connection, ConsumerPolicy, Event, SpanExporter, current_delivery, keep_streams
from tandem.events.traces import read_traces
from tandem.infra import nats_access
from tandem.registry import Lease, Mirror, Registry
from tandem.security.machine import NODE
from tandem.telemetry import tracing

pytestmark = pytest.mark.integration

QUICK = ConsumerPolicy(retry_delays_s=(0.05,))


class FactLearned(Event, topic="fact.learned"):
    """What the tests announce."""

    number: int


def access(servers, subject: str = NODE):
    """How ``subject`` logs into a machine's NATS."""
    return nats_access(servers.machine, servers.ports, subject)


class Node:
    """What a node does for events and names on its machine."""

    def __init__(self, servers, peers=()) -> None:
        self.connection = Connection(access(servers), "node")
        self.connection.start()
        self._streams = asyncio.create_task(keep_streams(self.connection, servers.name, peers))

    async def ready(self) -> None:
        client = await self.connection.client(60)
        names: list[str] = []
        while "DEAD_LETTERS" not in names:
            await asyncio.sleep(0.02)
            names = [info.config.name for info in await client.jetstream().streams_info()]

    async def close(self) -> None:
        await end(self._streams)
        await self.connection.close()


@pytest.fixture
async def node(mainpc):
    """A node with its streams in place."""
    node = Node(mainpc)
    await asyncio.wait_for(node.ready(), 60)
    yield node
    await node.close()


@pytest.fixture
async def alpha(mainpc, node):
    """The bus of an ordinary agent."""
    bus = Bus(access(mainpc, "Alpha"), "Alpha")
    await bus.connect(60)
    yield bus
    await bus.close()


@pytest.fixture
async def beta(mainpc, node):
    """The bus of another one."""
    bus = Bus(access(mainpc, "Beta"), "Beta")
    await bus.connect(60)
    yield bus
    await bus.close()


async def test_agents_may_do_what_the_bus_needs(alpha, beta, node, eventually):
    """Publish, consume, retry, dead-letter and progress all stay within an agent's permissions."""
    got: list[int] = []

    async def handler(event: FactLearned) -> None:
        if event.number == 13:
            raise RuntimeError("bad luck")
        got.append(event.number)

    consumer = await beta.subscribe(FactLearned, handler, policy=QUICK)
    for number in (1, 13, 2):
        await alpha.publish(FactLearned(number=number))
    await eventually(lambda: got == [1, 2] and consumer.dead == 1)

    async def all_acknowledged() -> bool:
        info = await consumer.measure()
        return (info.num_pending, info.num_ack_pending) == (0, 0)

    await eventually(all_acknowledged)
    letters = (await (await node.connection.client()).jetstream().stream_info("DEAD_LETTERS")).state
    assert letters.messages == 1
    assert alpha.health() == beta.health() == []
    assert alpha.connection.last_error == beta.connection.last_error == ""


@pytest.mark.parametrize(
    "subject", ["event.pc2.fact.learned", "errors.mainpc.Beta.error", "dead.mainpc.Beta.x"]
)
async def test_an_agent_may_not_speak_for_others(alpha, subject):
    """Publishing in another machine's or agent's name is denied, and said so instead of timing out as unreachable."""
    with pytest.raises(PermissionDenied):
        await alpha.publisher.publish(subject, b"{}", {"Nats-Msg-Id": "x"}, timeout=20)


async def test_spans_of_an_agent_are_read_by_the_observer(mainpc, alpha, eventually):
    """Agents store spans, the observability hub reads them back."""
    exporter = SpanExporter(alpha.connection)
    tracing.set_sink(exporter)
    with tracing.start_turn() as turn:
        pass
    tracing.set_sink(None)
    watcher = Connection(access(mainpc, "Watcher"), "Watcher")
    watcher.start()

    async def stored() -> bool:
        return turn.context.trace_id in await read_traces(await watcher.client(60))

    await eventually(stored)
    assert watcher.last_error == ""
    await exporter.close()
    await watcher.close()


async def test_an_agents_lease_under_its_own_acl(mainpc):
    """An agent refreshes its own lease, reads all, and may not touch another's; the node may."""
    node = Registry(mainpc.access("control"))
    agent = Registry(mainpc.access("control", "Alpha"))
    await node.put(Lease(agent="Beta", machine="mainpc", instance="i"))
    await node.replace_mirrored("pc2", [Lease(agent="Alpha", machine="pc2", instance="j")])
    assert await agent.refresh(Lease(agent="Alpha", machine="mainpc", instance="i"))
    assert [lease.name for lease in await agent.lookup("Alpha")] == ["Alpha@mainpc", "Alpha@pc2"]
    assert [lease.name for lease in await agent.lookup("Beta@mainpc")] == ["Beta@mainpc"]
    with pytest.raises(PermissionDenied):
        await agent.refresh(Lease(agent="Beta", machine="mainpc", instance="mine"))
    with pytest.raises(PermissionDenied):
        await agent.delete("Beta", "i")
    await agent.close()
    await node.close()


@pytest.mark.timeout(200)
async def test_events_and_names_cross_the_link(pair, eventually):
    """Between two machines joined by mutual TLS, events and leases of each reach the other."""
    machines = ("mainpc", "pc2")
    got: dict[str, list[str]] = {}
    closing = []
    for servers in (pair.hub, pair.leaf):
        await servers.start("valkey-control")
        node = Node(servers, machines)
        registry = Registry(servers.access("control"))
        mirror = Mirror(registry, node.connection, servers.name, machines)
        mirror.start()
        bus = Bus(access(servers, "Alpha"), "Alpha")
        await bus.connect(60)
        heard = got.setdefault(servers.name, [])

        async def handler(event: FactLearned, heard: list[str] = heard) -> None:
            heard.append(current_delivery().origin.machine)

        await asyncio.wait_for(node.ready(), 60)
        await bus.subscribe(FactLearned, handler)
        await registry.put(Lease(agent="Alpha", machine=servers.name, instance="i", zmq="tcp://127.0.0.1:1"))
        closing.append((mirror, bus, node, registry))
    # Only now: who subscribes hears what comes from then on.
    for _, bus, _, _ in closing:
        await bus.publish(FactLearned(number=1))
    await eventually(lambda: sorted(got["mainpc"]) == sorted(got["pc2"]) == ["mainpc", "pc2"], 100)

    async def everybody_known() -> bool:
        known = [[lease.name for lease in await registry.lookup("Alpha")] for _, _, _, registry in closing]
        return all(sorted(names) == ["Alpha@mainpc", "Alpha@pc2"] for names in known)

    await eventually(everybody_known, 100)
    for parts in closing:
        for part in parts:
            await part.close()
