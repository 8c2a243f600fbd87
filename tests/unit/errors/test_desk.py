"""The incident desk: every report counts once, decisions hold, and all of it survives a restart."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tandem.core import clock
from tandem.core.errors import InvalidArguments, NotFound, Unavailable
from tandem.core.ids import new_id
from tandem.errors import ErrorReport, Severity
from tandem.errors.desk import NEWS, IncidentDesk
from tandem.errors.engine import Engine
from tandem.errors.escalate import Policy, Route
from tandem.errors.graph import Graph
from tandem.errors.incident import Judgement, State
from tandem.errors.listing import IncidentQuery
from tandem.errors.store import SAMPLES, Outgoing, Store

_numbers = itertools.count()


def report(kind: str = "ValueError", agent: str = "A", message: str = "bad", **more) -> ErrorReport:
    more = {"time": clock.wall(), "id": new_id(), **more}
    return ErrorReport(agent=agent, machine="mainpc", type=kind, message=message, **more)


def _key_of(one: ErrorReport) -> str:
    """The key every desk gives an incident that begins with this report."""
    return Engine(Graph({})).take(one).incident.key


def _refuse(*_arguments: object) -> None:
    raise sqlite3.OperationalError("database or disk is full")


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[IncidentDesk]]]:
    """Opens desks on one store, one after the other."""
    desks: list[IncidentDesk] = []

    async def open_desk(**options) -> IncidentDesk:
        while desks:
            await desks.pop().close()
        desk = IncidentDesk(
            tmp_path / "i" / "incidents.db", {"A@mainpc": [], "B@mainpc": ["A@mainpc"]}, **options
        )
        await desk.open()
        desks.append(desk)
        return desk

    yield open_desk
    for desk in desks:
        await desk.close()


async def test_a_report_counts_once_however_often_it_comes(make) -> None:
    """Within a batch, in a later batch and after a restart a known id is no news."""
    desk = await make()
    one, two = report(), report()
    assert await desk.take([one, one, two]) == 2
    assert await desk.take([two, one]) == 0
    desk = await make()
    assert await desk.take([one, report()]) == 1
    [incident] = await desk.incidents()
    assert incident.count == 3


async def test_incidents_go_on_after_a_restart(make) -> None:
    """A new desk on the same store adds to the same incident and keeps its cause."""
    desk = await make()
    await desk.take([report("ProcessDied", "A", "exit code 1")])
    desk = await make()
    await desk.take([report("Unreachable", "B", "A closed the connection")])
    [incident] = await desk.incidents()
    assert incident.count == 2
    assert incident.title.startswith("A@mainpc died (exit code 1); B@mainpc that needs it failed")


async def test_a_store_that_refuses_loses_and_doubles_nothing(make, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the disk refuses a batch, nothing of it counts; when it comes again, all of it counts once."""
    desk = await make()
    await desk.take([report()])
    batch = [report(), report("Other")]

    def refuse(*_arguments: object) -> None:
        raise Unavailable("disk full")

    monkeypatch.setattr(Store, "save", refuse)
    with pytest.raises(Unavailable):
        await desk.take(batch)
    monkeypatch.undo()
    assert [incident.count for incident in await desk.incidents()] == [1]
    assert await desk.take(batch) == 2
    assert sorted(incident.count for incident in await desk.incidents()) == [1, 2]


async def test_decisions_hold(make) -> None:
    """Acknowledged, snoozed, resolved and reopened incidents are so, by whom and why, also after a restart."""
    desk = await make()
    await desk.take([report()])
    [incident] = await desk.incidents()

    async def decide(verb: str, **more) -> None:
        await desk.judge(
            Judgement(key=incident.key, verb=verb, by="operator", at=clock.wall(), note="me", **more)
        )

    await decide("ack")
    desk = await make()
    [now] = await desk.incidents()
    assert (now.state, now.by, now.note) == (State.ACKNOWLEDGED, "operator", "me")
    await desk.take([report()])
    assert [(i.state, i.count) for i in await desk.incidents()] == [(State.ACKNOWLEDGED, 2)]
    await decide("resolve")
    assert await desk.incidents() == []
    [over] = await desk.incidents(all_states=True)
    assert over.state is State.RESOLVED
    await decide("reopen")
    [again] = await desk.incidents()
    assert (again.id, again.state) == (incident.id, State.OPEN)


async def test_after_its_resolution_an_error_is_news_under_the_same_key(make) -> None:
    """A recurrence is an incident of its own that keeps the stable key."""
    desk = await make()
    await desk.take([report()])
    [first] = await desk.incidents()
    await desk.judge(Judgement(key=first.key, verb="resolve", by="x", at=clock.wall()))
    await desk.take([report()])
    [second] = await desk.incidents()
    assert second.id != first.id
    assert second.key == first.key


async def test_a_snooze_ends(make) -> None:
    """A snoozed incident opens again at its time and not before."""
    desk = await make()
    await desk.take([report()])
    [incident] = await desk.incidents()
    for until, state in ((clock.wall() + 1000, State.SNOOZED), (clock.wall() - 1, State.OPEN)):
        await desk.judge(Judgement(key=incident.key, verb="snooze", by="x", at=clock.wall(), until=until))
        await desk.tick()
        assert [found.state for found in await desk.incidents()] == [state]
    with pytest.raises(InvalidArguments):
        await desk.judge(Judgement(key=incident.key, verb="snooze", by="x", at=clock.wall()))


async def test_the_later_of_two_decisions_counts(make) -> None:
    """Decisions of two hubs may arrive in any order, and repeatedly."""
    desk = await make()
    await desk.take([report()])
    [incident] = await desk.incidents()
    early = Judgement(key=incident.key, verb="ack", by="early", at=clock.wall() + 1)
    late = Judgement(key=incident.key, verb="reopen", by="late", at=clock.wall() + 2)
    for judgement in (late, early, late):
        await desk.judge(judgement)
    [now] = await desk.incidents()
    assert (now.state, now.by) == (State.OPEN, "late")
    assert await desk.judge(Judgement(key="error:unknown", verb="ack", by="x", at=0.0)) is None


async def test_what_other_hubs_must_be_told_is_stored_with_the_decision(make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are there or neither: after a restart the message waits, and a disk that refuses refuses the decision."""
    desk = await make()
    await desk.take([report()])
    [incident] = await desk.incidents()
    ack = Judgement(key=incident.key, verb="ack", by="x", at=clock.wall() + 1)
    await desk.judge(ack, Outgoing("1", b"ack"))
    desk = await make()
    assert await desk.untold() == [Outgoing("1", b"ack")]
    monkeypatch.setattr(Store, "_put_untold", _refuse)
    with pytest.raises(Unavailable):
        await desk.judge(Judgement(key=incident.key, verb="resolve", by="x", at=clock.wall() + 2), Outgoing("2", b"resolve"))
    monkeypatch.undo()
    desk = await make()
    assert [found.state for found in await desk.incidents()] == [State.ACKNOWLEDGED]
    assert await desk.untold() == [Outgoing("1", b"ack")]
    await desk.passed_on("1")
    desk = await make()
    assert await desk.untold() == []


async def test_a_decision_may_come_before_what_it_is_about(make) -> None:
    """What another hub's operator decided holds here once the errors arrive, also after a restart, and once only."""
    desk = await make()
    first = report()
    begun = first.time
    ack = Judgement(key=_key_of(first), verb="ack", by="operator", at=begun + 2, since=begun, note="mine")
    assert await desk.judge(ack) is None
    await desk.judge(Judgement(key=ack.key, verb="resolve", by="nobody", at=begun + 1, since=begun))
    desk = await make()
    await desk.tick()
    await desk.take([first])
    await desk.tick()
    [incident] = await desk.incidents()
    assert (incident.state, incident.by, incident.note) == (State.ACKNOWLEDGED, "operator", "mine")
    await desk.judge(Judgement(key=ack.key, verb="reopen", by="x", at=begun + 3))
    await desk.tick()
    assert [found.state for found in await desk.incidents()] == [State.OPEN]


async def test_a_decision_is_about_one_incident_of_its_cause(make) -> None:
    """One about a later incident does not revive an earlier one; one about an earlier does not end a later one."""
    desk = await make()
    now = clock.wall()
    key = _key_of(report())
    await desk.take([report(time=now - 1000)])
    await desk.judge(Judgement(key=key, verb="resolve", by="x", at=now - 900))
    await desk.judge(Judgement(key=key, verb="ack", by="late", at=now - 400, since=now - 500))
    assert [found.state for found in await desk.incidents(all_states=True)] == [State.RESOLVED]
    await desk.take([report(time=now)])
    await desk.tick()
    await desk.judge(Judgement(key=key, verb="resolve", by="late", at=now - 300, since=now - 500))
    await desk.judge(Judgement(key=key, verb="resolve", by="y", at=now - 800, since=now - 1000))
    assert [found.state for found in await desk.incidents(all_states=True)] == [State.OPEN, State.RESOLVED]


async def test_quiet_incidents_resolve_themselves(make) -> None:
    """After the quiet time an incident is over; one that still has errors, or is snoozed, is not."""
    desk = await make(quiet_s=60)
    now = clock.wall()
    await desk.take([report("Old", time=now - 61), report("New", time=now), report("Slept", time=now - 61)])
    slept = next(found for found in await desk.incidents() if "Slept" in found.title)
    await desk.judge(Judgement(key=slept.key, verb="snooze", by="x", at=now, until=now + 99))
    await desk.tick()
    assert {found.title.split()[0] for found in await desk.incidents()} == {"New", "Slept"}
    [over] = [i for i in await desk.incidents(all_states=True) if i.state is State.RESOLVED]
    assert over.note == "quiet for 1 min"


async def test_incidents_are_found_by_the_end_of_their_id(make) -> None:
    """The id, enough of its last letters, or the key; anything else is told apart from nothing."""
    desk = await make()
    await desk.take([report("One"), report("Two")])
    for incident in await desk.incidents():
        for name in (incident.id, incident.id[-8:], incident.key):
            assert (await desk.show(name)).incident.id == incident.id
    for name in ("zzzzzzzz", "", "error:none"):
        with pytest.raises(NotFound):
            await desk.show(name)


async def test_reports_kept_one_by_one_are_few(make) -> None:
    """An incident of ten thousand errors shows its first ones, counts all, and the store stays small."""
    desk = await make()
    for _ in range(10):
        await desk.take([report() for _ in range(1000)])
    [incident] = await desk.incidents()
    assert incident.count == 10_000
    detail = await desk.show(incident.id)
    assert len(detail.reports) == SAMPLES


async def test_a_merged_incident_s_reports_go_along(make) -> None:
    """When the cause is heard of last, the consequences' reports are shown with it."""
    desk = await make()
    now = clock.wall()
    await desk.take([report("ProcessDied", "B", "exit code 1", time=now + 1)])
    await desk.take([report("ProcessDied", "A", "killed by SIGKILL", time=now)])
    [incident] = await desk.incidents(all_states=True)
    detail = await desk.show(incident.id)
    assert [found.agent for found in detail.reports] == ["A", "B"]


async def test_stats_add_up(make) -> None:
    """Sums by severity, agent and type agree with what was reported; suppressed ones are in."""
    desk = await make()
    await desk.take(
        [report("TimeoutError", "A", severity=Severity.WARNING) for _ in range(50)] + [report("E", "B")]
    )
    stats = await desk.stats(3600)
    assert (stats.errors, stats.incidents, stats.live, stats.suppressed) == (51, 2, 2, 45)
    assert stats.by_agent == {"A@mainpc": 50, "B@mainpc": 1}
    assert stats.by_type == {"TimeoutError": 50, "E": 1}
    assert stats.by_severity == {"warning": 50, "error": 1}


async def test_an_alert_is_due_until_it_is_sent(make) -> None:
    """What was delivered is remembered over a restart; what was not is due again."""
    policy = Policy(routes=(Route(name="chat", to="json://x"), Route(name="pager", to="json://y")))
    desk = await make(policy=policy)
    await desk.take([report(severity=Severity.CRITICAL)])
    alerts = [alert for alert, _ in await desk.due()]
    assert {alert.route.name for alert in alerts} == {"chat", "pager"}
    await desk.sent(alerts[0])
    desk = await make(policy=policy)
    assert [alert.route.name for alert, _ in await desk.due()] == [alerts[1].route.name]
    [incident] = await desk.incidents()
    await desk.judge(Judgement(key=incident.key, verb="resolve", by="x", at=clock.wall()))
    assert [(alert.route.name, alert.stage) for alert, _ in await desk.due()] == [
        (alerts[0].route.name, "resolved")
    ]


def put_aside(folder: Path) -> list[str]:
    return [path.read_text() for path in folder.glob("incidents.db.damaged-*")]


async def test_a_store_that_is_no_database_is_kept_aside(tmp_path: Path) -> None:
    """It is not overwritten, and a hub that watches the house from now on is worth more than one that does not start."""
    (tmp_path / "incidents.db").write_text("not a database, and long enough to be looked at" * 100)
    desk = IncidentDesk(tmp_path / "incidents.db", {})
    await desk.open()
    assert await desk.incidents() == [] and await desk.take([report()]) == 1
    await desk.close()
    assert [text[:14] for text in put_aside(tmp_path)] == ["not a database"]


async def test_an_unusable_store_says_so(tmp_path: Path) -> None:
    """A place that cannot hold a file is named."""
    (tmp_path / "incidents.db").mkdir()
    desk = IncidentDesk(tmp_path / "incidents.db", {})
    with pytest.raises(Unavailable, match=r"incidents\.db cannot be used"):
        await desk.open()


async def test_a_list_is_searched_sorted_and_told_in_pieces(make) -> None:
    """Words, severity and state choose; order and place cut a piece out; counts say what there is besides."""
    desk = await make()
    now = clock.wall()
    for number, kind in enumerate(("Alpha", "Beta", "Gamma", "Delta")):
        severity = Severity.CRITICAL if kind == "Gamma" else Severity.WARNING
        await desk.take([report(kind, agent=f"Agent{kind}", time=now - 100 + number, severity=severity)])
    await desk.take([report("Alpha", agent="AgentAlpha", time=now - 1, severity=Severity.WARNING)])
    everything = await desk.search(IncidentQuery())
    assert [found.title.split()[0] for found in everything.incidents] == ["Delta", "Gamma", "Beta", "Alpha"]
    assert (everything.matching, everything.newest, everything.totals) == (4, now - 97, {State.OPEN: 4})
    for order, first in (("last", "Alpha"), ("errors", "Alpha"), ("severity", "Gamma")):
        assert (await desk.search(IncidentQuery(order=order))).incidents[0].title.startswith(first), order
    piece = await desk.search(IncidentQuery(skip=1, limit=2))
    assert [found.title.split()[0] for found in piece.incidents] == ["Gamma", "Beta"] and piece.matching == 4
    beta = next(found for found in everything.incidents if found.title.startswith("Beta"))
    await desk.judge(Judgement(key=beta.key, verb="resolve", by="operator", at=now + 1, since=beta.first, note="swapped the fuse"))
    for words, counts in (("FUSE beta", {State.RESOLVED: 1}), ("agent@ agentd", {}), ("agentdelta@mainpc", {State.OPEN: 1})):
        found = await desk.search(IncidentQuery(words=words, state="all"))
        assert (found.states, found.matching) == (counts, sum(counts.values())), words
        assert found.totals == {State.OPEN: 3, State.RESOLVED: 1}
    grave = await desk.search(IncidentQuery(severity=Severity.ERROR, since=now - 99))
    assert (grave.matching, grave.newer, grave.states) == (1, 1, {State.OPEN: 1})


async def test_rows_that_are_shown_stay_what_they_are(make) -> None:
    """The rows of a page come back in their order, with what has become of them, whatever the list would show now."""
    desk = await make()
    await desk.take([report("Alpha"), report("Beta", agent="B")])
    first, second = [found.id for found in (await desk.search(IncidentQuery(order="errors"))).incidents]
    began = clock.wall()
    await desk.judge(Judgement(key=(await desk.find(second)).key, verb="resolve", by="", at=began + 1))
    await desk.take([report("Gamma", time=began + 5)])
    held = await desk.search(IncidentQuery(rows=(second, "forgotten", first), since=began + 1))
    assert [(found.id, str(found.state)) for found in held.incidents] == [(second, "resolved"), (first, "open")]
    assert (held.matching, held.newer) == (2, 1)


async def test_what_changed_is_told_once_in_pieces(make) -> None:
    """Every incident that changed is news once, however old it is and however many there are; of too many the latest."""
    desk = await make()
    await desk.take([report(f"Kind{chr(65 + n // 26)}{chr(65 + n % 26)}") for n in range(NEWS + 5)])
    told = [found.id for found in await desk.news()]
    assert len(told) == NEWS
    rest = [found.id for found in await desk.news()]
    last = rest[-1]
    assert len(rest) == 5 and not set(rest) & set(told) and await desk.news() == []
    await desk.judge(Judgement(key=(await desk.find(last)).key, verb="resolve", by="", at=clock.wall() + 1))
    assert [(found.id, found.state) for found in await desk.news()] == [(last, State.RESOLVED)]
