"""Errors as incidents: what happened, why, whom it hit, and who takes care of it."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from msgspec import Struct
from msgspec.structs import replace
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from tandem.errors.desk import IncidentDetail, IncidentPage
from tandem.errors.incident import LIVE, State
from tandem.errors.listing import MAX_WORDS, IncidentQuery, Order, Wanted, state_of
from tandem.errors.severity import Severity
from tandem.hub.web.drawing import WIDTH
from tandem.hub.web.render import page, part, view_of, wanted_part
from tandem.hub.web.words import plural_of, span

SHOWN = 50
"""Incidents on a page."""

MAX_PAGE = 10_000
STATES: tuple[tuple[Wanted, str], ...] = (
    ("live", "Live"), ("open", "Open"), ("acknowledged", "Acknowledged"), ("snoozed", "Snoozed"), ("resolved", "Over"), ("all", "All"),
)  # fmt: skip
ORDERS: tuple[tuple[Order, str], ...] = (
    ("began", "newest"), ("last", "latest error"), ("errors", "most errors"), ("severity", "worst"),
)  # fmt: skip
SEVERITIES_CHOSEN = (("", "any"), ("warning", "warning and worse"), ("error", "error and worse"), ("critical", "critical"))
REPORTS = 30
REACHED = 40


class Moment(Struct, frozen=True):
    """One point of a time line."""

    time: float
    what: str
    kind: str = ""
    link: str = ""
    link_words: str = ""


class Tab(Struct, frozen=True):
    """One way to choose by state."""

    word: str
    count: int
    address: str
    chosen: bool


async def listing(request: Request) -> Response:
    """Incidents by words, state and severity, :data:`SHOWN` on a page.

    The page asks with ``part=list``; with ``shown`` for the very rows it shows already, whatever has become of them, and
    how many began after ``since``: what a person reads stays where it is while errors come.
    """
    given = request.query_params
    held = given.getlist("shown")[:SHOWN]
    query = _query(given, held)
    incidents = view_of(request).incidents
    found = await incidents.search_incidents(query)
    begun = query.since if query.since is not None else found.newest
    values: dict[str, Any] = {
        "found": found,
        "query": query,
        "headline": _headline(found.totals),
        "stats": await incidents.error_stats(),
        "tabs": _tabs(query, found),
        "orders": ORDERS,
        "severities": SEVERITIES_CHOSEN,
        # What fits on one page in the order in which it began needs no holding: nothing in it changes its place.
        "held": bool(held) or found.matching > SHOWN or query.order != "began",
        "begun": begun,
        "here": _address(query),
        "newest": _address(replace(query, skip=0)),
        "before": _address(replace(query, skip=max(0, query.skip - SHOWN))) if query.skip else "",
        "after": _address(replace(query, skip=query.skip + SHOWN)) if query.skip + SHOWN < found.matching else "",
    }
    if wanted_part(request):
        return part(request, "errors_part.html", **values)
    return page(request, "errors", "errors.html", heading="Errors", **values)


def _query(given: QueryParams, held: list[str]) -> IncidentQuery:
    """What an address asks for; what it says wrongly is as if it were not said."""
    wanted = "all" if given.get("all") == "1" else given.get("state", "")
    order: Order = next((one for one, _ in ORDERS if one == given.get("order")), "began")
    severity = Severity.parse(given.get("at", "")) or Severity.DEBUG
    words = given.get("q", "").strip()[:MAX_WORDS]
    return IncidentQuery(
        words=words, state=state_of(wanted) or "live", severity=severity, order=order, limit=SHOWN,
        skip=SHOWN * (_whole(given.get("page", "")) - 1), rows=tuple(held), since=_time(given.get("since", "")) if held else None,
    )  # fmt: skip


def _whole(text: str) -> int:
    return max(1, min(int(text), MAX_PAGE)) if text.isascii() and text.isdigit() and len(text) < 9 else 1


def _time(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


def _address(query: IncidentQuery) -> str:
    said = {
        "q": query.words,
        "state": "" if query.state == "live" else query.state,
        "at": "" if query.severity is Severity.DEBUG else str(query.severity),
        "order": "" if query.order == "began" else query.order,
        "page": str(query.skip // SHOWN + 1) if query.skip else "",
    }
    return f"/errors?{urlencode({key: value for key, value in said.items() if value})}".removesuffix("?")


def _tabs(query: IncidentQuery, found: IncidentPage) -> list[Tab]:
    counts = {
        **{str(state): found.states.get(state, 0) for state in State},
        "live": sum(found.states.get(state, 0) for state in LIVE),
        "all": sum(found.states.values()),
    }
    first = replace(query, skip=0)
    return [Tab(word, counts[state], _address(replace(first, state=state)), state == query.state) for state, word in STATES]


def _headline(totals: dict[State, int]) -> str:
    waiting = totals.get(State.OPEN, 0)
    handled = sum(totals.get(state, 0) for state in LIVE) - waiting
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
