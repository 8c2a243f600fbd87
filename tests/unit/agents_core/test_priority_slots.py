"""The bounded waiting line."""

from __future__ import annotations

import asyncio

import pytest

from tandem.agent.testing import virtual_time
from tandem.core.errors import Cancelled, Overloaded
from tandem_agents.slots import PrioritySlots


async def serve(slots: PrioritySlots, priority: int, name: str, served: list[str]) -> None:
    async with slots.place(priority):
        await asyncio.sleep(1)
        served.append(name)


@virtual_time
async def test_lower_numbers_go_first_and_equals_in_order() -> None:
    """With one place, waiting requests are served by priority, then by arrival."""
    slots, served = PrioritySlots(1, 100), []
    requests = [(5, "first"), (5, "slow"), (1, "urgent"), (5, "later"), (2, "soon")]
    await asyncio.gather(*(serve(slots, priority, name, served) for priority, name in requests))
    assert served == ["first", "urgent", "soon", "slow", "later"]


@virtual_time
async def test_a_full_line_refuses() -> None:
    """The line has a limit; the one too many is told so at once and nobody else is disturbed."""
    slots, served = PrioritySlots(1, 2), []
    tasks = [asyncio.ensure_future(serve(slots, 1, str(number), served)) for number in range(3)]
    await asyncio.sleep(0.1)
    with pytest.raises(Overloaded):
        await serve(slots, 1, "too many", served)
    await asyncio.gather(*tasks)
    assert served == ["0", "1", "2"]


@virtual_time
async def test_clearing_sends_only_the_waiting_away() -> None:
    """Clearing ends the wait of everybody in line; who has a place keeps it, and new ones are served."""
    slots, served = PrioritySlots(1, 10), []
    running = asyncio.ensure_future(serve(slots, 1, "running", served))
    waiting = asyncio.ensure_future(serve(slots, 1, "waiting", served))
    await asyncio.sleep(0.1)
    assert slots.clear("stop") == 1
    with pytest.raises(Cancelled):
        await waiting
    await running
    await serve(slots, 1, "next", served)
    assert served == ["running", "next"]


@virtual_time
async def test_a_cancelled_waiter_leaves_no_hole() -> None:
    """Whoever gives up while waiting neither takes nor loses a place, not even in the moment it was given one."""
    slots, served = PrioritySlots(1, 10), []
    first = asyncio.ensure_future(serve(slots, 1, "first", served))
    quitter = asyncio.ensure_future(serve(slots, 1, "quitter", served))
    third = asyncio.ensure_future(serve(slots, 2, "third", served))
    await asyncio.sleep(0.5)
    quitter.cancel()
    await asyncio.gather(first, third)
    late = asyncio.ensure_future(serve(slots, 1, "late", served))
    loser = asyncio.ensure_future(serve(slots, 1, "loser", served))
    await late
    loser.cancel()
    await asyncio.gather(loser, return_exceptions=True)
    await serve(slots, 1, "last", served)
    assert served == ["first", "third", "late", "last"]
    assert (slots.running, slots.waiting().total()) == (0, 0)
