"""The running conversation: its context, its sessions, and how it forgets."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from households import PC2, SERVICE, settled

from tandem.agent.testing import Member, fleet_of, virtual_time
from tandem.core.errors import NotFound
from tandem_agents.memory_services.contracts import MemoryStore, MemoryUpkeep, NewMemory
from tandem_agents.memory_system.contracts import Conversations, Interaction
from tandem_agents.memory_system.memory_client import MemoryClient
from tandem_agents.memory_system.session_memory_agent import SessionMemoryAgent, within_budget

CONVERSATION = (PC2, MemoryClient, SessionMemoryAgent)


def turn(number: int) -> Interaction:
    return Interaction(
        said=f"question {number}", answer=f"answer {number}", intent="question", turn=f"t{number}"
    )


@virtual_time
async def test_the_context_is_the_newest_turns_within_the_budget() -> None:
    """Turns come oldest first and as many as fit; nothing of another session."""
    async with fleet_of(*CONVERSATION) as fleet:
        conversations = fleet.peer(Conversations)
        for number in range(5):
            await conversations.add_interaction("main", turn(number))
        await conversations.add_interaction("other", turn(99))
        assert [t.said for t in await conversations.get_context("main", 12)] == ["question 3", "question 4"]
        assert len(await conversations.get_context("main")) == 5
        assert await conversations.get_context("unknown") == []


@virtual_time
async def test_a_conversation_survives_a_restart() -> None:
    """After a kill the recent turns are read back from the memory store."""
    async with fleet_of(*CONVERSATION) as fleet:
        for number in range(3):
            await fleet.peer(Conversations).add_interaction("main", turn(number))
        before = await fleet.peer(Conversations).get_context("main")
        await fleet.kill("SessionMemoryAgent")
        await fleet.start("SessionMemoryAgent")
        assert await fleet.peer(Conversations).get_context("main") == before


@virtual_time
async def test_a_stale_session_ends() -> None:
    """After half an hour of silence the next turn begins a new conversation; old turns stay searchable."""
    async with fleet_of(*CONVERSATION) as fleet:
        conversations = fleet.peer(Conversations)
        first = await conversations.add_interaction("main", turn(1))
        await asyncio.sleep(1801)
        assert await conversations.get_context("main") == []
        second = await conversations.add_interaction("main", turn(2))
        assert second.memory != first.memory
        assert [t.turn for t in await conversations.get_context("main")] == ["t2"]
        assert next(t.turn for t in await conversations.search_interactions("question 1", "main")) == "t1"


@virtual_time
async def test_turns_are_kept_while_pc2_is_away() -> None:
    """The running conversation does not need PC2."""
    async with fleet_of(*CONVERSATION) as fleet:
        await fleet.stop(SERVICE)
        await fleet.peer(Conversations).add_interaction("main", turn(1))
        assert [t.turn for t in await fleet.peer(Conversations).get_context("main")] == ["t1"]
        await fleet.start(SERVICE)
        await settled(fleet)
        assert (await fleet.peer(MemoryUpkeep).stats()).by_kind == {"session": 1, "turn": 1}


@virtual_time
async def test_forgetting_reaches_the_conversation() -> None:
    """Turns that mention what is to be forgotten leave context and store; a deleted session leaves nothing."""
    async with fleet_of(*CONVERSATION) as fleet:
        conversations = fleet.peer(Conversations)
        await conversations.add_interaction(
            "main", Interaction(said="the boiler code is 4711", answer="noted")
        )
        await conversations.add_interaction("main", turn(1))
        assert await conversations.forget_mentions("boiler codes") == 1
        assert await conversations.forget_mentions("the") == 0
        assert [t.turn for t in await conversations.get_context("main")] == ["t1"]
        assert await conversations.delete_session("main") == 2
        assert (await fleet.peer(MemoryUpkeep).stats()).memories == 0
        with pytest.raises(NotFound):
            await conversations.delete_session("main")


@virtual_time
async def test_forgetting_leaves_nothing_in_summaries_or_beyond_the_best_hits() -> None:
    """However many turns and summaries mention it, none is found afterwards; the others stay."""
    async with fleet_of(*CONVERSATION) as fleet:
        store, conversations = fleet.peer(MemoryStore), fleet.peer(Conversations)
        told = [NewMemory(content=f"the boiler code, told {n} times", kind="turn") for n in range(70)]
        gist = [NewMemory(content=f"said that {what}", kind="summary") for what in ("the boiler code is 4711", "tea is hot")]
        await store.batch_add_memories(told + gist)
        assert await conversations.forget_mentions("boiler code") == 71
        assert [memory.content for memory in await store.list_memories()] == ["said that tea is hot"]


def tear(state: Path) -> None:
    [file] = state.rglob("SessionMemoryAgent/sessions.json")
    file.write_bytes(file.read_bytes()[:-9])


@virtual_time
async def test_a_torn_list_of_sessions_only_opens_new_ones(tmp_path: Path) -> None:
    """The agent starts, and what was said before is still found."""
    async with fleet_of(*CONVERSATION, state=tmp_path) as fleet:
        await fleet.peer(Conversations).add_interaction("main", turn(1))
    tear(tmp_path)
    async with fleet_of(*CONVERSATION, state=tmp_path) as fleet:
        conversations = fleet.peer(Conversations)
        assert await conversations.get_context("main") == []
        assert [found.turn for found in await conversations.search_interactions("question")] == ["t1"]


@virtual_time
async def test_old_sessions_make_room() -> None:
    """The number of open sessions is bounded; the one silent longest goes first."""
    async with fleet_of(PC2, MemoryClient, Member(SessionMemoryAgent, max_sessions=2)) as fleet:
        conversations = fleet.peer(Conversations)
        for name in "abc":
            await conversations.add_interaction(name, turn(1))
            await asyncio.sleep(1)
        assert await conversations.get_context("a") == []
        assert len(await conversations.get_context("c")) == 1


def test_the_budget_never_cuts_a_turn() -> None:
    """A turn that does not fit ends the context; a budget of nothing gives nothing."""
    turns = [Interaction(said="x" * 400, answer=""), Interaction(said="short", answer="")]
    assert within_budget(turns, 50) == turns[1:]
    assert within_budget(turns, 0) == []
