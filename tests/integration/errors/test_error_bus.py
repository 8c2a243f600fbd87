"""The error bus on real servers: nothing accepted is lost, nothing counts twice."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import nats.errors
import pytest
from msgspec.structs import replace
from nats.js.api import StreamState

from tandem.core import clock
from tandem.core.errors import TandemError
from tandem.core.ids import AgentId
from tandem.core.tasks import end
from tandem.errors import ErrorClient, ErrorReport
from tandem.errors import feed as feed_module
from tandem.errors.desk import IncidentDesk
from tandem.errors.escalate import Alert, Route
from tandem.errors.feed import ErrorFeed, follow, read_stored
from tandem.errors.incident import Judgement
from tandem.events import ERRORS, Connection, ConsumerPolicy, Publisher, keep_streams, streams
from tandem.hub.records import AlertSent, Judged, Measured, Record, Records, outgoing

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent


class Node:
    """Keeps a machine's streams."""

    def __init__(self, server, peers: tuple[str, ...] = ()) -> None:
        self.connection = Connection(server.access, "node")
        self.connection.start()
        self._task = asyncio.create_task(keep_streams(self.connection, server.machine, peers))

    async def close(self) -> None:
        await end(self._task)
        await self.connection.close()


class Reporter:
    """One agent's client with a connection of its own."""

    def __init__(self, server, name: str, root: Path) -> None:
        self.connection = Connection(server.access, name)
        publisher = Publisher(self.connection)

        def connect() -> Publisher:
            self.connection.start()
            return publisher

        self.client = ErrorClient(AgentId.of(name, server.machine), root / name, connect)
        self.client.start()

    async def close(self) -> None:
        await self.client.close()
        await self.connection.close()


class Hub:
    """A desk that follows the feed; ``seen`` counts deliveries of each report."""

    def __init__(self, server, root: Path, name: str = "Hub") -> None:
        self.connection = Connection(server.access, name)
        self.connection.start()
        self.feed = ErrorFeed(self.connection, Publisher(self.connection), AgentId.of(name, server.machine))
        self.desk = IncidentDesk(root / f"{name}@{server.machine}.db", {})
        self.seen: Counter[str] = Counter()

    async def start(self) -> None:
        await self.desk.open()
        await self.feed.follow(self._take)

    async def _take(self, reports: list[ErrorReport]) -> None:
        await self.desk.take(reports)
        self.seen.update(report.id for report in reports)

    async def count(self) -> int:
        return sum(incident.count for incident in await self.desk.incidents(all_states=True))

    async def close(self) -> None:
        await self.feed.close()
        await self.desk.close()
        await self.connection.close()


@pytest.fixture
async def bus(nats_server, tmp_path) -> AsyncIterator[contextlib.AsyncExitStack]:
    """One machine with its streams; what is pushed is closed."""
    async with contextlib.AsyncExitStack() as stack:
        node = Node(nats_server)
        stack.push_async_callback(node.close)
        yield stack


async def start_hub(stack: contextlib.AsyncExitStack, server, root: Path) -> Hub:
    hub = Hub(server, root)
    stack.push_async_callback(hub.close)
    await hub.start()
    return hub


def reporter(stack: contextlib.AsyncExitStack, server, name: str, root: Path) -> Reporter:
    made = Reporter(server, name, root)
    stack.push_async_callback(made.close)
    return made


async def test_reports_of_many_agents_count_once_through_a_killed_server(
    bus, nats_server, tmp_path, eventually
) -> None:
    """NATS is killed twice amid a storm of reports; afterwards every one is in an incident, exactly once."""
    hub = await start_hub(bus, nats_server, tmp_path)
    reporters = [reporter(bus, nats_server, f"Agent{n}", tmp_path) for n in range(5)]
    for wave in range(30):
        for one in reporters:
            for n in range(40):
                assert one.client.report("ValueError", f"row {wave * 40 + n} is bad").accepted
        if wave in (8, 18):
            nats_server.kill()
        if wave in (12, 22):
            await nats_server.start()
        await asyncio.sleep(0.05)

    async def complete() -> bool:
        return await hub.count() >= 6000 and len(hub.seen) >= 6000

    await eventually(complete)
    assert await hub.count() == 6000
    assert len(hub.seen) == 6000
    # The same words from several agents at the same time have one cause.
    [incident] = await hub.desk.incidents()
    assert sorted(incident.agents) == [f"Agent{n}@mainpc" for n in range(5)]


async def test_order_is_kept_per_agent(bus, nats_server, tmp_path, eventually) -> None:
    """The stream holds an agent's reports in the order of its calls, whatever their severities."""
    one = reporter(bus, nats_server, "Agent", tmp_path)
    for n in range(500):
        one.client.report("T", str(n), ("error", "critical", "debug")[n * 7 % 3])

    async def stored() -> list[int]:
        client = await one.connection.client(20)
        return [int(report.message) async for reports in read_stored(client, 1.0) for report in reports]

    async def complete() -> bool:
        with contextlib.suppress(Exception):
            return len(await stored()) == 500
        return False

    await eventually(complete)
    assert await stored() == list(range(500))


async def test_what_a_killed_process_reported_arrives(bus, nats_server, tmp_path, eventually) -> None:
    """kill -9 in mid-flight loses not one accepted report: the next instance ships them all, once."""
    hub = await start_hub(bus, nats_server, tmp_path)
    process = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, HERE / "reporting_process.py", tmp_path / "Victim"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    accepted = 0
    while accepted < 2000:
        accepted = int(await asyncio.to_thread(process.stdout.readline))
    process.kill()
    rest = (await asyncio.to_thread(process.stdout.read)).split()
    accepted = int(rest[-1]) if rest else accepted
    process.wait()
    reporter(bus, nats_server, "Victim", tmp_path)

    async def complete() -> bool:
        return await hub.count() >= accepted

    await eventually(complete)
    # The one that was being written when the process died may be there besides.
    assert accepted <= await hub.count() <= accepted + 1
    assert max(hub.seen.values()) == 1


async def test_a_hub_that_dies_between_storing_and_acknowledging_counts_once(
    bus, nats_server, tmp_path, eventually, monkeypatch
) -> None:
    """The server delivers again what was not acknowledged; the store knows it."""
    monkeypatch.setattr(feed_module, "POLICY", ConsumerPolicy(window=4, ack_wait_s=1.0))
    first = Hub(nats_server, tmp_path)
    await first.desk.open()
    stored = asyncio.Event()

    async def store_and_hang(reports: list[ErrorReport]) -> None:
        await first.desk.take(reports)
        stored.set()
        await asyncio.sleep(3600)

    await first.feed.follow(store_and_hang)
    one = reporter(bus, nats_server, "Agent", tmp_path)
    for n in range(10):
        one.client.report("T", str(n))
    await asyncio.wait_for(stored.wait(), 60)
    # As kill -9 would: nothing is given back, the connection is just gone.
    first.connection._client._transport.close()
    await first.close()
    second = await start_hub(bus, nats_server, tmp_path)
    one.client.report("T", "10")

    async def complete() -> bool:
        return await second.count() >= 11 and bool(second.seen)

    await eventually(complete)
    assert await second.count() == 11


async def test_a_poison_message_is_set_aside(bus, nats_server, tmp_path, eventually) -> None:
    """What is no report, or a forged one, ends as a dead letter with its reason, and the others are counted."""
    hub = await start_hub(bus, nats_server, tmp_path)
    one = reporter(bus, nats_server, "Agent", tmp_path)
    one.client.report("T", "before")
    publisher = Publisher(hub.connection)
    await publisher.publish("errors.mainpc.Agent.error", b"poison", {"Nats-Msg-Id": "p1"}, timeout=20)
    forged = b'[{"id":"x","agent":"Other","machine":"mainpc","type":"T","message":"m","time":1.0}]'
    await publisher.publish("errors.mainpc.Agent.error", forged, {"Nats-Msg-Id": "p2"}, timeout=20)
    one.client.report("T", "after")

    async def complete() -> bool:
        return await hub.count() == 2

    await eventually(complete)
    client = await hub.connection.client(20)
    reasons: list[str] = []

    async def buried() -> bool:
        subscription = await client.jetstream().subscribe("dead.>", ordered_consumer=True)
        with contextlib.suppress(TimeoutError):
            reasons[:] = [(await subscription.next_msg(timeout=2)).headers["Tandem-Reason"] for _ in range(2)]
        await subscription.unsubscribe()
        return len(reasons) == 2

    await eventually(buried)
    assert "not a list of error reports" in reasons[0]
    assert "reports in the name of Other@mainpc" in reasons[1]


async def test_a_decision_outlives_its_hub_while_the_bus_is_away(nats_pair, tmp_path, eventually) -> None:
    """Made while its machine's NATS is down, by a hub that then dies: the next one tells the other machine's hub, once."""
    async with contextlib.AsyncExitStack() as stack:
        for server in (nats_pair.mainpc, nats_pair.pc2):
            stack.push_async_callback(Node(server, ("mainpc", "pc2")).close)
        hub, other = [await start_hub(stack, server, tmp_path) for server in (nats_pair.mainpc, nats_pair.pc2)]
        heard: list[Record] = []

        async def hear(_machine: str, record: Record) -> None:
            heard.append(record)

        def speak(of: Hub, machine: str) -> Records:
            made = Records(AgentId.of("Hub", machine), of.connection, Publisher(of.connection), of.desk, hear)
            made.start()
            stack.push_async_callback(made.close)
            return made

        speak(other, "pc2")
        dying = speak(hub, "mainpc")
        reporter(stack, nats_pair.mainpc, "Agent", tmp_path).client.report("T", "broken")

        async def counted() -> bool:
            return await hub.count() == 1

        await eventually(counted)
        [incident] = await hub.desk.incidents()
        nats_pair.mainpc.kill()
        judgement = Judgement(key=incident.key, verb="ack", by="operator", at=clock.wall(), since=incident.first)
        alert = Alert(
            key=incident.key, incident=incident.id, route=Route(name="chat", to="json://x"), stage="opened",
            severity=incident.severity, title=incident.title,
        )  # fmt: skip
        sent = AlertSent(key=incident.key, route="chat", stage="opened", at=clock.wall())
        decided = await hub.desk.judge(judgement, outgoing(Judged(judgement=judgement)))
        assert decided is not None and decided.state == "acknowledged"
        await hub.desk.sent(alert, outgoing(sent))
        dying.wake()
        await dying.close()
        await hub.desk.close()

        hub.desk = IncidentDesk(tmp_path / "Hub@mainpc.db", {})
        await hub.desk.open()
        next_one = speak(hub, "mainpc")
        await nats_pair.mainpc.start()
        await eventually(lambda: len(heard) >= 2)

        async def told() -> bool:
            return await hub.desk.untold() == []

        await eventually(told)
        await next_one.close()
        # Whoever comes later says it no more: what it measures is the next thing that is heard.
        speak(hub, "mainpc").keep(Measured(points=[]))
        await eventually(lambda: Measured(points=[]) in heard)
        assert heard == [Judged(judgement=judgement), sent, Measured(points=[])]


async def test_both_machines_know_all_errors_after_a_cut(nats_pair, tmp_path, eventually) -> None:
    """Each hub counts both machines' reports once; a cut link delays the other's and loses none."""
    async with contextlib.AsyncExitStack() as stack:
        servers = (nats_pair.mainpc, nats_pair.pc2)
        for server in servers:
            stack.push_async_callback(Node(server, ("mainpc", "pc2")).close)
        hubs = [await start_hub(stack, server, tmp_path) for server in servers]
        agents = [reporter(stack, server, "Agent", tmp_path / server.machine) for server in servers]

        async def both_count(wanted: int) -> None:
            async def complete() -> bool:
                return [await hub.count() for hub in hubs] == [wanted, wanted]

            await eventually(complete)

        for agent in agents:
            agent.client.report("T", "before the cut")
        await both_count(2)
        await nats_pair.cable.cut()
        await nats_pair.unlinked()
        for agent in agents:
            for n in range(100):
                agent.client.report("T", f"{n} during the cut")

        async def own_only() -> bool:
            return [await hub.count() for hub in hubs] == [102, 102]

        await eventually(own_only)
        await nats_pair.cable.heal()
        await both_count(202)
        for hub in hubs:
            assert max(hub.seen.values()) == 1


async def test_replay_fills_an_empty_store(bus, nats_server, tmp_path, eventually) -> None:
    """From the stream alone a new store arrives at the same counts; a second replay adds nothing."""
    one = reporter(bus, nats_server, "Agent", tmp_path)
    for n in range(300):
        one.client.report("T", f"{n} times")
    hub = await start_hub(bus, nats_server, tmp_path)

    async def complete() -> bool:
        return await hub.count() == 300

    await eventually(complete)
    fresh = IncidentDesk(tmp_path / "fresh.db", {})
    await fresh.open()
    for expected in (300, 0):
        assert sum([await fresh.take(reports) async for reports in hub.feed.stored(1.0)]) == expected
    [incident] = await fresh.incidents()
    assert incident.count == 300
    await fresh.close()


async def test_following_goes_on_where_it_was(bus, nats_server, tmp_path, eventually) -> None:
    """What `tandem errors tail -f` uses tells what is stored, then what comes, without a gap, through a killed server, in
    order and each once."""
    connection = Connection(nats_server.access, "tail")
    connection.start()
    bus.push_async_callback(connection.close)
    one = reporter(bus, nats_server, "Agent", tmp_path)
    heard: list[str] = []

    async def hear(reports: list[ErrorReport]) -> None:
        heard.extend(report.message for report in reports)

    async def stored(count: int) -> bool:
        with contextlib.suppress(nats.errors.Error, TandemError):
            client = await one.connection.client(1)
            return len([1 async for reports in read_stored(client, 1.0) for _ in reports]) >= count
        return False

    for n in range(200):
        one.client.report("T", str(n))
    await eventually(lambda: stored(200))
    following = asyncio.create_task(follow(connection, 1.0, hear))
    bus.push_async_callback(end, following)
    await eventually(lambda: len(heard) == 200)
    one.client.report("T", "200")
    await eventually(lambda: len(heard) == 201)
    nats_server.kill()
    for n in range(201, 300):
        one.client.report("T", str(n))
    await nats_server.start()
    await eventually(lambda: len(heard) >= 300)
    assert heard == [str(n) for n in range(300)]


async def seen_by_server(connection: Connection, stream: str) -> StreamState | None:
    """How a stream is; None while the server or the stream is not there."""
    with contextlib.suppress(nats.errors.Error, TandemError):
        client = await connection.client(1)
        return (await client.jetstream().stream_info(stream)).state
    return None


def with_limits(monkeypatch: pytest.MonkeyPatch, **limits: float) -> None:
    """Let streams of errors that are made from now on be kept no longer, or no larger."""
    monkeypatch.setattr(streams, "DUPLICATE_WINDOW_S", 0.5)  # the server wants it shorter than their age
    monkeypatch.setattr(streams, "PAIRS", tuple(replace(p, **limits) if p is ERRORS else p for p in streams.PAIRS))


async def test_reports_expire_by_age(nats_server, tmp_path, eventually, monkeypatch) -> None:
    """The server forgets reports of an age, here and in the copy of all machines; what comes later is stored and counted."""
    with_limits(monkeypatch, max_age_s=1.0)
    async with contextlib.AsyncExitStack() as stack:
        node = Node(nats_server)
        stack.push_async_callback(node.close)
        one = reporter(stack, nats_server, "Agent", tmp_path)
        for n in range(50):
            one.client.report("T", f"{n} of yesterday")

        async def gone() -> bool:
            found = [await seen_by_server(node.connection, stream) for stream in (ERRORS.local, ERRORS.all)]
            return all(state is not None and state.last_seq > 0 and state.messages == 0 for state in found)

        await eventually(gone)
        hub = await start_hub(stack, nats_server, tmp_path)

        async def counted() -> bool:
            one.client.report("T", "1 of today")
            return await hub.count() > 0

        await eventually(counted)
        [incident] = await hub.desk.incidents()
        assert {report.message for report in (await hub.desk.show(incident.id)).reports} == {"1 of today"}


async def test_reports_make_room_by_size(nats_server, tmp_path, eventually, monkeypatch) -> None:
    """A stream that is full gives up its oldest reports for the newest, none between, and stays within its size."""
    size, total = 1 << 20, 2_000
    with_limits(monkeypatch, max_bytes=size)
    async with contextlib.AsyncExitStack() as stack:
        node = Node(nats_server)
        stack.push_async_callback(node.close)
        one = reporter(stack, nats_server, "Agent", tmp_path)
        for n in range(total):
            assert one.client.report("T", f"{n} {'x' * 1500}").accepted
        numbers: list[int] = []

        async def newest_is_there() -> bool:
            with contextlib.suppress(nats.errors.Error, TandemError):
                client = await node.connection.client(1)
                found = [report async for reports in read_stored(client, 1.0) for report in reports]
                numbers[:] = [int(report.message.split()[0]) for report in found]
            return bool(numbers) and numbers[-1] == total - 1

        await eventually(newest_is_there)
        assert numbers[0] > 0 and numbers == list(range(numbers[0], total))
        for stream in (ERRORS.local, ERRORS.all):
            state = await seen_by_server(node.connection, stream)
            assert state is not None and 0 < state.bytes <= size
