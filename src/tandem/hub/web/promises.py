"""What the fleet promises, how much of each budget is left, what will probably break, and what was tried against it."""

from __future__ import annotations

import asyncio
from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from tandem.core.errors import TandemError
from tandem.hub.objectives import Standing
from tandem.hub.predict import Forecast
from tandem.hub.recovery import Attempt
from tandem.hub.view import HubView
from tandem.hub.web.drawing import WIDTH
from tandem.hub.web.render import page, part, view_of, wanted_part
from tandem.hub.web.words import Tone, figure, plural_of
from tandem.telemetry.objectives import WINDOWS_S, Objective, promised, span_name

WINDOWS = tuple(span_name(window) for window in WINDOWS_S)

_LEAST_RATE = 0.005
"""Below it a rate would be rounded to nothing, which it is not."""


class Promise(Struct, frozen=True):
    """One objective of one machine; ``rates`` are burn rates in words, by :data:`WINDOWS`; ``width`` of what is left, 0 to 1000."""

    words: str
    description: str
    tone: Tone
    verdict: str
    left: str
    width: float
    rates: list[str]
    worst: list[str]


class MachineJudged(Struct, frozen=True):
    """``fault``: why nothing is known of it now; ``attempts_fault``: why not what was tried."""

    machine: str
    promises: list[Promise] = []
    forecasts: list[Forecast] = []
    attempts: list[Attempt] = []
    attempts_fault: str = ""
    fault: str = ""


async def promises(request: Request) -> Response:
    """All machines, each as its own hub judges it."""
    view = view_of(request)
    machines = await asyncio.gather(*(_judged(view, machine) for machine in view.fleet.machines))
    values: dict[str, Any] = {"machines": machines, "headline": headline(machines), "windows": WINDOWS}
    if wanted_part(request):
        return part(request, "promises_part.html", **values)
    return page(request, "promises", "promises.html", heading="Promises", **values)


async def _judged(view: HubView, machine: str) -> MachineJudged:
    try:
        judged = await view.judged(machine)
    except TandemError as error:
        return MachineJudged(machine, fault=error.message)
    return MachineJudged(machine, [shown(s) for s in judged.standings], judged.forecasts, judged.attempts, judged.attempts_fault)


def headline(machines: list[MachineJudged]) -> str:
    """The worst of it in a sentence."""
    burning = sum(promise.tone == "trouble" for machine in machines for promise in machine.promises)
    known = sum(promise.left != "–" for machine in machines for promise in machine.promises)
    if burning:
        return f"{plural_of(burning, 'promise')} {'is' if burning == 1 else 'are'} being broken."
    if spent := sum(promise.tone == "degraded" for machine in machines for promise in machine.promises):
        return f"{plural_of(spent, 'promise')} {'has' if spent == 1 else 'have'} used up what may fail."
    if foreseen := sum(len(machine.forecasts) for machine in machines):
        return f"What is promised is kept; {plural_of(foreseen, 'fault')} {'is' if foreseen == 1 else 'are'} foreseen."
    return "What is promised is kept." if known else "Too little has happened yet to judge."


def shown(standing: Standing) -> Promise:
    """A standing in words."""
    left = standing.left
    tone: Tone = "trouble" if standing.burning else "off" if left is None else "degraded" if left < 0 else "well"
    return Promise(
        words=promised(standing.objective),
        description=standing.objective.description,
        tone=tone,
        verdict=_verdict(standing, left),
        left="–" if left is None else f"{max(0.0, left) * 100:.0f}% of {_budget(standing.objective)}",
        width=0.0 if left is None else round(WIDTH * min(1.0, max(0.0, left)), 1),
        rates=[rate_words(standing.rate(window)) for window in WINDOWS],
        worst=standing.worst,
    )


def _verdict(standing: Standing, left: float | None) -> str:
    if standing.burn is not None:
        return f"{standing.burning}: more than {standing.burn.rate:g} times too fast over {span_name(standing.burn.long_s)}"
    if left is None:
        return "nothing to judge yet"
    return "budget is spent" if left < 0 else "kept"


def _budget(objective: Objective) -> str:
    return f"{figure(objective.budget * 100)}%"


def rate_words(rate: float | None) -> str:
    """A burn rate as a multiple of what the budget allows."""
    if rate is None:
        return "–"
    return "<0.01×" if 0 < rate < _LEAST_RATE else f"{figure(rate)}×"
