"""Turns: finding one, and seeing where its time went."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from tandem.core.errors import NotFound
from tandem.hub.web.drawing import WIDTH, draw_waterfall, path_of
from tandem.hub.web.render import page, part, view_of, wanted_part
from tandem.hub.web.words import plural_of, span
from tandem.telemetry.waterfall import TurnSummary

SHOWN = 100
LOOKED_AT = 2_000
"""Turns among which slow and failed ones are looked for, the latest first."""

SPANS = (("0", "any"), ("0.1", "100 ms"), ("0.5", "0.5 s"), ("1", "1 s"), ("3", "3 s"), ("10", "10 s"))


async def listing(request: Request) -> Response:
    """The latest turns, by words, duration and outcome."""
    given = request.query_params
    q, failed = given.get("q", "").strip()[:200], given.get("failed") == "1"
    slower = given.get("slower", "0") if given.get("slower", "0") in dict(SPANS) else "0"
    narrowed = failed or slower != "0"
    found = await view_of(request).turns.recent(LOOKED_AT if narrowed else SHOWN, q)
    chosen = [turn for turn in found if turn.duration_s >= float(slower) and (turn.errors or not failed)][
        :SHOWN
    ]
    values: dict[str, Any] = {"turns": _with_bars(chosen), "searching": bool(q) or narrowed}
    if wanted_part(request):
        return part(request, "turns_part.html", **values)
    query = urlencode({"q": q, "slower": slower, **({"failed": "1"} if failed else {})})
    return page(
        request, "turns", "turns.html", heading="Turns",
        q=q, slower=slower, failed=failed, spans=SPANS, query=query, **values,
    )  # fmt: skip


def _with_bars(found: list[TurnSummary]) -> list[tuple[TurnSummary, float]]:
    slowest = max((turn.duration_s for turn in found), default=0.0) or 1.0
    return [(turn, round(max(8.0, WIDTH * turn.duration_s / slowest), 1)) for turn in found]


def words_of(turn: TurnSummary) -> str:
    """A turn in a line."""
    failed = f", {plural_of(turn.errors, 'error')}" if turn.errors else ""
    return f"{span(turn.duration_s)} through {plural_of(turn.agents, 'agent')}{failed}"


async def one(request: Request) -> Response:
    """One turn as a waterfall; ``part=path`` tells the way it took from agent to agent, as JSON."""
    wanted = wanted_part(request)
    try:
        summary, rows = await view_of(request).turns.turn(request.path_params["name"])
    except NotFound:
        # A page that has just got an answer asks before the last hops are told.
        if wanted == "waterfall":
            return part(request, "waterfall_part.html", fall=None)
        raise
    if wanted == "path":
        said = {"words": words_of(summary), "path": path_of(rows)}
        return Response(msgspec.json.encode(said), media_type="application/json")
    fall = draw_waterfall(rows, summary.duration_s)
    if wanted:
        return part(request, "waterfall_part.html", fall=fall)
    return page(
        request,
        "turns",
        "turn.html",
        heading=f"Turn {summary.turn[-8:]}",
        turn=summary,
        fall=fall,
        about=rows[0].span.attributes,
    )
