"""Measures this machine's agents without a line of theirs: health, calls, memory, processor. All of them at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from tandem.core import clock
from tandem.core.deadline import Deadline, deadline_scope
from tandem.core.errors import TandemError
from tandem.hub.picture import AgentPicture, Figures, MachinePicture, ServicePicture
from tandem.hub.series import Point

AT_ONCE = 32
"""Agents asked at the same time: all of a machine within a moment, without a burst that delays their own work."""

ASK_S = 3.0

OWN_FAULTS = frozenset({"internal", "remote", "deadline_exceeded", "unavailable", "overloaded"})
"""Outcomes of a request that are the agent's failure; the others (not found, not permitted …) are answers."""

_TOTAL = re.compile(r'^agent_requests_total\{.*?method="([^"]*)",outcome="([^"]*)"\} (\d+)', re.MULTILINE)
_BUSY = re.compile(r'^agent_request_duration_seconds_sum\{.*?method="([^"]*)",outcome="[^"]*"\} ([0-9.e+-]+)', re.MULTILINE)
_QUEUE = re.compile(r"^agent_requests_in_flight\{[^}]*\} ([0-9.]+)", re.MULTILINE)

BUILT_IN = frozenset({"health_check", "describe", "settings", "metrics", "ping"})
"""Calls of the platform itself; they say nothing about the agent's work."""


class Totals(Struct, frozen=True):
    """Since the process began: requests answered, of them failed, seconds spent; and those being answered now."""

    requests: int
    errors: int
    busy_s: float
    queue: int


class Seen(Struct, kw_only=True):
    """Health checks of one agent since the hub began, and the process and its counts at the last measurement."""

    checks: int = 0
    failures: int = 0
    health_s: float = 0.0
    pid: int | None = None
    totals: Totals | None = None
    at: float = 0.0


def totals_of(text: str) -> Totals:
    """What an agent's metrics say about its calls, those of the platform left out."""
    requests = errors = 0
    for method, outcome, count in _TOTAL.findall(text):
        if method not in BUILT_IN:
            requests += int(count)
            errors += int(count) if outcome in OWN_FAULTS else 0
    busy_s = sum(float(seconds) for method, seconds in _BUSY.findall(text) if method not in BUILT_IN)
    in_flight = _QUEUE.search(text)
    # The question for these figures is itself being answered.
    return Totals(requests, errors, busy_s, max(0, int(float(in_flight[1])) - 1) if in_flight else 0)


class Sampler:
    """``peer`` makes an agent callable by its identity. ``programs``: identities of agents that are no class of ours,
    which answer no calls."""

    def __init__(self, peer: Callable[[str], Any], programs: Iterable[str]):
        self.seen: dict[str, Seen] = {}
        """By bare name."""
        self._peer = peer
        self._programs = frozenset(programs)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._last = clock.monotonic()

    async def measure(self, machine: MachinePicture) -> tuple[list[Point], dict[str, Figures]]:
        """A point for the machine, each server and each agent, and the agents' figures by bare name."""
        now = clock.monotonic()
        span, self._last = now - self._last, now
        at = clock.wall()
        measured = await asyncio.gather(*(self._agent(agent, at, span) for agent in machine.agents))
        points = [point for point, _ in measured]
        for service in machine.services:
            rss, cpu = _used(service)
            up = span if service.state in ("healthy", "degraded") else 0.0
            points.append(
                Point(
                    agent=service.name, machine=machine.machine, at=at, span_s=span, up_s=up, wanted_s=span,
                    rss_bytes=rss, rss_max_bytes=rss, cpu=cpu, restarts=service.restarts,
                )
            )  # fmt: skip
        used = float(machine.memory_bytes)
        points.append(
            Point(
                agent="", machine=machine.machine, at=at, span_s=span, up_s=span, wanted_s=span, rss_bytes=used,
                rss_max_bytes=used, cpu=machine.load,
            )
        )  # fmt: skip
        return points, {agent.name: figures for agent, (_, figures) in zip(machine.agents, measured, strict=True)}

    async def texts(self, machine: MachinePicture) -> list[str]:
        """The agents' own metrics as Prometheus text, of all that answer."""
        found = await asyncio.gather(*(self._text(agent) for agent in machine.agents))
        return [text for text in found if text]

    async def _agent(self, agent: AgentPicture, at: float, span: float) -> tuple[Point, Figures]:
        rss, cpu = _used(agent)
        seen = self.seen.setdefault(agent.name, Seen())
        before = seen.totals if seen.pid == agent.pid else None
        seen.pid = agent.pid
        checks, passed, health_s = await self._check(agent)
        text = await self._text(agent)
        after = seen.totals = totals_of(text) if text else None
        requests = errors = 0
        busy_s = 0.0
        if after is not None:
            base = before or Totals(0, 0, 0.0, 0)
            # Counters of a process that has just begun count from zero.
            requests, errors = max(0, after.requests - base.requests), max(0, after.errors - base.errors)
            busy_s = max(0.0, after.busy_s - base.busy_s)
        point = Point(
            agent=agent.name, machine=agent.machine, at=at, span_s=span,
            up_s=span if agent.verdict == "up" else 0.0, wanted_s=0.0 if agent.verdict == "off" else span,
            checks=checks, passed=passed, health_s=health_s or 0.0, health_max_s=health_s or 0.0,
            rss_bytes=rss, rss_max_bytes=rss, cpu=cpu, requests=requests, errors=errors, busy_s=busy_s,
            restarts=agent.restarts, start_s=agent.ready_after_s or 0.0,
        )  # fmt: skip
        figures = Figures(
            rss_bytes=int(rss) if agent.usage else None,
            cpu=round(cpu, 4) if agent.usage else None,
            health_s=health_s,
            requests_hz=round(requests / span, 3) if after and before and span else None,
            errors_hz=round(errors / span, 3) if after and before and span else None,
            latency_s=busy_s / requests if requests else None,
            queue=after.queue if after else None,
        )
        return point, figures

    async def _check(self, agent: AgentPicture) -> tuple[int, int, float | None]:
        """Checks made, passed, and seconds it took (None without an answer). Whoever should be up is checked."""
        if agent.verdict == "off" or str(agent.id) in self._programs or agent.pid is None:
            # A program's probe is the node's work; who is off is not asked; who is dead has failed its check.
            should = agent.verdict in ("up", "trouble")
            return (1, int(agent.verdict == "up"), None) if should else (0, 0, None)
        seen = self.seen[agent.name]
        began = clock.monotonic()
        try:
            async with self._places:
                began = clock.monotonic()
                with deadline_scope(Deadline.after(ASK_S)):
                    status = (await self._peer(agent.id).health_check())["status"]
        except TandemError:
            status = "unreachable"
        taken = clock.monotonic() - began
        well = status in ("healthy", "degraded", "starting")
        seen.checks += 1
        seen.failures += not well
        seen.health_s = taken
        return 1, int(well), taken

    async def _text(self, agent: AgentPicture) -> str:
        if agent.pid is None or agent.id in self._programs:
            return ""
        try:
            async with self._places:
                with deadline_scope(Deadline.after(ASK_S)):
                    text: str = await self._peer(agent.id).metrics()
                    return text
        except TandemError:
            return ""


def _used(what: AgentPicture | ServicePicture) -> tuple[float, float]:
    """Resident bytes and cores in use of all its processes, as the node measured them."""
    return (0.0, 0.0) if what.usage is None else (float(what.usage.rss_bytes), what.usage.cpu_fraction)
