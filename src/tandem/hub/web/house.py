"""The house: every machine with its groups and agents; and one agent by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from tandem.core.errors import TandemError
from tandem.core.ids import AgentId
from tandem.hub.picture import AgentPicture, FleetPicture, MachinePicture
from tandem.hub.series import Point
from tandem.hub.tails import LogLine
from tandem.hub.web.drawing import line
from tandem.hub.web.render import page, part, view_of, wanted_part
from tandem.hub.web.turns import words_of
from tandem.hub.web.words import plural_of, rate, share, size, span, tone

MOST_WORRIES = 12
"""Agents in trouble named above the house; all of them show in it."""

MANY = 100
"""More agents than an eye finds one in; they stand closer, and can be searched."""

LOG_LINES = 120
CURVE_S = 3600.0
CURVE_POINTS = 120


class Spark(Struct, frozen=True):
    """One curve, with the time it covers and its newest and its largest value in words."""

    label: str
    over: str
    now: str
    most: str
    stroke: str
    area: str


class GroupShown(Struct, frozen=True):
    """A group of one machine, with those of its agents."""

    name: str
    description: str
    agents: list[AgentPicture]


class MachineShown(Struct, frozen=True):
    """``words`` say in a line how it is, ``detail`` with figures."""

    picture: MachinePicture
    words: str
    detail: str
    groups: list[GroupShown]


async def house(request: Request) -> Response:
    """The whole fleet."""
    view = view_of(request)
    picture = view.picture()
    agents = picture.agents()
    known = {agent.id for agent in agents}
    needs = {
        name: [other for other in all_ if other in known]
        for name, all_ in picture.needs.items()
        if name in known
    }
    recent = await view.turns.recent(1)
    values: dict[str, Any] = {
        "headline": _headline(picture),
        "many": len(agents) > MANY,
        "nobody": not agents,
        "machines": [_machine(machine, picture) for machine in picture.machines],
        "worries": [agent for agent in agents if tone(agent.state, agent.verdict) in ("trouble", "degraded")][
            :MOST_WORRIES
        ],
        "needs": msgspec.json.encode({name: all_ for name, all_ in needs.items() if all_}).decode(),
        "last_turn": recent[0] if recent else None,
        "last_turn_words": words_of(recent[0]) if recent else "",
    }
    if wanted_part(request):
        return part(request, "house_part.html", **values)
    return page(request, "house", "house.html", heading="House", **values)


def _headline(picture: FleetPicture) -> str:
    agents = picture.agents()
    lost = [machine.machine for machine in picture.machines if machine.reach == "lost"]
    tones = [tone(agent.state, agent.verdict) for agent in agents]
    count = len(agents)
    if lost:
        return f"Nothing has been heard of {' and '.join(lost)} for a while."
    if not agents:
        return "No agents are known yet."
    if trouble := tones.count("trouble"):
        return f"{trouble} of {plural_of(count, 'agent')} {'needs' if trouble == 1 else 'need'} help."
    if degraded := tones.count("degraded"):
        return f"{plural_of(count, 'agent')}, {degraded} of them not at {'its' if degraded == 1 else 'their'} best."
    if moving := tones.count("moving"):
        return f"{moving} of {plural_of(count, 'agent')} on the way."
    if off := tones.count("off"):
        return f"All is well; {plural_of(off, 'agent')} of {count} stopped on purpose."
    return f"All {plural_of(count, 'agent')} are well." if count > 1 else "All is well."


def _machine(machine: MachinePicture, picture: FleetPicture) -> MachineShown:
    by_name = {agent.id: agent for agent in machine.agents}
    groups = [
        GroupShown(
            group.name, group.description, [by_name.pop(name) for name in group.agents if name in by_name]
        )
        for group in picture.groups
        if group.machine == machine.machine
    ]
    if by_name:
        groups.append(GroupShown("others", "", list(by_name.values())))
    return MachineShown(
        machine, _reach(machine, picture.at), _detail(machine, picture.at), [g for g in groups if g.agents]
    )


def _reach(machine: MachinePicture, now: float) -> str:
    if machine.reach == "lost":
        return f"last heard of {span(now - machine.at)} ago" if machine.at else "never heard of"
    link = f", {span(machine.link_s)} away" if machine.link_s is not None else ""
    return f"up {span(machine.up_s)}{link}"


def _detail(machine: MachinePicture, now: float) -> str:
    if machine.reach == "lost":
        why = machine.fault or "its hub, the machine or the link is away"
        return f"as it was {span(now - machine.at)} ago: {why}" if machine.at else why
    up = sum(agent.verdict == "up" for agent in machine.agents)
    told = [f"{up} of {plural_of(len(machine.agents), 'agent')} up"]
    if machine.cores:
        told.append(f"load {machine.load:.1f} on {plural_of(machine.cores, 'core')}")
    if machine.memory_total_bytes:
        told.append(f"{size(machine.memory_bytes)} of {size(machine.memory_total_bytes)} in use")
    return ", ".join([*told, machine.fault] if machine.fault else told)


async def agent(request: Request) -> Response:
    """One agent: how it is and why, its figures, whom it leans on, its log, and what one can do."""
    view = view_of(request)
    shown = view.agent(request.path_params["name"])
    wanted = wanted_part(request)
    if wanted == "log":
        return part(request, "log_part.html", **await _log(request, shown))
    picture = view.picture()
    config = view.fleet.agents.get(AgentId(shown.id))
    values = {
        "agent": shown,
        "description": config.description if config is not None else "",
        "facts": _facts(shown),
        "sparks": sparks(await view.history.curve(shown.machine, shown.name, CURVE_S, CURVE_POINTS)),
        "needs": picture.needs.get(shown.id, []),
        "needed_by": sorted(name for name, all_ in picture.needs.items() if shown.id in all_),
        **await _log(request, shown),
    }
    if wanted:
        return part(request, "agent_part.html", **values)
    return page(request, "house", "agent.html", heading=shown.name, script="agent", **values)


def sparks(points: list[Point]) -> list[Spark]:
    """Memory, processor, requests and answering time; what was never there or always nothing is left out."""
    curves: list[tuple[str, Callable[[float], str], list[float]]] = [
        ("Memory", size, [point.rss_bytes for point in points]),
        ("Processor", share, [point.cpu for point in points]),
        ("Requests", rate, [point.requests / point.span_s if point.span_s else 0.0 for point in points]),
        ("Answers in", _answered, [point.busy_s / point.requests if point.requests else 0.0 for point in points]),
    ]
    over = _covered(points)
    drawn = []
    for label, words, values in curves:
        stroke, area = line(values)
        if stroke and any(values):
            drawn.append(Spark(label, over, words(values[-1]), words(max(values)), stroke, area))
    return drawn


def _answered(seconds: float) -> str:
    return span(seconds) if seconds else "–"


def _covered(points: list[Point]) -> str:
    """What the curves stand for: an hour, or less while less was measured."""
    seconds = points[-1].at - points[0].at + points[0].span_s if points else 0.0
    return "the last hour" if seconds > 0.95 * CURVE_S else f"the last {span(seconds)}"


async def _log(request: Request, shown: AgentPicture) -> dict[str, Any]:
    lines: list[LogLine] = []
    fault = ""
    try:
        lines = await view_of(request).logs(shown.id, LOG_LINES)
    except TandemError as error:
        fault = error.message
    return {"log": lines, "log_fault": fault}


def _facts(shown: AgentPicture) -> list[tuple[str, str]]:
    figures = shown.figures
    known = [
        ("Process", str(shown.pid or "–")),
        ("Port", str(shown.port) if shown.port else "unix socket"),
        ("Ready after", span(shown.ready_after_s)),
        ("Restarts", str(shown.restarts)),
        ("Memory", size(figures.rss_bytes)),
        ("Processor", share(figures.cpu)),
        ("Requests", rate(figures.requests_hz)),
        ("Errors", rate(figures.errors_hz)),
        ("Answers in", span(figures.latency_s)),
        ("In progress", "–" if figures.queue is None else str(figures.queue)),
    ]
    return [(name, value) for name, value in known if value != "–"]
