"""Signs of life: who was ready and has gone silent is unresponsive.

Programs of another make are asked by their probe (:mod:`.probing`); whatever they say by themselves promises no more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from tandem.core import clock
from tandem.core.errors import Unreachable
from tandem.supervise.keeper_link import KeeperLink
from tandem.supervise.lifecycle import SERVING, Phase, Unresponsive
from tandem.supervise.runner import Runner
from tandem.supervise.supervisor import Supervisor

PERIOD_S = 1.0
SILENCE_S = 10.0
"""Agents give a sign every second; ten missing ones in a row are no accident."""


BIRTH_S = 20.0
"""A zygote that is asked for a child and neither makes it nor says what it is busy with for so long is stuck."""


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
        watched = [runner for runner in (*supervisor.agents(), *supervisor.beside) if not _is_program(runner)]
        for runner in watched:
            runner.heard_at = beats.get(runner.state.instance)
        if now < blameless_until:
            continue
        for zygote, waited in stuck_zygotes(supervisor, beats, now):
            zygote.feed(Unresponsive(zygote.state.instance, f"no child was born for {waited:.0f} s"))
        for runner in watched:
            beat = runner.heard_at
            if runner.state.phase in SERVING and beat is not None and now - beat > SILENCE_S:
                why = f"no sign of life for {now - beat:.0f} s: its event loop is blocked, or it was suspended"
                runner.feed(Unresponsive(runner.state.instance, why))


def _is_program(runner: Runner) -> bool:
    return runner.subject.config is not None and runner.subject.config.command is not None


def stuck_zygotes(supervisor: Supervisor, beats: Mapping[str, float], now: float) -> list[tuple[Runner, float]]:
    """Zygotes that somebody waits for in vain, and for how many seconds. ``beats``: last signs of life by instance."""
    asked: dict[str, float] = {}
    for runner in [*supervisor.agents(), *supervisor.beside]:
        state, source = runner.state, runner.subject.release.code.zygote
        is_unborn = state.phase in (Phase.STARTING, Phase.STOPPING) and runner.pid is None
        if is_unborn and source in runner.subject.needs and state.launched_at is not None:
            asked[source] = min(asked.get(source, now), state.launched_at)
    found = []
    for name, since in asked.items():
        zygote = supervisor.runners.get(name)
        if zygote is not None and zygote.state.phase in SERVING:
            waited = now - max(since, beats.get(zygote.state.instance, since))
            if waited > BIRTH_S:
                found.append((zygote, waited))
    return found
