"""Which changes of a runner are deaths, and what the error bus is told of them."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest
from msgspec.structs import replace

from tandem.core import clock
from tandem.core.paths import Home
from tandem.errors import ErrorReport, Severity
from tandem.errors.client import Ships
from tandem.supervise.deaths import Deaths, death_report, died
from tandem.supervise.decide import decide
from tandem.supervise.escalation import Alarm, Level
from tandem.supervise.lifecycle import (
    AgentState,
    Exit,
    Exited,
    NeedsMet,
    Phase,
    Policy,
    Ready,
    Start,
    Stop,
    Unresponsive,
)
from tandem.supervise.runner import Runner, Subject
from tandem.supervise.wire import NodeLoss

POLICY = Policy(intensity=3)


def after(state: AgentState, *events) -> tuple[AgentState, list[bool]]:
    """The state after the events, and which of them were deaths."""
    deaths = []
    for event in events:
        before, state = state, decide(state, event, clock.monotonic(), 0.5).state
        deaths.append(died(before, state))
    return state, deaths


def running() -> AgentState:
    state, _ = after(AgentState(policy=POLICY), Start(), NeedsMet("i1"))
    return after(state, Ready(state.instance))[0]


def ended(state: AgentState, **how) -> Exited:
    return Exited(state.instance, Exit(at=clock.monotonic(), **how), True)


def report_of(
    state: AgentState, tail: list[str], before: AgentState | None = None, alarm: Alarm | None = None
):
    runner = Runner(Subject(name="Cook", kind="agent", policy=POLICY), shell=object(), state=state)
    runner.tail = tail
    return death_report("mainpc", runner, before or running(), alarm)


@pytest.mark.parametrize("how", [{"signal": 9}, {"code": 1}, {"code": 0}, {"code": 78}])
def test_a_process_that_ends_by_itself_died(how: dict[str, int]) -> None:
    """Whatever the exit status: a running agent was wanted."""
    state = running()
    assert after(state, ended(state, **how))[1] == [True]


def test_what_the_operator_ended_did_not_die() -> None:
    """Stopping is no error."""
    state = running()
    assert after(state, Stop(), ended(state, signal=15))[1] == [False, False]


def test_the_report_says_how_it_ended_and_its_last_words() -> None:
    """Exit, the last lines without their log dressing, and the agent it is about, not the node that saw it."""
    state = running()
    state, _ = after(state, ended(state, signal=11))
    tail = ["plain line", '{"ts":"2026-01-01T00:00:00Z","level":"ERROR","agent":"Cook","msg":"oven on fire"}']
    report = report_of(state, tail)
    assert (report.agent, report.machine, report.type) == ("Cook", "mainpc", "ProcessDied")
    assert report.severity is Severity.ERROR
    assert report.message == "killed by SIGSEGV; it last said: oven on fire"
    assert report.context["exit"] == "killed by SIGSEGV"
    assert "plain line" in str(report.context["stderr"])
    assert abs(report.time - clock.wall()) < 5


def test_an_unresponsive_one_is_called_so() -> None:
    """A process supervision had to kill is told apart from one that crashed."""
    state = running()
    killed, _ = after(state, Unresponsive(state.instance))
    state, deaths = after(killed, ended(killed, signal=9))
    assert deaths == [True]
    assert report_of(state, [], killed).type == "Unresponsive"


def test_giving_up_is_critical() -> None:
    """A configuration error, which is not retried, and the death that makes it the operator's matter are critical."""
    state = running()
    failed, _ = after(state, ended(state, code=78))
    assert failed.phase is Phase.FAILED
    assert report_of(failed, []).severity is Severity.CRITICAL
    state = replace(running(), deaths=(clock.monotonic(), clock.monotonic()))
    escalated, deaths = after(state, ended(state, signal=9))
    assert deaths == [True]
    mended = Alarm(0.0, escalated.instance, "g", Level.GROUP, 3)
    told = Alarm(0.0, escalated.instance, "g", Level.OPERATOR, 3, "restarting its group g did not help")
    assert report_of(escalated, [], alarm=mended).severity is Severity.ERROR
    critical = report_of(escalated, [], alarm=told)
    assert critical.severity is Severity.CRITICAL
    assert critical.context["escalated"] == "to the operator: restarting its group g did not help"
    older = Alarm(0.0, "another", "g", Level.OPERATOR, 3, "told before")
    assert report_of(escalated, [], alarm=older).severity is Severity.ERROR


def test_last_words_are_bounded_and_without_secrets() -> None:
    """Neither a long tail nor a password in it gets through."""
    state = running()
    state, _ = after(state, ended(state, code=1))
    report = report_of(state, ["x" * 2000] * 20 + ["password=hunter2"])
    assert "hunter2" not in str(report)
    assert len(str(report.context["stderr"])) <= 1000


@pytest.mark.parametrize(
    "line",
    [
        "15547:M 21 Nov 2026 17:21:04.355 * out of memory",
        "[15543] 2026/11/21 17:21:04.355123 [ERR] out of memory",
        "out of memory",
    ],
)
def test_servers_words_are_told_without_their_stamp(line: str) -> None:
    """Neither the time nor the process number in front of a server's last words belongs to an incident's title."""
    state, _ = after(running(), ended(running(), signal=9))
    assert report_of(state, [line]).message == "killed by SIGKILL; it last said: out of memory"


def test_last_words_begin_with_a_whole_line() -> None:
    """What does not fit is left out by lines."""
    state, _ = after(running(), ended(running(), code=1))
    kept = str(report_of(state, [f"{n} {'x' * 90}" for n in range(40)]).context["stderr"]).splitlines()
    assert kept == [f"{n} {'x' * 90}" for n in range(40 - len(kept), 40)] and len(kept) > 5


def test_the_end_of_the_node_before_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many nodes hear of it, it is one report; another end is another one, and an old one is no news."""
    deaths = Deaths("mainpc", Home(tmp_path).machine("mainpc"), cast(Ships, None), lambda _runner: None)
    told: list[ErrorReport] = []
    monkeypatch.setattr(deaths._errors, "submit", told.append)
    now = clock.wall()
    for loss in (NodeLoss(at=now - 5, why="signal 9"), NodeLoss(at=now - 5, why="signal 9"), NodeLoss(at=now - 2, why="signal 6")):
        deaths.predecessor(loss)
    deaths.predecessor(None)
    deaths.predecessor(NodeLoss(at=now - 86_400, why="signal 9"))
    assert [(report.agent, report.type, report.time) for report in told] == [
        ("node", "ProcessDied", now - 5), ("node", "ProcessDied", now - 5), ("node", "ProcessDied", now - 2),
    ]  # fmt: skip
    assert told[0].id == told[1].id != told[2].id
    assert told[0].message == "signal 9; agents serve on, another node has taken over"
