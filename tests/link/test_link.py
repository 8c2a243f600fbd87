"""Two computers that work as one fleet."""

from __future__ import annotations

import pytest
from rig import TwoComputers, eventually_async

pytestmark = [pytest.mark.link, pytest.mark.timeout(240)]


async def test_a_call_and_an_event_cross_the_wire(rig: TwoComputers) -> None:
    """An agent calls its twin on the other computer, and hears what is announced there, in both directions."""
    async with rig.mainpc.operator() as here, rig.pc2.operator() as there:
        for operator, own, twin in ((here, "mainpc", "pc2"), (there, "pc2", "mainpc")):
            outcome = await operator.call(f"Talker@{own}", "call_twin", peer=f"Talker@{twin}", text=own)
            assert outcome["result"] == own
        await there.call("Talker@pc2", "tell", text="across")
        await here.call("Talker@mainpc", "tell", text="back")
        for operator, own in ((here, "mainpc"), (there, "pc2")):
            await eventually_async(
                lambda operator=operator, own=own: _heard_both(operator, own), f"{own} to hear both"
            )


async def _heard_both(operator: object, own: str) -> bool:
    heard = await operator.call(f"Talker@{own}", "heard")  # type: ignore[attr-defined]
    return {"across-0", "back-0"} <= set(heard)
