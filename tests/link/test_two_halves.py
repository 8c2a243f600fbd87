"""The household's own memory, timers and tasks while the cable between its two computers is out."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from household import eventually
from rig import Computer, Operator, TwoComputers, eventually_async, two_computers

from tandem.core.tasks import end

pytestmark = [pytest.mark.link, pytest.mark.timeout(300)]

HALVES = """
fleet: halves
front_door: RequestCoordinator
package: tandem_agents
machines:
  mainpc: {host: "${MAINPC_IP}"}
  pc2: {host: "${PC2_IP}"}
groups:
  core_services:
    machine: mainpc
    agents:
      ServiceRegistry: {port: 7200}
      SystemDigitalTwin: {port: 7220, needs: [ServiceRegistry]}
      RequestCoordinator: {port: 26002, needs: [SystemDigitalTwin]}
  memory_system:
    machine: mainpc
    agents:
      MemoryClient: {port: 5713, needs: [SystemDigitalTwin], wants: [MemoryOrchestratorService]}
      SessionMemoryAgent: {port: 5574, needs: [RequestCoordinator, MemoryClient]}
  language_processing:
    machine: mainpc
    agents:
      NLUAgent: {port: 5709, needs: [SystemDigitalTwin]}
  audio_interface:
    machine: mainpc
    agents:
      StreamingLanguageAnalyzer: {port: 5579}
  memory_services:
    machine: pc2
    agents:
      MemoryOrchestratorService: {port: 7140, settings: {embeddings: none}}
  infrastructure:
    machine: pc2
    agents:
      AsyncProcessor: {port: 7101}
      TaskScheduler: {port: 7115, needs: [AsyncProcessor]}
"""

_tags = itertools.count()
HELD_AT_LEAST = 20
"""Memories written while the cable is out."""


@pytest.fixture(scope="module")
def halves(namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoComputers]:
    """Both computers up, with the agents that remember and ring, and no models."""
    with two_computers(tmp_path_factory.mktemp("halves"), HALVES) as rig:
        rig.up()
        rig.await_link("up")
        eventually(lambda: rig.mainpc.agent("MemoryClient")["state"] == "healthy", "MemoryClient to be healthy")
        yield rig


class Notes:
    """Somebody who writes one note after the other; ``kept`` those that were acknowledged."""

    def __init__(self, operator: Operator):
        self.kept: list[str] = []
        self.held_here = 0
        self.tag = f"notes-{next(_tags)}"
        self._operator = operator

    async def write(self) -> None:
        for number in range(100_000):
            content = f"note {number} of {self.tag}"
            memory = {"content": content, "kind": "note", "tags": [self.tag]}
            answer = await self._operator.ask("MemoryClient", "add_memory", memory=memory)
            if "result" in answer:
                self.kept.append(content)
                self.held_here += answer["result"]["held_by"] == "mainpc"

    @contextlib.asynccontextmanager
    async def being_written(self) -> AsyncIterator[None]:
        writing = asyncio.create_task(self.write())
        try:
            yield
        finally:
            await end(writing)

    async def await_more(self, count: int) -> None:
        wanted = len(self.kept) + count

        async def are_kept() -> bool:
            return len(self.kept) >= wanted

        await eventually_async(are_kept, f"{count} more notes")


async def test_memory_is_held_here_and_arrives_there_once(halves: TwoComputers) -> None:
    """Notes and turns written before, during and after a cut are all on pc2 in the end, each once; meanwhile what is known
    here is told, with the remark that pc2 is away."""
    async with halves.operators() as (here, there):
        halves.mainpc.ask("remember that the boiler code is 4711")
        session = await here.call("SessionMemoryAgent", "create_session", name="cut")
        notes = Notes(here)
        async with notes.being_written():
            await notes.await_more(HELD_AT_LEAST)
            halves.wire.tell("cut")
            await notes.await_more(HELD_AT_LEAST)
            await asyncio.to_thread(halves.await_link, "cut")
            for number in range(HELD_AT_LEAST):
                turn = {"said": f"question {number}", "answer": f"answer {number}"}
                await here.call("SessionMemoryAgent", "add_interaction", session="cut", interaction=turn)
            found = await here.call("MemoryClient", "recall", subject="boiler code")
            assert "4711" in found["hits"][0]["memory"]["content"] and "pc2 is away" in found["note"]
            status = await here.call("MemoryClient", "status")
            assert status["waiting"] > 0 and status["away"]
            await eventually_async(lambda: says(halves.mainpc, "MemoryClient", "memory on pc2 is away"), "the issue")
            halves.wire.tell("heal")
            await notes.await_more(HELD_AT_LEAST)
        assert notes.held_here >= HELD_AT_LEAST
        await is_handed_over(here)
        await have_arrived(notes, there)
        turns = await there.call("MemoryOrchestratorService", "get_children", memory_id=session["memory"], limit=1000)
        assert len(turns) == HELD_AT_LEAST
        assert len({turn["content"] for turn in turns}) == HELD_AT_LEAST
        await eventually_async(lambda: says(halves.mainpc, "MemoryClient", ""), "MemoryClient to be content")


async def test_what_is_held_here_survives_a_power_loss(halves: TwoComputers) -> None:
    """Notes acknowledged on mainpc while the cable is out are on pc2 in the end, each once, although mainpc lost its power
    before the cable was back."""
    async with halves.mainpc.operator() as here:
        halves.wire.tell("cut")
        await asyncio.to_thread(halves.await_link, "cut")
        notes = Notes(here)
        async with notes.being_written():
            await notes.await_more(HELD_AT_LEAST)
            await asyncio.to_thread(halves.mainpc.kill_everything)
    assert notes.held_here >= HELD_AT_LEAST
    said = await asyncio.to_thread(halves.mainpc.tandem, "up")
    assert said.status == 0, said.text
    halves.wire.tell("heal")
    halves.await_link("up")
    async with halves.operators() as (here, there):
        await is_handed_over(here)
        await have_arrived(notes, there)


async def test_timers_ring_here_once_and_tasks_go_on_there(halves: TwoComputers) -> None:
    """Of two timers, one set before the cut and one during it, each rings on mainpc in its time and once, also after both
    books agree again; a task given to pc2 meanwhile is done there."""
    async with halves.operators() as (here, there):
        halves.mainpc.ask("set a rice timer for 15 seconds")

        async def pc2_knows_it() -> bool:
            return "rice" in [alarm["label"] for alarm in await book(there)]

        await eventually_async(pc2_knows_it, "pc2 to know the timer")
        halves.wire.tell("cut")
        await asyncio.to_thread(halves.await_link, "cut")
        halves.mainpc.ask("set a tea timer for 2 seconds")
        task = await there.call("TaskScheduler", "schedule_task", kind="logging", data={"text": "meanwhile"})
        for label in ("rice", "tea"):
            await eventually_async(lambda label=label: has_rung(halves.mainpc, label), f"the {label} timer")
        assert halves.mainpc.link()["state"] == "cut", "the timers were to ring during the cut"

        async def is_done() -> bool:
            return (await there.call("TaskScheduler", "get_task", task_id=task["id"]))["state"] == "done"

        await eventually_async(is_done, "the task on pc2")
        halves.wire.tell("heal")
        halves.await_link("up")

        async def books_agree() -> bool:
            rung = [alarm["label"] for alarm in await book(there) if alarm["state"] == "rung"]
            return {"rice", "tea"} <= set(rung)

        await eventually_async(books_agree, "both books to agree")
        await eventually_async(lambda: says(halves.mainpc, "RequestCoordinator", ""), "RequestCoordinator to be content")
        assert [await rings(halves.mainpc, label) for label in ("rice", "tea")] == [1, 1]
        assert await here.call("RequestCoordinator", "list_alarms") == []


async def is_handed_over(here: Operator) -> None:
    """Wait until nothing is held on mainpc any more; nothing of it may have been refused."""

    async def nothing_waits() -> bool:
        return (await here.call("MemoryClient", "status"))["waiting"] == 0

    await eventually_async(nothing_waits, "everything to be handed over")
    assert (await here.call("MemoryClient", "status"))["refused"] == 0


async def have_arrived(notes: Notes, there: Operator) -> None:
    """What was acknowledged is in the store once; what was not may be."""
    stored = await there.call("MemoryOrchestratorService", "list_memories", kind="note", tag=notes.tag, limit=10_000)
    arrived = Counter(memory["content"] for memory in stored)
    assert [content for content in notes.kept if arrived[content] != 1] == []
    assert set(arrived.values()) == {1}


async def book(operator: Operator) -> list[dict[str, Any]]:
    """Every alarm pc2's scheduler knows."""
    alarms = await operator.call("TaskScheduler", "merge_alarms", alarms=[])
    assert isinstance(alarms, list)
    return alarms


async def rings(computer: Computer, label: str) -> int:
    lines = await asyncio.to_thread(computer.logs, "RequestCoordinator", "--grep", rf"rang, heard by .*{label}")
    return len(lines)


async def has_rung(computer: Computer, label: str) -> bool:
    return await rings(computer, label) > 0


async def says(computer: Computer, agent: str, issue: str) -> bool:
    """Whether an agent has an issue with these words; no words: whether it has none at all."""
    row = await asyncio.to_thread(computer.agent, agent)
    return any(issue in found for found in row["issues"]) if issue else row["state"] == "healthy" and not row["issues"]
