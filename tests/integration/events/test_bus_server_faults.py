"""The bus while its server is away, stopped, killed or unreachable."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import msgspec
import pytest
from events_rig import FactLearned
from nats.aio.client import Client

from tandem.core.errors import Unreachable
from tandem.events import Bus, Connection, ConsumerPolicy

pytestmark = pytest.mark.integration


async def test_publishing_without_a_server_ends_within_the_budget(nats_server, bus):
    """With NATS gone a publish raises Unreachable after its budget and never hangs."""
    nats_server.kill()
    with pytest.raises(Unreachable):
        await asyncio.wait_for(bus.publish(FactLearned(number=1), timeout=0.5), 30)


async def test_publishing_to_a_stopped_server_ends_within_the_budget(nats_server, bus):
    """A server that accepts bytes and never answers costs the budget, no more."""
    os.kill(nats_server.process.pid, signal.SIGSTOP)
    await asyncio.to_thread(os.waitid, os.P_PID, nats_server.process.pid, os.WSTOPPED)  # it goes on for a moment
    try:
        with pytest.raises(Unreachable):
            await asyncio.wait_for(bus.publish(FactLearned(number=1), timeout=0.5), 30)
    finally:
        os.kill(nats_server.process.pid, signal.SIGCONT)
    await bus.publish(FactLearned(number=2), timeout=30)


async def test_a_connection_that_ends_while_it_is_made_is_made_again(nats_server, monkeypatch):
    """A server that dies between its welcome and our first step leaves nobody with a client that is closed for ever."""
    made: list[Client] = []

    class Hasty(Client):
        async def connect(self, *args: Any, **options: Any) -> None:
            await super().connect(*args, **options)
            made.append(self)
            if len(made) == 1:
                await self.close()

    monkeypatch.setattr("tandem.events.connection.Client", Hasty)
    connection = Connection(nats_server.access, "hasty")
    connection.start()
    client = await connection.client(30)
    assert client.is_connected and client is not made[0]
    await connection.close()


async def test_an_end_that_nobody_tells_of_is_noticed(nats_server, bus, monkeypatch, eventually):
    """A client that is closed without a word, as may happen when the server is killed, is replaced, its loss is told once,
    and whoever uses the connection goes on."""

    class Mute(Client):
        async def connect(self, *args: Any, closed_cb: Any = None, **options: Any) -> None:
            await super().connect(*args, **options)

    monkeypatch.setattr("tandem.events.connection.Client", Mute)
    mute = Bus(nats_server.access, "Mute")
    lost: list[Client] = []
    mute.connection.on_lost(lambda: lost.append(first))
    await mute.connect(30)
    first = await mute.connection.client()
    got: list[int] = []

    async def handle(event: FactLearned) -> None:
        got.append(event.number)

    await mute.subscribe(FactLearned, handle)
    await bus.publish(FactLearned(number=1), timeout=30)
    await eventually(lambda: got == [1])
    await first.close()
    await eventually(lambda: mute.connection.connects == 2)
    await bus.publish(FactLearned(number=2), timeout=30)
    await eventually(lambda: got == [1, 2])
    assert (await mute.connection.client(30)) is not first and lost == [first]
    await mute.close()


async def test_a_publish_waits_out_a_restart(nats_server, bus, reader, eventually, caplog):
    """A publish begun while the server restarts is stored once it is back; nothing is logged as a traceback."""
    got: list[int] = []

    async def handler(event: FactLearned) -> None:
        got.append(event.number)

    await reader.subscribe(FactLearned, handler)
    nats_server.kill()
    publishing = asyncio.create_task(bus.publish(FactLearned(number=5), timeout=60))
    await nats_server.start()
    await publishing
    await eventually(lambda: got == [5])
    assert "Traceback" not in caplog.text


async def test_acknowledged_events_survive_kill_9_under_load(nats_server, bus, reader, eventually, caplog):
    """Whatever a publish returned for reaches the subscriber once, through two kill -9 of the server under load."""
    got: list[int] = []
    acknowledged: list[int] = []

    async def handler(event: FactLearned) -> None:
        got.append(event.number)

    consumer = await reader.subscribe(FactLearned, handler, policy=ConsumerPolicy(window=64, ack_wait_s=1.0))

    async def produce(worker: int) -> None:
        for number in range(250):
            await bus.publish(FactLearned(number=worker * 1000 + number), timeout=60)
            acknowledged.append(worker * 1000 + number)

    load = asyncio.gather(*(produce(worker) for worker in range(4)))
    for limit in (200, 600):
        await eventually(lambda limit=limit: len(acknowledged) > limit)
        nats_server.kill()
        await nats_server.start()
    await load
    await eventually(lambda: set(acknowledged) <= set(got))
    assert sorted(got) == sorted(acknowledged)
    assert consumer.handled == 1000
    assert "Traceback" not in caplog.text

    async def settled() -> bool:
        info = await consumer.measure()
        return info is not None and info.num_pending == 0 and info.num_ack_pending == 0

    await eventually(settled)
    assert reader.health() == []


async def test_a_subscription_made_without_nats_covers_what_comes_later(nats_server, bus, eventually):
    """Subscribing while the server is away neither fails nor loses events published before it connects."""
    nats_server.kill()
    late = Bus(nats_server.access, "Late")
    await late.connect()
    got: list[int] = []

    async def handler(event: FactLearned) -> None:
        got.append(event.number)

    await late.subscribe(FactLearned, handler)
    await eventually(lambda: any("NATS" in issue.message for issue in late.health()))
    await nats_server.start()
    await bus.publish(FactLearned(number=1), timeout=60)
    await eventually(lambda: got == [1])
    assert late.health() == []
    await late.close()


async def test_a_deleted_consumer_is_made_again(bus, reader, eventually):
    """When somebody removes the consumer on the server the subscription restores itself."""
    got: list[int] = []

    async def handler(event: FactLearned) -> None:
        got.append(event.number)

    consumer = await reader.subscribe(FactLearned, handler)
    await bus.publish(FactLearned(number=1))
    await eventually(lambda: got == [1])
    await (await bus.connection.client()).jetstream().delete_consumer("EVENTS_ALL", consumer.name)
    await bus.publish(FactLearned(number=2))
    await eventually(lambda: 2 in got)


async def test_a_connection_outlives_missing_certificates(nats_server, tmp_path, eventually):
    """Unreadable files are told as the reason, and waiting for the connection ends within its time."""
    access = msgspec.structs.replace(nats_server.access, ca_file=str(tmp_path / "no-ca.pem"))
    connection = Connection(access, "Agent")
    connection.start()
    await eventually(lambda: connection.last_error != "")
    with pytest.raises(Unreachable, match="No such file"):
        await connection.client(1.0)
    assert not connection.connected
    await connection.close()
    await connection.close()
