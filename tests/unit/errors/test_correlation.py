"""Floods of related errors become one incident, and it names its probable cause."""

from __future__ import annotations

import itertools

import pytest

from tandem.errors import ErrorReport, Severity
from tandem.errors.engine import Engine
from tandem.errors.graph import Graph
from tandem.errors.incident import Incident, State

STORE = "MemoryOrchestratorService@pc2"
CLIENTS = [f"Client{n}@mainpc" for n in range(12)]
NEEDS = {
    STORE: [],
    **{client: [STORE] for client in CLIENTS},
    "Librarian@mainpc": ["Client0@mainpc"],
    "Loner@mainpc": [],
    **{f"Worker{n}@pc2": [] for n in range(8)},
}
_ids = itertools.count()


def report(origin: str, kind: str, at: float, message: str = "", **more) -> ErrorReport:
    agent, _, machine = origin.partition("@")
    return ErrorReport(
        id=f"{next(_ids):026d}", agent=agent, machine=machine, type=kind, message=message, time=at, **more
    )


def death(origin: str, at: float, how: str = "killed by SIGKILL") -> ErrorReport:
    return report(origin, "ProcessDied", at, how)


def incidents(*reports: ErrorReport) -> list[Incident]:
    """The live incidents after these reports."""
    engine = Engine(Graph(NEEDS))
    for one in reports:
        engine.take(one)
    return engine.live()


def unreachable(client: str, at: float, peer: str = "MemoryOrchestratorService") -> ErrorReport:
    return report(client, "Unreachable", at, f"{peer} closed the connection")


def test_twelve_agents_cannot_reach_what_died() -> None:
    """The death and everybody's failed calls are one incident, whose title tells cause, reach and delay."""
    [incident] = incidents(death(STORE, 100.0), *(unreachable(c, 103.0 + n) for n, c in enumerate(CLIENTS)))
    assert incident.key == f"agent:{STORE}"
    assert incident.count == 13
    assert incident.title() == (
        f"{STORE} died (killed by SIGKILL); 12 agents (Client0, Client1, Client2 and 9 more) that need it failed, "
        "the first 3.0 s later"
    )


def test_the_order_of_arrival_does_not_matter() -> None:
    """The death is the cause even when its report comes after its consequences'."""
    reports = [*(unreachable(c, 103.0 + n) for n, c in enumerate(CLIENTS)), death(STORE, 100.0)]
    for order in (reports, reports[::-1], reports[6:] + reports[:6]):
        [incident] = incidents(*order)
        assert (incident.root.kind, incident.root.agent, incident.count) == ("died", STORE, 13)
        assert "the first 3.0 s later" in incident.title()


def test_a_hung_peer_is_named_without_a_death() -> None:
    """Nobody reported a death, and still the agents that nobody reaches is the cause."""
    [incident] = incidents(
        *(
            report(c, "DeadlineExceeded", 5.0, "MemoryOrchestratorService@pc2 did not answer in time")
            for c in CLIENTS
        )
    )
    assert incident.title() == (
        f"12 agents (Client0, Client1, Client2 and 9 more) cannot reach {STORE} (12 times in 0.0 s)"
    )


def test_the_peer_in_the_context_counts() -> None:
    """A report made by an open circuit breaker names its peer there."""
    first = report("Loner@mainpc", "PeerUnreachable", 1.0, "gone", context={"peer": "Client3"})
    [incident] = incidents(first)
    assert incident.key == "agent:Client3@mainpc"


def test_a_cascade_has_one_root() -> None:
    """Who dies after what it leans on, directly or not, and who then cannot reach that one, is part of the first death."""
    [incident] = incidents(
        death(STORE, 100.0),
        death("Client0@mainpc", 102.0, "exit code 1"),
        unreachable("Librarian@mainpc", 104.0, "Client0"),
        death("Librarian@mainpc", 105.0, "exit code 1"),
    )
    assert (incident.root.agent, incident.count) == (STORE, 4)


def test_a_cascade_heard_backwards_has_one_root() -> None:
    """Incidents already open are merged when the cause is heard of last."""
    engine = Engine(Graph(NEEDS))
    late = engine.take(death("Client0@mainpc", 102.0)).incident
    taken = engine.take(death(STORE, 100.0))
    assert [merged.id for merged in taken.merged] == [late.id]
    assert (late.state, late.merged_into) == (State.MERGED, taken.incident.id)
    [incident] = engine.live()
    assert (incident.root.agent, incident.count) == (STORE, 2)
    assert engine.take(unreachable("Librarian@mainpc", 103.0, "Client0")).incident is incident


def test_connection_trouble_without_a_name_belongs_to_the_dead_need() -> None:
    """An agent whose need has just died and that fails to connect to something is a consequence."""
    [incident] = incidents(
        death(STORE, 100.0), report("Client4@mainpc", "ConnectionRefusedError", 101.0, "connection refused")
    )
    assert incident.root.agent == STORE


@pytest.mark.parametrize(
    "other",
    [
        report("Loner@mainpc", "ConnectionRefusedError", 101.0, "connection refused"),
        report("Client4@mainpc", "ValueError", 101.0, "not a number"),
        report("Client4@mainpc", "ConnectionRefusedError", 300.0, "connection refused"),
        death("Loner@mainpc", 101.0),
        death("Client0@mainpc", 200.0),
    ],
    ids=["does not need it", "another kind of error", "much later", "an unrelated death", "a later death"],
)
def test_what_has_nothing_to_do_with_it_stays_apart(other: ErrorReport) -> None:
    """A death does not swallow every error of its time."""
    assert len(incidents(death(STORE, 100.0), other)) == 2


def test_a_server_s_death_explains_its_machine_s_trouble() -> None:
    """NATS is nobody's declared need and still everybody leans on it."""
    [incident] = incidents(
        death("nats@mainpc", 10.0),
        report("Loner@mainpc", "Unreachable", 11.0, "no connection to NATS at tls://127.0.0.1:4222"),
        report("Client1@mainpc", "Unreachable", 12.0, "no connection to NATS at tls://127.0.0.1:4222"),
    )
    assert incident.title().startswith("nats@mainpc died (killed by SIGKILL); 2 agents (Loner, Client1)")


def test_many_deaths_at_once_are_the_machine_s() -> None:
    """Five unrelated processes ending within seconds are one incident of their machine, and later ones join it."""
    [incident] = incidents(*(death(f"Worker{n}@pc2", 50.0 + n * 0.2) for n in range(8)))
    assert incident.key == "machine:pc2"
    assert incident.count == 8
    assert incident.title().startswith("8 processes of pc2 ended within seconds")


def test_four_deaths_are_four() -> None:
    """A few unrelated deaths stay apart."""
    assert len(incidents(*(death(f"Worker{n}@pc2", 50.0) for n in range(4)))) == 4


def test_a_trace_joins_cause_and_consequence() -> None:
    """Errors of one turn are one incident, and the first of them is its cause, whichever arrives first."""
    inner = report("Worker1@pc2", "KeyError", 9.9, "'tea'", trace_id="a" * 32)
    outer = report("Loner@mainpc", "TurnFailed", 10.0, "no answer", trace_id="a" * 32)
    for order in ((inner, outer), (outer, inner)):
        [incident] = incidents(*order)
        assert (incident.root.agent, incident.root.type) == ("Worker1@pc2", "KeyError")
        assert incident.title() == "KeyError in Worker1@pc2, also in Loner: 'tea' (2 times in 0.1 s)"


def test_other_traces_do_not_join() -> None:
    """Different errors in different turns are different incidents."""
    one = report("Worker1@pc2", "KeyError", 9.9, "'tea'", trace_id="a" * 32)
    other = report("Loner@mainpc", "TurnFailed", 10.0, "no answer", trace_id="b" * 32)
    assert len(incidents(one, other)) == 2


def test_the_same_trouble_in_several_agents_is_one() -> None:
    """A full disk is one incident, however many agents meet it within moments; much later it is news."""
    full = [
        report(f"Worker{n}@pc2", "OSError", n * 5.0, "[Errno 28] No space left on device") for n in range(5)
    ]
    [incident] = incidents(*full)
    assert incident.title() == (
        "OSError in Worker0@pc2, also in Worker1, Worker2, Worker3 and 1 more: [Errno 28] No space left on device "
        "(5 times in 20.0 s)"
    )
    later = report("Worker7@pc2", "OSError", 500.0, "[Errno 28] No space left on device")
    assert len(incidents(*full, later)) == 2


def test_a_recurring_error_is_one_incident() -> None:
    """The same error again and again is counted, not listed."""
    [incident] = incidents(*(report("Loner@mainpc", "ValueError", n, f"row {n} is bad") for n in range(1000)))
    assert incident.count == 1000
    assert incident.latest is not None
    assert incident.latest.message == "row 999 is bad"


def test_floods_are_counted_whole_and_marked() -> None:
    """What a rule suppresses is in the count, and an escalation says which rule was broken."""
    [incident] = incidents(*(unreachable("Client0@mainpc", n * 0.1) for n in range(100)))
    assert (incident.count, incident.suppressed) == (100, 90)
    [incident] = incidents(*(report("Loner@mainpc", "MemoryError", n, "no memory") for n in range(3)))
    assert incident.escalated == "3 MemoryError in 300 s"


def test_the_worst_severity_counts() -> None:
    """An incident is as severe as its worst report, and knows since when it is critical."""
    [incident] = incidents(
        report("Loner@mainpc", "E", 1.0, "m", severity=Severity.WARNING),
        report("Loner@mainpc", "E", 2.0, "m", severity=Severity.CRITICAL),
        report("Loner@mainpc", "E", 3.0, "m", severity=Severity.WARNING),
    )
    assert (incident.severity, incident.critical_since) == (Severity.CRITICAL, 2.0)


def test_one_incident_per_cause_in_a_storm() -> None:
    """Thousands of errors of several causes at the same time are as many incidents as causes."""
    reports = []
    for n in range(2000):
        reports.append(unreachable(CLIENTS[n % 12], 101.0 + n * 0.001))
        reports.append(report("Loner@mainpc", "ValueError", 101.0 + n * 0.001, f"row {n} is bad"))
        reports.append(report("Worker3@pc2", "KeyError", 101.0 + n * 0.001, "'x'", trace_id=f"{n:032x}"))
    found = incidents(*reports, death(STORE, 100.0))
    assert sorted(incident.root.agent for incident in found) == ["Loner@mainpc", STORE, "Worker3@pc2"]
    assert sum(incident.count for incident in found) == 6001


def test_an_incident_s_size_is_bounded() -> None:
    """Whatever comes, an incident lists no more than its limits, and still counts everything."""
    engine = Engine(Graph({f"A{n}@m": [] for n in range(500)}))
    for n in range(500):
        engine.take(report(f"A{n}@m", "OSError", n * 0.01, "disk full", trace_id=f"{n:032x}"))
    [incident] = engine.live()
    assert incident.count == 500
    assert (len(incident.agents), len(incident.aliases), len(incident.traces)) == (200, 200, 50)


def told_about(agent: str, kind: str, at: float) -> ErrorReport:
    return report("HealthMonitor@pc2", kind, at, f"{agent} gets worse", context={"about": agent})


def test_what_a_monitor_tells_of_a_dead_agent_is_part_of_its_incident() -> None:
    """The same trouble is not said twice: it counts with the agent whose trouble it is, and its deaths are still told by number."""
    [incident] = incidents(
        death(STORE, 100.0), death(STORE, 110.0), told_about(STORE, "FaultForeseen:restarts", 130.0),
        told_about(STORE, "RecoveryExhausted", 200.0),
    )  # fmt: skip
    assert (incident.key, incident.count, list(incident.agents)) == (f"agent:{STORE}", 4, [STORE])
    assert incident.title() == f"{STORE} died (killed by SIGKILL) (2 times in 10.0 s)"


def test_what_a_monitor_foresees_is_about_the_agent() -> None:
    """Before anything has happened it is an incident of the agent's, not of the monitor's, and one for each agent."""
    first, second = incidents(
        told_about(STORE, "FaultForeseen:memory", 100.0), told_about("Loner@mainpc", "FaultForeseen:memory", 101.0)
    )
    assert (first.root.agent, second.root.agent) == (STORE, "Loner@mainpc")
    assert first.title() == f"FaultForeseen:memory in {STORE}: {STORE} gets worse"
