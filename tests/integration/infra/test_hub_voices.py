"""What hubs tell each other, under the permissions Tandem renders: no ordinary agent can speak as one."""

from __future__ import annotations

import asyncio
import contextlib
import time
import zlib
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig

from tandem.core.errors import PermissionDenied
from tandem.core.ids import AgentId
from tandem.core.tasks import end
from tandem.errors import ErrorReport
from tandem.errors.desk import IncidentDesk
from tandem.errors.incident import Judgement
from tandem.events import Connection, Publisher, keep_streams
from tandem.hub.records import Judged, Record, Records, outgoing
from tandem.hub.siblings import Answer, Asked, Beat, OrderAgents, Question, Siblings
from tandem.infra import nats_access
from tandem.security.machine import NODE

pytestmark = pytest.mark.integration

HUB = "Watcher"
"""The observer of the machines these tests start."""

JUDGEMENT = Judgement(key="agent:Store@mainpc", verb="resolve", by="operator", at=1.0)
FORGED = zlib.compress(msgspec.msgpack.encode(Judged(judgement=JUDGEMENT)), 1)


def connect(stack: contextlib.AsyncExitStack, servers, subject: str) -> Connection:
    connection = Connection(nats_access(servers.machine, servers.ports, subject), subject)
    connection.start()
    stack.push_async_callback(connection.close)
    return connection


@pytest.fixture
async def stack(pair, eventually):
    """Two linked machines with their streams; what is pushed is closed."""
    async with contextlib.AsyncExitStack() as stack:
        for servers in (pair.hub, pair.leaf):
            connection = connect(stack, servers, NODE)
            keeping = asyncio.create_task(keep_streams(connection, servers.name, ("mainpc", "pc2")))
            stack.push_async_callback(end, keeping)
            client = await connection.client(60)

            async def made(client: Client = client) -> bool:
                return "HUB_ALL" in [info.config.name for info in await client.jetstream().streams_info()]

            await eventually(made)
        yield stack


async def records(stack: contextlib.AsyncExitStack, servers, folder: Path) -> tuple[Records, IncidentDesk, list[Record]]:
    """A hub's own, the desk it keeps decisions in, and what it hears of others."""
    heard: list[Record] = []
    desk = IncidentDesk(folder / f"{servers.name}.db", {})
    await desk.open()
    stack.push_async_callback(desk.close)

    async def hear(_machine: str, record: Record) -> None:
        heard.append(record)

    connection = connect(stack, servers, HUB)
    made = Records(AgentId.of(HUB, servers.name), connection, Publisher(connection), desk, hear)
    made.start()
    stack.push_async_callback(made.close)
    return made, desk, heard


async def test_a_decision_reaches_the_other_hub_and_no_agent_can_forge_one(pair, stack, eventually, tmp_path) -> None:
    """A hub's decision arrives; an agent may not store one, and what it lets JetStream deliver there is not stored."""
    here, desk, _ = await records(stack, pair.hub, tmp_path)
    _, _, heard = await records(stack, pair.leaf, tmp_path)
    rogue = connect(stack, pair.hub, "Alpha")
    for subject in (f"hub.mainpc.{HUB}", "hub.mainpc.Alpha", f"hub.pc2.{HUB}"):
        with pytest.raises(PermissionDenied):
            await Publisher(rogue).publish(subject, FORGED, {"Nats-Msg-Id": subject}, timeout=20)
    await _deliver_to(f"hub.mainpc.{HUB}", rogue, FORGED)
    report = ErrorReport(id="1", agent="Store", machine="mainpc", type="ProcessDied", message="killed", time=0.5)
    await desk.take([report])
    said = Judged(judgement=msgspec.structs.replace(JUDGEMENT, verb="ack"))
    await desk.judge(said.judgement, outgoing(said))
    here.wake()
    await eventually(lambda: said in heard)
    assert heard == [said]


async def test_a_hub_speaks_in_its_own_name_only(pair, stack) -> None:
    """Also an observer may not store records of another one."""
    publisher = Publisher(connect(stack, pair.hub, HUB))
    with pytest.raises(PermissionDenied):
        await publisher.publish("hub.mainpc.OtherHub", FORGED, {"Nats-Msg-Id": "x"}, timeout=20)


async def test_no_agent_gives_orders_as_a_hub(pair, stack, eventually, caplog) -> None:
    """An event an agent has JetStream deliver on a hub's own subject is no word of that hub: its order is not obeyed."""
    asked: list[Question] = []
    heard: list[object] = []

    async def answer(question: Question) -> Answer:
        asked.append(question)
        return Answer()

    there = AgentId.of(HUB, "pc2")
    hubs = [f"{HUB}@mainpc", str(there)]
    siblings = Siblings(there, hubs, connect(stack, pair.leaf, HUB), answer, lambda _m, said: heard.append(said))
    await siblings.start()
    stack.push_async_callback(siblings.close)
    order = Asked(to="pc2", id="1", question=OrderAgents(verb="stop", agents=["Beta@pc2"], by="operator"))
    real = Siblings(AgentId.of(HUB, "mainpc"), hubs, connect(stack, pair.hub, HUB), answer, lambda _m, _s: None)

    async def beats() -> bool:
        await real.beat(True, time.time())
        return any(isinstance(said, Beat) for said in heard)

    await eventually(beats)
    rogue = connect(stack, pair.hub, "Alpha")
    await _deliver_to(f"presence.mainpc.{HUB}", rogue, msgspec.msgpack.encode(order))
    await eventually(lambda: "speaks as a hub and is none" in caplog.text)
    assert asked == []


async def _deliver_to(target: str, rogue: Connection, payload: bytes) -> None:
    """Store an event as an agent may, and fetch it with ``target`` as the place to answer to."""
    client = await rogue.client(60)
    await Publisher(rogue).publish("event.mainpc.evil", payload, {"Nats-Msg-Id": target}, timeout=20)
    name = target.replace(".", "_")
    config = ConsumerConfig(name=name, durable_name=name, ack_policy=AckPolicy.EXPLICIT, ack_wait=1.0)
    await client.jetstream().add_consumer("EVENTS_ALL", config)
    fetched = asyncio.get_running_loop().create_future()

    async def fetch(message: Msg) -> None:
        if not fetched.done():
            fetched.set_result(message)

    inbox = client.new_inbox()
    await client.subscribe(inbox, cb=fetch)
    # The event is there once it can be fetched in the ordinary way; unacknowledged, it comes again.
    next_one = f"$JS.API.CONSUMER.MSG.NEXT.EVENTS_ALL.{name}"
    await client.publish(next_one, b'{"batch":1,"expires":60000000000}', reply=inbox)
    await asyncio.wait_for(fetched, 60)
    await client.publish(next_one, b'{"batch":1,"expires":60000000000}', reply=target)
    async with asyncio.timeout(60):
        while True:
            info = await client.jetstream().consumer_info("EVENTS_ALL", name)
            if info.num_redelivered:
                return
            await asyncio.sleep(0.05)
