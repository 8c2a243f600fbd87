"""Signs of life: who was ready and has gone silent is unresponsive."""

from __future__ import annotations

import asyncio

from tandem.core import clock
from tandem.core.errors import Unreachable
from tandem.supervise.keeper_link import KeeperLink
from tandem.supervise.lifecycle import SERVING, Unresponsive
from tandem.supervise.supervisor import Supervisor

PERIOD_S = 1.0
SILENCE_S = 10.0
"""Agents give a sign every second; ten missing ones in a row are no accident."""


async def watch_liveness(supervisor: Supervisor, keeper: KeeperLink) -> None:
    """Ask the keeper once a second when it last heard of everybody. Ends when the keeper does."""
    blameless_until = 0.0
    while True:
        due = clock.monotonic() + PERIOD_S
        await asyncio.sleep(PERIOD_S)
        if clock.monotonic() - due > PERIOD_S:
            # We were held up ourselves (a suspended or overloaded computer), so the agents may have been too.
            blameless_until = clock.monotonic() + SILENCE_S
        try:
            beats = (await keeper.beats()).at
        except Unreachable:
            return
        now = clock.monotonic()
        if now < blameless_until:
            continue
        for runner in [*supervisor.agents(), *supervisor.beside]:
            beat = beats.get(runner.state.instance)
            if runner.state.phase in SERVING and beat is not None and now - beat > SILENCE_S:
                why = f"no sign of life for {now - beat:.0f} s: its event loop is blocked, or it was suspended"
                runner.feed(Unresponsive(runner.state.instance, why))
