"""Two machines' nats-servers as hub and leaf."""

from __future__ import annotations

import asyncio
import os

import nats.errors
import pytest
from nats.aio.client import Client
from nats.js.api import StreamConfig

from tandem.events.streams import ensure_streams
from tandem.infra import Hub, Leaf, nats_state, reload
from tandem.infra.probe import http_get

pytestmark = pytest.mark.integration


async def stored(client: Client, stream: str) -> list[bytes]:
    """Every message of a stream, in order."""
    state = (await client.jetstream().stream_info(stream)).state
    wanted = range(state.first_seq or 1, state.last_seq + 1)
    return [(await client.jetstream().get_msg(stream, seq)).data or b"" for seq in wanted]


async def test_events_reach_the_other_machine_in_both_directions(pair, eventually) -> None:
    """With the leaf's restricted rights each side's events arrive on the other, exactly once, and stay typed by origin."""
    hub, leaf = await pair.hub.nats(), await pair.leaf.nats()
    await asyncio.gather(
        ensure_streams(hub, "mainpc", ["pc2"]),
        ensure_streams(leaf, "pc2", ["mainpc"]),
    )
    for number in range(20):
        await hub.jetstream().publish("event.mainpc.n", b"m%d" % number)
        await leaf.jetstream().publish("event.pc2.n", b"p%d" % number)
    expected = sorted([b"m%d" % n for n in range(20)] + [b"p%d" % n for n in range(20)])

    async def complete() -> bool:
        return [sorted(await stored(side, "EVENTS_ALL")) for side in (hub, leaf)] == [expected, expected]

    await eventually(complete)
    assert await stored(hub, "EVENTS_LOCAL") == [b"m%d" % n for n in range(20)]
    assert await stored(leaf, "EVENTS_LOCAL") == [b"p%d" % n for n in range(20)]


async def test_a_leaf_cannot_speak_for_another_machine(pair, eventually, settle) -> None:
    """Even pc2's node, which may say anything at home, cannot put words in mainpc's mouth across the link."""
    speaking, listening = await pair.leaf.nats(), await pair.hub.nats()
    heard: list[str] = []

    async def note(message) -> None:
        heard.append(message.subject)

    for subjects in ("event.>", "errors.>", "presence.>", "epoch.*", "$KV.>"):
        await listening.subscribe(subjects, cb=note)
    await settle(listening)
    true = ["event.pc2.x", "errors.pc2.A.info", "epoch.pc2"]
    forged = ["event.mainpc.x", "errors.mainpc.A.info", "epoch.mainpc", "$KV.leases_mainpc.A"]

    async def all_true_ones_came() -> bool:
        # Interest in a subject crosses the link on its own time, hence again and again.
        for subject in (*forged, *true):
            await speaking.publish(subject, b"")
        await settle(speaking)
        return set(true) <= set(heard)

    await eventually(all_true_ones_came)
    assert not set(forged) & set(heard)


async def test_a_leaf_cannot_change_the_hubs_streams(pair) -> None:
    """Through its link pc2's node can read mainpc's streams, but not create, purge or delete any."""
    hub, leaf = await pair.hub.nats(), await pair.leaf.nats()
    await hub.jetstream().add_stream(StreamConfig(name="KEPT", subjects=["event.mainpc.>"]))
    await hub.jetstream().publish("event.mainpc.x", b"1")
    assert (await leaf.jetstream(domain="mainpc", timeout=60).stream_info("KEPT")).state.messages == 1
    remote = leaf.jetstream(domain="mainpc", timeout=2)
    for attempt in (
        remote.delete_stream("KEPT"),
        remote.purge_stream("KEPT"),
        remote.add_stream(StreamConfig(name="NEW", subjects=["event.pc2.new"])),
    ):
        with pytest.raises((nats.errors.Error, TimeoutError)):
            await attempt
    assert (await hub.jetstream().stream_info("KEPT")).state.messages == 1
    assert (await hub.jetstream().account_info()).streams == 1


async def test_a_revocation_crosses_the_link_both_ways(pair, eventually, settle) -> None:
    """What a node announces on its epoch subject is heard by agents of the other machine."""
    for here, there in ((pair.hub, pair.leaf), (pair.leaf, pair.hub)):
        node, agent = await here.nats(), await there.nats("Alpha")
        heard: list[bytes] = []

        async def note(message, heard: list[bytes] = heard) -> None:
            heard.append(message.data)

        await agent.subscribe("epoch.*", cb=note)
        await settle(agent)

        async def arrived(here=here, node=node, heard: list[bytes] = heard) -> bool:
            await node.publish(f"epoch.{here.name}", b"A@mainpc 1")
            await settle(node)
            return bool(heard)

        await eventually(arrived)
        assert set(heard) == {b"A@mainpc 1"}


@pytest.mark.parametrize("victim", ["hub", "leaf"])
async def test_the_link_comes_back_after_sigkill(pair, eventually, victim: str) -> None:
    """Whichever side is killed, the leaf links again by itself once both run."""
    servers = getattr(pair, victim)
    servers.kill("nats")
    await servers.start("nats")
    await eventually(pair.linked)


@pytest.mark.timeout(240)
async def test_what_was_acknowledged_while_the_link_was_down_arrives(pair, eventually) -> None:
    """Messages acknowledged by the leaf while the hub is dead, then killed itself, reach the hub afterwards."""
    hub, leaf = await pair.hub.nats(), await pair.leaf.nats()
    await ensure_streams(hub, "mainpc", ["pc2"])
    await ensure_streams(leaf, "pc2", ["mainpc"])
    await leaf.jetstream().publish("event.pc2.n", b"before")

    async def arrived() -> bool:
        return await stored(hub, "EVENTS_ALL") == [b"before"]

    await eventually(arrived)
    await hub.close()
    pair.hub.kill("nats")
    for number in range(200):
        await leaf.jetstream().publish("event.pc2.n", b"%d" % number)
    pair.leaf.kill("nats")
    await asyncio.gather(pair.hub.start("nats"), pair.leaf.start("nats"))
    again = await pair.hub.nats()

    async def complete() -> bool:
        return (await again.jetstream().stream_info("EVENTS_ALL")).state.messages >= 201

    await eventually(complete, 100)
    assert await stored(again, "EVENTS_ALL") == [b"before", *(b"%d" % n for n in range(200))]


async def test_a_machine_that_joins_later_needs_no_restart_of_the_hub(
    make_servers, authority, eventually
) -> None:
    """A hub without leaves takes one up by a reload; until then the newcomer's link is refused."""
    hub = make_servers("mainpc", link=Hub({}))
    await hub.start("nats")
    probe = hub.specs()["nats"].probe
    started = (await nats_state(probe)).start
    authority.machine("pc2")
    leaf = make_servers("pc2", link=Leaf("mainpc", "127.0.0.1", hub.ports.leaf))
    await leaf.start("nats")

    async def refused() -> bool:
        return "authentication error" in hub.log("nats").read_text()

    async def linked() -> bool:
        return b'"leafnodes": 1' in (await http_get(hub.ports.monitor, "/leafz"))[1]

    await eventually(refused)
    assert not await linked()
    hub.link = Hub({"pc2": [authority.record("pc2").leaf]})
    await reload(hub.specs()["nats"], hub.processes["nats"].pid)
    await eventually(linked)
    assert (await nats_state(probe)).start == started


async def test_the_leaf_seed_is_in_one_private_file(pair) -> None:
    """The seed of the link is in a 0400 file, not in the configuration, nor in argv or the environment."""
    seed = pair.leaf.machine.nkey("leaf").seed.decode()
    holders = [path for path in pair.leaf.dirs.root.rglob("*.conf") if seed in path.read_text()]
    assert [path.name for path in holders] == ["leaf-seed.conf"]
    assert holders[0].stat().st_mode & 0o777 == 0o400


@pytest.mark.timeout(240)
async def test_a_copy_that_lost_its_end_gets_it_again(pair, eventually) -> None:
    """After a power loss the copy may end before what its consumers had and before the position noted for its source:
    it is filled from the origin again, and what is missing is delivered again."""
    hub, leaf = await pair.hub.nats(), await pair.leaf.nats()
    await ensure_streams(hub, "mainpc", ["pc2"])
    await ensure_streams(leaf, "pc2", ["mainpc"])
    told = [b"%d" % number for number in range(100)]
    for text in told:
        await leaf.jetstream().publish("event.pc2.n", text)

    async def is_whole() -> bool:
        return (await hub.jetstream().stream_info("EVENTS_ALL")).state.messages == len(told)

    await eventually(is_whole)
    assert await _consume(hub, len(told)) == told
    await hub.close()
    pair.hub.processes["nats"].terminate()  # in order, so that every position is noted
    await asyncio.to_thread(pair.hub.processes["nats"].wait)
    [block] = pair.hub.dirs.nats.glob("jetstream/*/streams/EVENTS_ALL/msgs/*.blk")
    os.truncate(block, block.stat().st_size // 2)
    await pair.hub.start("nats")
    hub = await pair.hub.nats()
    await eventually(is_whole)
    again = await _consume(hub, 1)
    lost = told[told.index(again[0]) :]
    assert 40 < len(lost) < 60
    assert again + await _consume(hub, len(lost) - 1) == lost


async def _consume(client: Client, count: int) -> list[bytes]:
    """Take and acknowledge ``count`` events under a name that keeps its position."""
    subscription = await client.jetstream().pull_subscribe("event.>", durable="reader", stream="EVENTS_ALL")
    taken: list[bytes] = []
    while len(taken) < count:
        for message in await subscription.fetch(count - len(taken), timeout=60):
            await message.ack_sync()
            taken.append(message.data)
    await subscription.unsubscribe()
    return taken
