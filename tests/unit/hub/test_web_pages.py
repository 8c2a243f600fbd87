"""The pages as text: whatever others wrote stays text, and nothing in a page needs what the policy forbids."""

from __future__ import annotations

import html
import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("jinja2", reason="the extra `hub` is not installed")

from starlette.requests import Request
from starlette.responses import Response

from tandem.errors.desk import ErrorStats, IncidentDetail, IncidentPage, IncidentView
from tandem.errors.incident import Incident, Root, State
from tandem.errors.listing import IncidentQuery
from tandem.errors.report import ErrorReport
from tandem.errors.severity import Severity
from tandem.fleet.model import Fleet
from tandem.hub.picture import AgentPicture, FleetPicture, GroupPicture, MachinePicture, ServicePicture
from tandem.hub.series import Point
from tandem.hub.tails import LogLine
from tandem.hub.web import house, incidents, turns
from tandem.security import Principal
from tandem.telemetry.tracing import Span
from tandem.telemetry.waterfall import Row, TurnSummary, summarise, waterfall

EVIL = "<img src=x onerror=alert(1)>\"'</script><script>alert(2)</script>"
"""Closes every context a value could be written into."""

WHO = "Greeter@mainpc"
REPORT = ErrorReport(
    id="r1", agent="Greeter", machine="mainpc", type=EVIL, message=EVIL, time=1e9, frames=(EVIL,), context={"stderr": EVIL},
    trace_id="a" * 32,
)  # fmt: skip
INCIDENT = Incident(
    id="i1", key="k", root=Root("error", WHO, EVIL, EVIL, 1e9), severity=Severity.CRITICAL, first=1e9, last=1e9 + 5, count=3,
    agents={WHO: 2, EVIL: 1}, by=EVIL, note=EVIL, escalated=EVIL, state=State.ACKNOWLEDGED, changed=1e9 + 9, latest=REPORT,
)  # fmt: skip
SPANS = [
    Span(trace_id="a" * 32, span_id="1" * 16, name=EVIL, agent=EVIL, machine=EVIL, start=1.0, duration_s=1.0, status="error",
         attributes={EVIL: EVIL, "error.type": EVIL}),
]  # fmt: skip


@dataclass
class Desk:
    """One incident, full of markup."""

    told: list[str] = field(default_factory=list)

    async def list_incidents(self, all_states: bool = False, limit: int = 100) -> list[IncidentView]:
        return [
            IncidentView(
                id="i1", key="k", state=State.OPEN, severity=Severity.CRITICAL, title=EVIL, first=1e9, last=1e9, count=1,
                suppressed=0, agents=[WHO], until=None, by=EVIL, note=EVIL, escalated=EVIL,
            )
        ]  # fmt: skip

    async def search_incidents(self, query: IncidentQuery) -> IncidentPage:
        counts = {State.OPEN: 120, State.ACKNOWLEDGED: 1}
        found = await self.list_incidents()
        newer = 3 if query.since else 0
        return IncidentPage(incidents=found, matching=121, newer=newer, newest=1e9, states=counts, totals=counts)

    async def show_incident(self, name: str) -> IncidentDetail:
        return IncidentDetail(incident=INCIDENT, title=EVIL, reports=[REPORT], alerts={EVIL: 1e9 + 1})

    async def error_stats(self, seconds: float = 86_400.0) -> ErrorStats:
        return ErrorStats(since=0, incidents=1, live=1, errors=1, suppressed=0, by_severity={}, by_agent={}, by_type={})


class Book:
    """One turn, full of markup."""

    async def recent(self, limit: int = 50, search: str = "", since: float = 0.0) -> list[TurnSummary]:
        return [summarise(SPANS)]

    async def turn(self, name: str) -> tuple[TurnSummary, list[Row]]:
        return summarise(SPANS), waterfall(SPANS)


class Past:
    """Two measurements."""

    async def curve(self, machine: str, agent: str, seconds: float, points: int = 0) -> list[Point]:
        return [Point(agent=agent, machine=machine, at=at, span_s=10.0, rss_bytes=at, requests=5.0) for at in (1024.0, 2048.0)]


class View:
    """A fleet of one agent that is in trouble and says so in markup."""

    fleet = Fleet(name=EVIL)
    incidents = Desk()
    turns = Book()
    history = Past()

    def agent(self, name: str) -> AgentPicture:
        return AgentPicture(
            name="Greeter", machine="mainpc", group=EVIL, state=EVIL, verdict="trouble", issues=[EVIL], note=EVIL, exit=EVIL,
            tail=[EVIL],
        )  # fmt: skip

    def picture(self) -> FleetPicture:
        service = ServicePicture(name=EVIL, machine="mainpc", state=EVIL)
        machine = MachinePicture(machine="mainpc", at=1e9, fault=EVIL, services=[service], agents=[self.agent(WHO)])
        group = GroupPicture(name=EVIL, machine="mainpc", description=EVIL, agents=[WHO])
        return FleetPicture(
            fleet=EVIL, seen_by=WHO, at=1e9, alerting=True, front_door=None, machines=[machine], groups=[group],
            needs={WHO: [WHO, EVIL], EVIL: [WHO]},
        )  # fmt: skip

    async def logs(self, name: str, lines: int = 200) -> list[LogLine]:
        return [LogLine(ts=EVIL, level=EVIL, message=EVIL, turn=EVIL)]


def ask(query: str = "", operator: bool = True) -> Request:
    principal = Principal(name="operator", kind="operator") if operator else None
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": "/", "query_string": query.encode(), "headers": [],
        "path_params": {"name": WHO}, "state": {"principal": principal}, "app": SimpleNamespace(state=SimpleNamespace(view=View())),
    }  # fmt: skip
    return Request(scope)


class Reader(HTMLParser):
    """What a browser would make of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: list[dict[str, str | None]] = []
        self.inline: list[str] = []
        self.strange: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script":
            self.scripts.append(given)
        if tag in ("style", "iframe", "object", "embed", "base") or (tag == "img" and given.get("src") == "x"):
            self.strange.append(tag)
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        self.strange += [value for value in given.values() if (value or "").strip().lower().startswith("javascript:")]

    def handle_data(self, data: str) -> None:
        self.text += data


PAGES = [
    (house.house, ""), (house.house, "part=house"), (house.agent, ""), (house.agent, "part=agent"), (house.agent, "part=log"),
    (incidents.listing, ""), (incidents.listing, "all=1"),
    (incidents.listing, f"part=list&q={EVIL}&state={EVIL}&at={EVIL}&order={EVIL}&page={EVIL}&shown={EVIL}&since={EVIL}"), (incidents.one, ""), (turns.listing, f"q={EVIL}&failed=1&slower={EVIL}"),
    (turns.one, ""), (turns.one, "part=waterfall"),
]  # fmt: skip


@pytest.mark.parametrize("operator", [True, False], ids=["operator", "reader"])
@pytest.mark.parametrize(("handler", "query"), PAGES)
async def test_what_others_wrote_stays_text(handler: Any, query: str, operator: bool) -> None:
    """Names, titles, log lines, issues and attributes that are markup become no element, attribute or script."""
    response: Response = await handler(ask(query, operator))
    reader = Reader()
    reader.feed(bytes(response.body).decode())
    reader.close()
    assert reader.strange == []
    assert reader.inline == []
    assert all((script.get("src") or "").startswith("/static/app.js") for script in reader.scripts)
    assert "alert(2)" in reader.text, "the page no longer shows what this test is about"


async def test_the_path_of_a_turn_is_json_not_html() -> None:
    """What lights the house is data of its own type, so that a browser never takes it for a page."""
    response: Response = await turns.one(ask("part=path"))
    assert response.headers["content-type"] == "application/json"


@pytest.mark.parametrize(("handler", "query"), PAGES)
async def test_pages_forbid_what_they_do_not_need(handler: Any, query: str) -> None:
    """Every page comes with a policy without inline script or style, other origins, or frames, and is not kept."""
    response: Response = await handler(ask(query))
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy and "*" not in policy
    assert response.headers["cache-control"] == "no-store"


async def test_only_the_operator_sees_buttons_that_act() -> None:
    """Somebody who may only read is told to sign in and is shown nothing to press."""
    for handler in (house.agent, incidents.listing, incidents.one):
        reading = bytes((await handler(ask(operator=False))).body).decode()
        acting = bytes((await handler(ask(operator=True))).body).decode()
        assert "data-act=" not in reading
        assert "data-act=" in acting


async def test_a_long_list_leads_on_and_keeps_what_was_chosen() -> None:
    """Pages, states and what is new are addresses that still say words, severity and order; the rows shown are held."""
    chosen = "q=red+door&state=open&at=error&order=errors"
    shown = bytes((await incidents.listing(ask(f"{chosen}&page=2"))).body).decode()
    links = [html.unescape(link) for link in re.findall(r'href="(/errors\?[^"]*)"', shown)]
    kept = "q=red+door&state=open&at=error&order=errors"
    assert {f"/errors?{kept}", f"/errors?{kept}&page=3", f"/errors?{kept.replace('open', 'resolved')}"} <= set(links)
    assert 'data-held="1000000000.0"' in shown and "51–51 of 121" in shown
    assert "new incident" not in shown
    later = bytes((await incidents.listing(ask(f"{chosen}&page=2&part=list&shown=i1&since=5"))).body).decode()
    assert "3 new incidents" in later and 'data-held="5.0"' in later


def test_an_incident_is_told_in_order_of_time() -> None:
    """Cause, first error, effect, alert and decision stand in the order in which they happened."""
    told = incidents.timeline(IncidentDetail(incident=INCIDENT, title="", reports=[], alerts={"slack": 1e9 + 1}))
    assert [moment.time for moment in told] == sorted(moment.time for moment in told)
    assert told[0].kind == "root"
    assert re.search("slack was told", " ".join(moment.what for moment in told))
    assert told[-1].what.endswith("acknowledged")


def test_curves_tell_what_there_was() -> None:
    """What was measured is drawn with its newest and largest value; what was always nothing is left out."""
    points = [Point(agent="A", machine="m", at=at, span_s=10.0, rss_bytes=at * 1024, requests=20.0) for at in (1.0, 3.0, 2.0)]
    assert [(one.label, one.now, one.most) for one in house.sparks(points)] == [
        ("Memory", "2 KiB", "3 KiB"), ("Requests", "2/s", "2/s"),
    ]  # fmt: skip
    assert {one.over for one in house.sparks(points)} == {"the last 11 s"}
    assert house.sparks([]) == []
