"""Two computers that work as one fleet, and a cable that fails between them."""

from __future__ import annotations

import asyncio
import json

import pytest
from rig import Operator, TwoComputers, eventually_async

pytestmark = [pytest.mark.link, pytest.mark.timeout(400)]

LONG_CUT_S = 60.0
CALLED_AGAIN_S = 50.0
"""Before a breaker that had opened would try by itself, which is after a minute."""


@pytest.fixture(autouse=True)
def whole(rig: TwoComputers) -> None:
    """Every test begins with a cable that works."""
    rig.wire.tell("set 0 0 0")
    rig.wire.tell("heal")
    rig.await_link("up")


async def test_a_call_and_an_event_cross_the_wire(rig: TwoComputers) -> None:
    """An agent calls its twin on the other computer, and hears what is announced there, in both directions."""
    async with rig.operators() as both:
        for operator in both:
            await eventually_async(lambda operator=operator: _reaches(operator), "a call across")
            assert (await operator.twin("hello"))["result"] == "hello"
            await operator.tell(f"across-{operator.machine}")
        for operator in both:
            await _hears(operator, ["across-mainpc-0", "across-pc2-0"], "across")


async def test_status_tells_how_the_link_is(rig: TwoComputers) -> None:
    """Each computer knows the round trip to the other and that their clocks agree."""
    for computer in rig:
        link = await eventually_async(lambda computer=computer: asyncio.to_thread(_measured, computer), "a measured link")
        assert link["round_trip_s"] >= 0
        assert "linked for" in computer.tandem("status").out


async def test_logs_of_the_other_computer_are_read_from_here(rig: TwoComputers) -> None:
    """`tandem logs` merges both computers' lines; those of the other come over the link from its node."""
    found = await asyncio.to_thread(rig.mainpc.tandem, "logs", "node@pc2", "keeper@pc2", "--json")
    assert found.status == 0, found.err
    machines = {json.loads(line)["machine"] for line in found.out.splitlines()}
    assert machines == {"pc2"}, found.err
    both = await asyncio.to_thread(rig.mainpc.tandem, "logs", "keeper", "--json")
    assert {json.loads(line)["machine"] for line in both.out.splitlines()} == {"mainpc", "pc2"}


async def test_a_cut_is_noticed_told_and_healed(rig: TwoComputers) -> None:
    """While the cable is out, calls fail as unreachable, who wants the other side says so, and both halves work on.

    Afterwards calls pass although the breaker had opened, and each side hears every event once and in order.
    """
    async with rig.operators() as both:
        for operator in both:
            assert (await operator.twin("before"))["error"] == ""
        rig.wire.tell("cut")
        lost = await asyncio.gather(*(operator.twin("into the void") for operator in both))
        assert [outcome["error"] for outcome in lost] == ["unreachable", "unreachable"]
        rig.await_link("cut")
        await eventually_async(lambda: asyncio.to_thread(_misses_its_twin, rig), "Talker to say what it misses")
        for operator in both:
            for _ in range(6):
                outcome = await operator.twin("into the void")
                assert outcome["error"] == "unreachable", outcome
            assert await operator.call(f"Talker@{operator.machine}", "echo", text="here") == "here"
            await operator.tell(f"cut-{operator.machine}", 100)
        rig.wire.tell("heal")
        rig.await_link("up")
        for operator in both:
            await eventually_async(lambda operator=operator: _reaches(operator), "a call across", CALLED_AGAIN_S)
            await _hears(operator, _told("cut-mainpc", 100) + _told("cut-pc2", 100), "cut")
        await eventually_async(lambda: asyncio.to_thread(_is_healthy, rig), "Talker to be healthy again")


async def test_a_short_cut_is_no_cut(rig: TwoComputers) -> None:
    """A cable that is out for half a second costs no call and no event."""
    async with rig.operators() as both:
        calls = [asyncio.create_task(_keep_calling(operator, 40)) for operator in both]
        await asyncio.sleep(0.5)
        rig.wire.tell("cut")
        # However long their computer's disk takes for them, the cable is not out for longer.
        telling = [asyncio.create_task(operator.tell(f"short-{operator.machine}", 20)) for operator in both]
        await asyncio.sleep(0.5)
        rig.wire.tell("heal")
        await asyncio.gather(*telling)
        assert await asyncio.gather(*calls) == [[], []]
        for operator in both:
            await _hears(operator, _told("short-mainpc", 20) + _told("short-pc2", 20), "short")


@pytest.mark.parametrize("side", ["a", "b", "both"])
async def test_a_black_hole_counts_as_cut(rig: TwoComputers, side: str) -> None:
    """Packets that vanish in one direction, or both, with the carrier up, are noticed on both sides and end in no loss."""
    async with rig.operators() as both:
        for operator in both:
            assert (await operator.twin("before"))["error"] == ""
        rig.wire.tell(f"blackhole {side}")
        rig.await_link("cut")
        for operator in both:
            assert (await operator.twin("into the void"))["error"] == "unreachable"
            await operator.tell(f"hole-{side}-{operator.machine}", 20)
        rig.wire.tell("heal")
        rig.await_link("up")
        for operator in both:
            await eventually_async(lambda operator=operator: _reaches(operator), "a call across", CALLED_AGAIN_S)
            await _hears(
                operator, _told(f"hole-{side}-mainpc", 20) + _told(f"hole-{side}-pc2", 20), f"hole-{side}"
            )


async def test_a_slow_and_lossy_link_is_a_link(rig: TwoComputers) -> None:
    """With 200 ms each way and 5 % loss the link is not taken for cut, calls succeed, and no event is lost or doubled."""
    rig.wire.tell("set 200 10 5")
    async with rig.operators() as both:
        outcomes = await asyncio.gather(*(_keep_calling(operator, 10) for operator in both))
        assert outcomes == [[], []]
        for operator in both:
            await operator.tell(f"slow-{operator.machine}", 50)
        for operator in both:
            await _hears(operator, _told("slow-mainpc", 50) + _told("slow-pc2", 50), "slow")
    assert "cut" not in [computer.link()["state"] for computer in rig]
    rig.await_link("up")


async def test_a_minute_without_cable_loses_nothing(rig: TwoComputers) -> None:
    """Both halves write for a minute on their own; afterwards each has all of it, once and in order."""
    async with rig.operators() as both:
        rig.wire.tell("cut")
        rounds = 30
        for number in range(rounds):
            for operator in both:
                await operator.tell(f"minute-{operator.machine}-{number}", 10)
            await asyncio.sleep(LONG_CUT_S / rounds)
        rig.wire.tell("heal")
        expected = [
            f"minute-{machine}-{number}-{event}"
            for machine in ("mainpc", "pc2")
            for number in range(rounds)
            for event in range(10)
        ]
        for operator in both:
            await _hears(operator, expected, "minute")
            await eventually_async(lambda operator=operator: _reaches(operator), "a call across", CALLED_AGAIN_S)


def _told(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


async def _hears(operator: Operator, expected: list[str], prefix: str) -> None:
    """Wait until all were heard; each exactly once, and those of one machine in the order they were told."""

    async def all_heard() -> bool:
        return set(expected) <= set(await operator.heard(prefix))

    await eventually_async(all_heard, f"{operator.machine} to hear {len(expected)} events")
    heard = await operator.heard(prefix)
    for machine in ("mainpc", "pc2"):
        assert [text for text in heard if machine in text] == [text for text in expected if machine in text]


async def _reaches(operator: Operator) -> bool:
    outcome = await operator.twin("again")
    assert outcome["error"] in ("", "unreachable"), outcome
    return not outcome["error"]


async def _keep_calling(operator: Operator, count: int) -> list[str]:
    """The errors of ``count`` calls, one after the other."""
    outcomes = []
    for number in range(count):
        outcomes.append(await operator.twin(str(number)))
        await asyncio.sleep(0.05)
    return [f"{outcome['error']}: {outcome['message']}" for outcome in outcomes if outcome["error"]]


def _measured(computer: object) -> object:
    """The link once it was measured; the first exchanges may have taken too long to tell much of the clocks."""
    link = computer.link()  # type: ignore[attr-defined]
    return link if link["round_trip_s"] is not None and abs(link["clock_ahead_s"]) < 1 else None


def _misses_its_twin(rig: TwoComputers) -> bool:
    talker = rig.mainpc.agent("Talker")
    return talker["state"] == "degraded" and "Talker@pc2, which it wants, is not up" in talker["issues"]


def _is_healthy(rig: TwoComputers) -> bool:
    return rig.mainpc.agent("Talker")["state"] == "healthy"
