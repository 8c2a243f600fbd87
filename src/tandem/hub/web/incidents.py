"""Errors as incidents: what happened, why, whom it hit, and who takes care of it."""

from __future__ import annotations

from typing import Any

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from tandem.errors.desk import IncidentDetail, IncidentView
from tandem.errors.incident import LIVE, State
from tandem.hub.web.drawing import WIDTH
from tandem.hub.web.render import page, part, view_of, wanted_part
from tandem.hub.web.words import plural_of, span

MOST = 200
REPORTS = 30
REACHED = 40


class Moment(Struct, frozen=True):
    """One point of a time line."""

    time: float
    what: str
    kind: str = ""
    link: str = ""
    link_words: str = ""


async def listing(request: Request) -> Response:
    """Live incidents; with ``all=1`` also those that are over."""
    incidents = view_of(request).incidents
    everything = request.query_params.get("all") == "1"
    found = await incidents.list_incidents(all_states=everything, limit=MOST)
    values: dict[str, Any] = {
        "incidents": found,
        "everything": everything,
        "headline": _headline(found),
        "stats": await incidents.error_stats(),
    }
    if wanted_part(request):
        return part(request, "errors_part.html", **values)
    return page(request, "errors", "errors.html", heading="Errors", **values)


def _headline(found: list[IncidentView]) -> str:
    waiting = sum(incident.state == State.OPEN for incident in found)
    handled = sum(incident.state in LIVE for incident in found) - waiting
    if waiting:
        return f"{plural_of(waiting, 'incident')} {'waits' if waiting == 1 else 'wait'} for somebody."
    return f"Somebody takes care of {plural_of(handled, 'incident')}." if handled else "Nothing is wrong."


async def one(request: Request) -> Response:
    """One incident."""
    detail = await view_of(request).incidents.show_incident(request.path_params["name"])
    incident = detail.incident
    most = max(incident.agents.values(), default=1)
    counts = sorted(incident.agents.items(), key=lambda pair: (pair[0] != incident.root.agent, -pair[1]))
    values: dict[str, Any] = {
        "incident": incident,
        # Servers, nodes and senders on an old bus have no page of their own.
        "known": {agent.id for agent in view_of(request).picture().agents()},
        "title": detail.title,
        "timeline": timeline(detail),
        "reach": [
            (name, count, round(max(8.0, WIDTH * count / most), 1)) for name, count in counts[:REACHED]
        ],
        "reports": list(reversed(detail.reports[-REPORTS:])),
    }
    if wanted_part(request):
        return part(request, "incident_part.html", **values)
    return page(request, "errors", "incident.html", heading=detail.title, **values)


def timeline(detail: IncidentDetail) -> list[Moment]:
    """What is known of an incident's course, in order of time."""
    incident, root = detail.incident, detail.incident.root
    said = f"{root.type}: {root.message}" if root.message else root.type
    moments = [Moment(root.time, f"{root.agent}: {said}", "root")]
    if incident.first > root.time + 0.001:
        moments.append(Moment(incident.first, "the first error was reported"))
    if incident.first_effect is not None:
        later = max(0.0, incident.first_effect - root.time)
        moments.append(Moment(incident.first_effect, f"the first other agent was hit, {span(later)} later"))
    if incident.critical_since is not None:
        moments.append(Moment(incident.critical_since, "it became critical"))
    moments += [Moment(time, f"{name} was told") for name, time in detail.alerts.items()]
    if incident.last > incident.first:
        moments.append(Moment(incident.last, f"the newest of {plural_of(incident.count, 'error')}"))
    if incident.by:
        moments.append(Moment(incident.changed, f"{incident.by} said: {incident.state}"))
    elif incident.state in (State.RESOLVED, State.MERGED):
        over = "it was over: no further error came"
        merged = f"it was found to be part of another incident, {incident.merged_into}"
        moments.append(Moment(incident.changed, over if incident.state == State.RESOLVED else merged))
    return sorted(moments, key=lambda moment: moment.time)
