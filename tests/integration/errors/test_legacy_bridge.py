"""An old ZeroMQ error bus beside the new one, on real sockets: no error counts twice, none is missed."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import zmq
import zmq.asyncio
from ports import free_port

from tandem.core.errors import ConfigError
from tandem.core.ids import AgentId
from tandem.core.tasks import end
from tandem.errors import ErrorClient, ErrorReport, Receipt
from tandem.errors import legacy as legacy_module
from tandem.errors.desk import IncidentDesk
from tandem.errors.feed import ErrorFeed
from tandem.errors.legacy import BRIDGE, Phase
from tandem.events import Connection, Publisher, keep_streams
from tandem.hub import bridge as module
from tandem.hub.bridge import LegacyBridge, LegacyBus

pytestmark = pytest.mark.integration


class OldAgent:
    """Publishes errors as the first implementation did."""

    def __init__(self, port: int) -> None:
        self._context = zmq.asyncio.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.connect(f"tcp://127.0.0.1:{port}")

    async def tell(self, message: str) -> None:
        fields = {"error_type": "llm_unreachable", "message": message, "agent": "Chitchat"}
        await self._socket.send_string(f"ERROR:{json.dumps(fields)}")

    async def tell_until(self, message: str, heard: Callable[[], bool], eventually) -> None:
        """PUB drops what is sent before the subscription has arrived, so say it until it was heard."""

        async def said() -> bool:
            await self.tell(message)
            return heard()

        await eventually(said)

    def close(self) -> None:
        self._context.destroy(linger=0)


@pytest.fixture
async def world(nats_server, tmp_path, monkeypatch) -> AsyncIterator[dict]:
    """A hub's parts with the bridge, a modern agent and an old one."""
    monkeypatch.setattr(module, "LOOK_S", 0.05)
    connection = Connection(nats_server.access, "Hub")
    connection.start()
    streams = asyncio.create_task(keep_streams(connection, "mainpc"))
    publisher = Publisher(connection)
    relay = ErrorClient(AgentId.of(BRIDGE, "mainpc"), tmp_path / "relay", lambda: publisher)
    modern = ErrorClient(AgentId("Modern@mainpc"), tmp_path / "modern", lambda: publisher)
    relay.start()
    modern.start()
    desk = IncidentDesk(tmp_path / "i.db", {})
    await desk.open()
    bus = LegacyBus(port=free_port(), publish_port=free_port())
    bridge = LegacyBridge(bus, "mainpc", tmp_path, relay.submit)
    await bridge.start()
    feed = ErrorFeed(connection, publisher, AgentId("Hub@mainpc"))

    async def take(reports: list[ErrorReport]) -> None:
        await bridge.on_new(reports)
        await desk.take(reports)

    await feed.follow(take)
    old = OldAgent(bus.port)
    yield {"desk": desk, "bridge": bridge, "bus": bus, "modern": modern, "old": old}
    old.close()
    await bridge.close()
    await feed.close()
    for client in (relay, modern):
        await client.close()
    await desk.close()
    await end(streams)
    await connection.close()


async def counts(desk: IncidentDesk) -> dict[str, int]:
    found: dict[str, int] = {}
    for incident in await desk.incidents():
        for report in (await desk.show(incident.id)).reports:
            found[report.message] = found.get(report.message, 0) + 1
    return found


async def test_error_bus_counts_no_error_twice_on_both_transports(world, eventually) -> None:
    """Errors told on both buses, on one and on the other: each counts once, whichever way it came."""
    bridge, modern, old = world["bridge"], world["modern"], world["old"]
    await old.tell_until("hello", lambda: bridge.heard > 0, eventually)
    greetings = bridge.heard
    for word in ("red", "green", "blue"):
        modern.report("llm_unreachable", f"{word} on both")
        await old.tell(f"{word} on both")
    await old.tell("old bus only")
    modern.report("llm_unreachable", "new bus only")

    async def complete() -> bool:
        found = await counts(world["desk"])
        return len(found) == 6 and bridge.heard >= greetings + 4

    await eventually(complete)
    await asyncio.sleep(legacy_module.WINDOW_S / 2)  # a second copy was relayed before the last one and would have come
    found = await counts(world["desk"])
    assert found.pop("hello") <= greetings + 10
    assert found == {
        "red on both": 1, "green on both": 1, "blue on both": 1, "old bus only": 1, "new bus only": 1,
    }  # fmt: skip
    assert any("Chitchat@mainpc" in incident.agents for incident in await world["desk"].incidents())


async def test_old_readers_are_served_in_dual_only(world, eventually) -> None:
    """A SUB socket on the old bus hears new reports in phase dual, and nothing afterwards."""
    context = zmq.asyncio.Context()
    reader = context.socket(zmq.SUB)
    reader.connect(f"tcp://127.0.0.1:{world['bus'].publish_port}")
    reader.subscribe("ERROR:")

    async def hears() -> bool:
        world["modern"].report("T", "for old readers")
        return bool(await reader.poll(200))

    await eventually(hears)
    assert json.loads((await reader.recv_string()).removeprefix("ERROR:"))["message"] == "for old readers"
    await world["bridge"].migrate(Phase.NATS_ONLY)
    while await reader.poll(200):
        await reader.recv()
    heard = world["bridge"].heard
    await world["old"].tell_until("still heard", lambda: world["bridge"].heard > heard, eventually)
    assert not await reader.poll(200)
    context.destroy(linger=0)


async def test_off_closes_the_port_for_good(world, tmp_path: Path) -> None:
    """After the last phase nothing listens, also after a restart; a way back exists."""
    bus = world["bus"]
    await world["bridge"].migrate(Phase.OFF)
    again = LegacyBridge(bus, "mainpc", tmp_path, _refuse)
    await again.start()
    assert again.phase is Phase.OFF
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", bus.port)) != 0
    await again.migrate(Phase.DUAL)
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", bus.port)) == 0
    await again.close()


async def test_a_taken_port_is_named(world, tmp_path: Path) -> None:
    """A second bridge on the same port says which one, instead of hearing half."""
    other = LegacyBridge(world["bus"], "mainpc", tmp_path / "elsewhere", _refuse)
    with pytest.raises(ConfigError, match=str(world["bus"].port)):
        await other.start()


def _refuse(report: ErrorReport) -> Receipt:
    raise AssertionError(f"nothing was to be relayed: {report}")
