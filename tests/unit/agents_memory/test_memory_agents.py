"""The memory service, and MainPC's gateway to it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from households import PC2, SERVICE, settled
from numpy.typing import NDArray

from tandem.agent.testing import Member, fleet_of, virtual_time
from tandem.core.errors import NotFound, Unavailable, Unreachable
from tandem_agents.memory_services.contracts import Change, Found, Link, MemoryStore, MemoryUpkeep, NewMemory
from tandem_agents.memory_services.memory_orchestrator_service import MemoryOrchestratorService
from tandem_agents.memory_system.contracts import MemoryGateway
from tandem_agents.memory_system.memory_client import MemoryClient


class TinyEmbedder:
    """Two dimensions: how much a text is about plants, and how much about secrets."""

    name, dimensions = "tiny", 2

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        raw = [
            [1.0 + ("flower" in t or "orchid" in t) * 9, 1.0 + ("code" in t or "secret" in t) * 9]
            for t in texts
        ]
        vectors = np.array(raw, dtype=np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    async def close(self) -> None:
        return


class Meaningful(MemoryOrchestratorService):
    """A service with a made-up embedding model."""

    async def open_embedder(self) -> TinyEmbedder:
        return TinyEmbedder()


class Modelless(MemoryOrchestratorService):
    """A service whose model was never fetched."""

    async def open_embedder(self) -> TinyEmbedder:
        raise Unavailable("the model minilm is not on this computer", hint="tandem models fetch minilm")


def contents(found: Found) -> list[str]:
    return [hit.memory.content for hit in found.hits]


@virtual_time
async def test_every_operation_of_the_store_works_by_peer() -> None:
    """Sessions, batches, links, groups, changes and deletion work through the wire with their types."""
    async with fleet_of(PC2) as fleet:
        store = fleet.peer(MemoryStore)
        session = await store.create_session("main")
        a, b = await store.batch_add_memories(
            [NewMemory(content="tea", parent=session.id), NewMemory(content="milk")]
        )
        assert await store.get_children(session.id) == [a]
        assert await store.batch_get_memories([b.id, "nobody", a.id]) == [b, a]
        await store.add_relationship(Link(a.id, b.id))
        assert [related.memory.id for related in await store.get_related(b.id)] == [a.id]
        await store.create_context_group("drinks")
        assert await store.add_to_group("drinks", a.id) == 1
        assert await store.get_memories_by_group("drinks") == [a]
        assert (await store.update_memory(b.id, Change(importance=0.2))).importance == 0.2
        assert (await store.reinforce_memory(b.id, 0.3)).importance == 0.5
        assert contents(await store.search_memory("teas")) == ["tea"]
        assert await store.delete_memory(session.id) == 2
        with pytest.raises(NotFound):
            await store.get_memory(a.id)


@virtual_time
async def test_memories_survive_a_kill() -> None:
    """What was acknowledged is there after kill -9 and restart."""
    async with fleet_of(PC2) as fleet:
        stored = await fleet.peer(MemoryStore).add_memory(NewMemory(content="tea"))
        await fleet.kill(SERVICE)
        await fleet.start(SERVICE)
        assert await fleet.peer(MemoryStore).get_memory(stored.id) == stored


@virtual_time
async def test_upkeep_happens_every_hour() -> None:
    """After a day the importance has faded by ten percent, without anybody asking."""
    async with fleet_of(PC2) as fleet:
        stored = await fleet.peer(MemoryStore).add_memory(NewMemory(content="tea", importance=0.9))
        await asyncio.sleep(24 * 3600 + 60)
        assert (await fleet.peer(MemoryStore).get_memory(stored.id)).importance == pytest.approx(
            0.81, abs=0.01
        )


@virtual_time
async def test_with_a_model_meaning_is_found() -> None:
    """New memories get their vector beside the work; then a query finds what shares no word with it."""
    async with fleet_of(Member(Meaningful, name=SERVICE)) as fleet:
        store = fleet.peer(MemoryStore)
        await store.batch_add_memories(
            [NewMemory(content="Anna likes orchids"), NewMemory(content="the code is 4711")]
        )
        await asyncio.sleep(1)
        found = await store.semantic_search("flower", limit=1)
        assert (contents(found), found.note) == (["Anna likes orchids"], "")
        assert contents(await store.recall("secret", limit=1)) == ["the code is 4711"]
        assert (await fleet.peer(MemoryUpkeep).stats()).without_vector == 0
        assert fleet.agent(Meaningful, SERVICE).capabilities == ["words", "meaning"]
        await store.update_memory(found.hits[0].memory.id, Change(content="Anna likes codes"))
        await asyncio.sleep(1)
        assert (await fleet.peer(MemoryUpkeep).stats()).without_vector == 0


@virtual_time
async def test_without_a_model_it_says_so() -> None:
    """Missing embeddings degrade the service, name the mend, and each answer by meaning admits it."""
    async with fleet_of(Member(Modelless, name=SERVICE)) as fleet:
        store = fleet.peer(MemoryStore)
        await store.add_memory(NewMemory(content="Anna likes orchids"))
        await asyncio.sleep(1)
        found = await store.semantic_search("orchids")
        assert contents(found) == ["Anna likes orchids"]
        assert "words only" in found.note
        [issue] = await fleet.agent(Modelless, SERVICE).check()
        assert (issue.fix, issue.blocking) == ("tandem models fetch minilm", False)


GATEWAY = (PC2, MemoryClient)


@virtual_time
async def test_the_gateway_relays() -> None:
    """Through the gateway a memory is in the store at once, and nobody holds it for PC2."""
    async with fleet_of(*GATEWAY) as fleet:
        gateway = fleet.peer(MemoryStore, "MemoryClient")
        stored = await gateway.add_memory(NewMemory(content="tea"))
        assert stored.held_by == ""
        assert await fleet.peer(MemoryStore).get_memory(stored.id) == stored
        assert contents(await gateway.search_memory("tea")) == ["tea"]
        group = await gateway.create_context_group("drinks")
        assert await gateway.add_to_group(group.id, stored.id) == 1
        assert [memory.id for memory in await gateway.get_memories_by_group("drinks")] == [stored.id]


@virtual_time
async def test_while_pc2_is_away_changes_wait_here_and_arrive_in_order() -> None:
    """Memories told while the store is down say where they are, are found meanwhile, and are handed over afterwards."""
    async with fleet_of(*GATEWAY) as fleet:
        await fleet.stop(SERVICE)
        gateway = fleet.peer(MemoryStore, "MemoryClient")
        session = await gateway.create_session("main", "session-id")
        stored = await gateway.add_memory(
            NewMemory(content="the code is 1", kind="fact", subject="code", value="1", parent=session.id)
        )
        await gateway.update_memory(stored.id, Change(content="the code is 2", value="2"))
        await gateway.reinforce_memory(stored.id, 0.2)
        assert stored.held_by == "mainpc"
        assert contents(await gateway.recall("code", "same")) == ["the code is 2"]
        assert "away" in (await gateway.search_memory("code")).note
        assert (await gateway.get_memory(stored.id)).value == "2"
        assert len(list(await fleet.agent(MemoryClient).check())) == 1
        await fleet.start(SERVICE)
        await settled(fleet)
        arrived = await fleet.peer(MemoryStore).get_memory(stored.id)
        assert (arrived.content, arrived.importance, arrived.parent) == ("the code is 2", 0.7, "session-id")
        assert not list(await fleet.agent(MemoryClient).check())


@virtual_time
async def test_what_waits_survives_a_kill_of_the_gateway() -> None:
    """Both machines' processes die; what was acknowledged arrives all the same."""
    async with fleet_of(*GATEWAY) as fleet:
        await fleet.kill(SERVICE)
        stored = await fleet.peer(MemoryStore, "MemoryClient").add_memory(NewMemory(content="tea"))
        await fleet.kill("MemoryClient")
        await fleet.start("MemoryClient")
        assert (await fleet.peer(MemoryGateway).status()).waiting == 1
        await fleet.start(SERVICE)
        await settled(fleet)
        assert (await fleet.peer(MemoryStore).get_memory(stored.id)).content == "tea"


@virtual_time
async def test_facts_can_be_recalled_without_pc2() -> None:
    """What was remembered while PC2 was there is still known here when it is not."""
    async with fleet_of(*GATEWAY) as fleet:
        gateway = fleet.peer(MemoryStore, "MemoryClient")
        await gateway.add_memory(NewMemory(content="the code is 1", kind="fact", subject="code", value="1"))
        await fleet.stop(SERVICE)
        found = await gateway.recall("code", "same")
        assert contents(found) == ["the code is 1"]
        assert found.note


@virtual_time
async def test_the_copy_follows_the_store() -> None:
    """Facts told or forgotten elsewhere reach MainPC's copy within ten minutes."""
    async with fleet_of(*GATEWAY) as fleet:
        store, gateway = fleet.peer(MemoryStore), fleet.peer(MemoryStore, "MemoryClient")
        old = await gateway.add_memory(NewMemory(content="old thing", kind="note"))
        changed = await gateway.add_memory(
            NewMemory(content="colour is red", kind="fact", subject="colour", value="red")
        )
        await store.delete_memory(old.id)
        await store.update_memory(changed.id, Change(content="colour is blue", value="blue"))
        await store.add_memory(NewMemory(content="new thing", kind="note"))
        await asyncio.sleep(601)
        await fleet.stop(SERVICE)
        assert contents(await gateway.recall("thing")) == ["new thing"]
        assert contents(await gateway.recall("colour")) == ["colour is blue"]


@virtual_time
async def test_a_full_disk_here_does_not_deny_what_the_store_has() -> None:
    """What pc2 stored or deleted is acknowledged though the copy here cannot follow; health says so until it does."""
    async with fleet_of(*GATEWAY) as fleet:
        gateway, client = fleet.peer(MemoryStore, "MemoryClient"), fleet.agent(MemoryClient)
        limited = client._copy.database.rows
        pages = limited("PRAGMA page_count")[0][0]
        limited(f"PRAGMA max_page_count={pages}")
        story = NewMemory(content="word " * 10_000, kind="note")
        stored = await gateway.add_memory(story)
        assert stored.held_by == ""
        assert (await fleet.peer(MemoryStore).get_memory(stored.id)).content == story.content
        assert "out of date: the disk is full" in next(iter(await client.check())).message
        limited("PRAGMA max_page_count=100000")
        await asyncio.sleep(601)
        assert not list(await client.check())
        await fleet.stop(SERVICE)
        assert (await gateway.get_memory(stored.id)).content == story.content


@virtual_time
async def test_what_only_pc2_knows_is_unreachable_not_unknown() -> None:
    """While PC2 is away, a memory that is not held here is not denied."""
    async with fleet_of(*GATEWAY) as fleet:
        stored = await fleet.peer(MemoryStore).add_memory(NewMemory(content="elsewhere"))
        await fleet.stop(SERVICE)
        gateway = fleet.peer(MemoryStore, "MemoryClient")
        with pytest.raises(Unreachable):
            await gateway.get_memory(stored.id)
        with pytest.raises(Unreachable):
            await gateway.get_memories_by_group("drinks")
        assert await gateway.delete_memory(stored.id) == 0
        await fleet.start(SERVICE)
        await settled(fleet)
        with pytest.raises(NotFound):
            await fleet.peer(MemoryStore).get_memory(stored.id)


@virtual_time
async def test_a_change_the_store_refuses_is_set_aside_and_shown() -> None:
    """One impossible change does not block those behind it, and is not lost silently."""
    async with fleet_of(*GATEWAY) as fleet:
        gateway = fleet.peer(MemoryStore, "MemoryClient")
        await fleet.stop(SERVICE)
        await gateway.add_relationship(Link("nobody", "no one"))
        stored = await gateway.add_memory(NewMemory(content="tea"))
        await fleet.start(SERVICE)
        await settled(fleet)
        assert (await fleet.peer(MemoryGateway).reset_circuit_breaker()).refused == 1
        assert (await fleet.peer(MemoryStore).get_memory(stored.id)).content == "tea"
        assert len(list(await fleet.agent(MemoryClient).check())) == 1


@virtual_time
async def test_a_damaged_store_keeps_the_agent_from_lying(tmp_path: Path) -> None:
    """A file that is no database stops the start with its name, instead of beginning with an empty memory."""
    place = tmp_path / "pc2" / SERVICE
    place.mkdir(parents=True)
    (place / "memory.db").write_bytes(b"garbage" * 1000)
    with pytest.raises(Exception, match="is damaged"):
        async with fleet_of(PC2, state=tmp_path):
            pass
