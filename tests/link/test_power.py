"""Computers that lose power in the middle of their work, and come back in either order."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from rig import Computer, Operator, TwoComputers, eventually_async

from tandem.core.tasks import end

pytestmark = [pytest.mark.link, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    ("dead", "back"),
    [
        (["pc2"], ["pc2"]),
        (["mainpc"], ["mainpc"]),
        (["mainpc", "pc2"], ["pc2", "mainpc"]),
        (["pc2", "mainpc"], ["mainpc", "pc2"]),
    ],
    ids=["pc2", "mainpc", "both, pc2 back first", "both, mainpc back first"],
)
async def test_nothing_acknowledged_is_lost(rig: TwoComputers, dead: list[str], back: list[str]) -> None:
    """Everything on a computer is killed while both write to each other: what was acknowledged before is there after."""
    computers = {computer.machine: computer for computer in rig}
    mark = "-".join(["dead", *dead, "back", *back])
    noted: dict[str, list[str]] = {"mainpc": [], "pc2": []}
    told: list[str] = []
    async with AsyncExitStack() as stack:
        writers = []
        for computer in rig:
            operator = await stack.enter_async_context(computer.operator())
            writers.append(asyncio.create_task(_write(operator, mark, noted, told)))
        await eventually_async(lambda: _has_begun(noted, told), "the first writes")
        for machine in dead:
            await asyncio.to_thread(computers[machine].kill_everything)
        await asyncio.sleep(1)
        await end(*writers)
    for machine in back:
        said = await asyncio.to_thread(computers[machine].tandem, "up")
        assert said.status == 0, said.text
    await asyncio.to_thread(rig.await_link, "up")
    await asyncio.gather(*(_check(computer, mark, noted, told, dead) for computer in rig))


async def _write(operator: Operator, mark: str, noted: dict[str, list[str]], told: list[str]) -> None:
    """Write to the other computer and announce, as fast as it goes; remember what was acknowledged."""
    other = "pc2" if operator.machine == "mainpc" else "mainpc"
    for number in range(100_000):
        text = f"{mark}-{operator.machine}-{number}"
        outcome = await operator.twin(text, "note")
        if not outcome["error"]:
            noted[other].append(text)
        await operator.tell(text)
        told.append(f"{text}-0")


async def _has_begun(noted: dict[str, list[str]], told: list[str]) -> bool:
    return all(len(texts) >= 10 for texts in noted.values()) and len(told) >= 20


async def _check(
    computer: Computer, mark: str, noted: dict[str, list[str]], told: list[str], dead: list[str]
) -> None:
    async with computer.operator() as operator:
        notes = await operator.call(f"Talker@{computer.machine}", "notes")
        assert [text for text in noted[computer.machine] if text not in notes] == []

        async def has_heard_all() -> bool:
            return set(told) <= set(await operator.heard(mark))

        await eventually_async(has_heard_all, f"{computer.machine} to hear what was told")
        heard = await operator.heard(mark)
        if computer.machine not in dead:
            # Who died between handling an event and acknowledging it hears it again: at least once.
            assert len(heard) == len(set(heard))
        assert len(notes) == len(set(notes))
        await eventually_async(lambda: _reaches(operator), "a call across")


async def _reaches(operator: Operator) -> bool:
    return not (await operator.twin("again"))["error"]
