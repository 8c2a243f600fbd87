"""Agents that hold more GPU memory than the fleet file gives them: told, never killed. Pure, but for whose pid it is."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from msgspec import Struct

from tandem.core.health import Issue
from tandem.hub.picture import AgentPicture

PATIENCE_S = 60.0
"""Loading a model may take twice its room for some seconds; that is no fault."""

_MIB = 1 << 20


class Overrun(Struct, frozen=True, kw_only=True):
    """An agent (bare name) above its share. ``since``: monotonic seconds."""

    agent: str
    held_mb: int
    declared_mb: int
    since: float

    def issue(self) -> Issue:
        """What a person is told, and what helps."""
        share = f"{self.declared_mb} declared" if self.declared_mb else "none declared"
        return Issue(
            f"{self.agent} holds {self.held_mb} MiB of GPU memory, {share}: others may not find the room they were promised",
            fix=f"raise `vram_mb` of {self.agent} in the fleet file, or let it load less",
        )


def overruns(
    before: Iterable[Overrun], held_mb: Mapping[str, int], declared_mb: Mapping[str, int], now: float
) -> list[Overrun]:
    """Who is above its share now, and since when. All by bare name; who is in neither mapping holds or declared nothing."""
    since = {overrun.agent: overrun.since for overrun in before}
    return [
        Overrun(agent=agent, held_mb=held, declared_mb=declared_mb.get(agent, 0), since=since.get(agent, now))
        for agent, held in sorted(held_mb.items())
        if held > declared_mb.get(agent, 0)
    ]


def lasting(found: Iterable[Overrun], now: float) -> list[Overrun]:
    """Those that have been above their share for long enough to be told."""
    return [overrun for overrun in found if now - overrun.since >= PATIENCE_S]


def held_by(agents: Iterable[AgentPicture], held: Mapping[int, int]) -> dict[str, int]:
    """MiB each agent and its children hold, by bare name. ``held``: bytes by pid; processes of nobody here are left out."""
    leaders = {agent.pid: agent.name for agent in agents if agent.pid is not None}
    found: dict[str, int] = {}
    for pid, used in held.items():
        name = leaders.get(_session(pid))
        if name is not None:
            found[name] = found.get(name, 0) + used
    return {name: used // _MIB for name, used in found.items()}


def _session(pid: int) -> int:
    """The session a process belongs to, which is the pid of its agent; 0 when it is gone."""
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0
