"""What ensuring the streams makes of those that are there."""

from __future__ import annotations

import pytest
from events_rig import FactLearned
from nats.js.api import DiscardPolicy, StorageType, StreamConfig, StreamSource

from tandem.events import DEAD_LETTERS, Bus, ensure_streams
from tandem.events.streams import DAY_S, DUPLICATE_WINDOW_S, PAIRS

pytestmark = pytest.mark.integration


async def test_ensuring_streams_again_keeps_their_messages(bus):
    """Creating the streams is idempotent, and changed limits are applied in place."""
    await bus.publish(FactLearned(number=1))
    client = await bus.connection.client()
    manager = client.jetstream()
    config = (await manager.stream_info("EVENTS_LOCAL")).config
    await manager.update_stream(config.evolve(max_age=600.0))
    await ensure_streams(client, "mainpc")
    info = await manager.stream_info("EVENTS_LOCAL")
    assert info.config.max_age == 7 * 86400.0
    assert info.state.messages == 1


async def test_streams_of_an_earlier_release_are_brought_up_to_date(nats_server, eventually, caplog):
    """What can be changed of a stream is, though what cannot differs as well; its messages and a reader's place in it stay,
    and the next time there is nothing to do."""
    bus = Bus(nats_server.access, "Writer")
    await bus.connect(20)
    client = await bus.connection.client()
    manager = client.jetstream()
    for former in former_streams():
        await manager.add_stream(former)
    await bus.publish(FactLearned(number=1))

    async def is_copied() -> bool:
        return (await manager.stream_info("EVENTS_ALL")).state.messages == 1

    await eventually(is_copied)
    reader = await manager.pull_subscribe("event.>", durable="reader", stream="EVENTS_ALL")
    for message in await reader.fetch(1, timeout=30):
        await message.ack_sync()

    await ensure_streams(client, "mainpc", ["pc2"])
    for pair in PAIRS:
        for name in (pair.local, pair.all):
            found = (await manager.stream_info(name)).config
            assert (found.max_bytes, found.max_age) == (pair.max_bytes, pair.max_age_s)
            assert (found.duplicate_window, found.discard) == (DUPLICATE_WINDOW_S, DiscardPolicy.OLD)
            assert (found.storage, found.persist_mode) == (StorageType.FILE, None)
            apis = {source.external.api for source in found.sources or [] if source.external}
            assert apis == ({"$JS.pc2.API"} if name == pair.all else set())
    assert (await manager.stream_info(DEAD_LETTERS)).config.max_age == 30 * DAY_S
    assert (await manager.stream_info("EVENTS_ALL")).state.messages == 1
    assert (await manager.consumer_info("EVENTS_ALL", "reader")).num_pending == 0
    caplog.clear()
    with caplog.at_level("INFO", "tandem.events"):
        await ensure_streams(client, "mainpc", ["pc2"])
    assert "updating" not in caplog.text
    await bus.close()


async def test_a_setting_that_is_also_the_servers_default_is_brought_back(bus):
    """What is wanted counts, whether or not a new stream would have it without a word."""
    client = await bus.connection.client()
    manager = client.jetstream()
    existing = (await manager.stream_info("EVENTS_LOCAL")).config
    await manager.update_stream(existing.evolve(discard=DiscardPolicy.NEW))
    await ensure_streams(client, "mainpc")
    assert (await manager.stream_info("EVENTS_LOCAL")).config.discard == DiscardPolicy.OLD


def former_streams() -> list[StreamConfig]:
    """This machine's streams as another release may have made them: other limits, no links, all of it written through."""
    other = {"max_bytes": 8 * 2**20, "max_age": 60.0, "duplicate_window": 10.0, "discard": DiscardPolicy.NEW}
    return [
        *(StreamConfig(name=pair.local, subjects=[f"{pair.prefix}.mainpc.>"], **other) for pair in PAIRS),
        *(StreamConfig(name=pair.all, sources=[StreamSource(name=pair.local)], **other) for pair in PAIRS),
        StreamConfig(name=DEAD_LETTERS, subjects=["dead.mainpc.>"], **other),
    ]
