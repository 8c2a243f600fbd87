"""What `tandem errors` understands and shows."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from typer.testing import CliRunner

from tandem.cli import asking, errors_view
from tandem.cli.errors import app, seconds_of
from tandem.core.errors import InvalidArguments
from tandem.errors import ErrorReport, Severity
from tandem.errors.desk import ErrorStats, IncidentDetail, IncidentPage, view
from tandem.errors.incident import Incident, Root, State
from tandem.errors.legacy import Phase
from tandem.errors.listing import IncidentQuery


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("15m", 900), ("2h", 7200), ("7d", 604_800), ("1.5h", 5400), ("30", 30)],
)
def test_spans_of_time(text: str, seconds: float) -> None:
    """Seconds, minutes, hours and days."""
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "h", "-1h", "0", "1w", "soon"])
def test_other_words_are_refused(text: str) -> None:
    """What is no span of time says what one looks like."""
    with pytest.raises(InvalidArguments):
        seconds_of(text)


REPORT = ErrorReport(
    id="01k5h3v9c2m4n6p8q0r2s4t6v8", agent="Cook", machine="mainpc", type="ProcessDied", message="killed [by]\nSIGKILL",
    severity=Severity.ERROR, time=1_790_000_000.0, trace_id="0" * 31 + "1", count=3,
    context={"stderr": "last [words]"}, frames=("m:f:1",),
)  # fmt: skip


def incident() -> Incident:
    made = Incident(
        id="01k5h3v9c2m4n6p8q0r2s4t6v8", key="agent:Cook@mainpc", severity=Severity.CRITICAL, first=REPORT.time,
        last=REPORT.time, root=Root("died", "Cook@mainpc", "ProcessDied", "killed by [SIGKILL]", REPORT.time),
        state=State.ACKNOWLEDGED, by="operator", note="mine",
    )  # fmt: skip
    made.add(REPORT)
    return made


def test_the_list_shows_cause_and_caretaker(capsys: pytest.CaptureFixture[str]) -> None:
    """One row with short id, state and title; brackets in texts are no markup."""
    errors_view.show_incidents([view(incident())])
    shown = capsys.readouterr().out
    for words in (
        "2s4t6v8"[-6:],
        "critical",
        "acknowledged by operator",
        "died (killed by [SIGKILL])",
        "(mine)",
    ):
        assert words in shown
    errors_view.show_incidents([])
    assert "No incidents" in capsys.readouterr().out


def test_a_narrow_terminal_shows_what_matters(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In 80 columns a row keeps cause, state and caretaker; a long cause is cut on the screen only."""
    long = msgspec.structs.replace(view(incident()), title="it is the fuse " * 100)
    monkeypatch.setenv("COLUMNS", "80")
    errors_view.show_incidents([long])
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) < 10 and max(len(line) for line in shown.splitlines()) <= 80
    assert "acknowledged by operator (mine)" in " ".join(shown.split()) and "…" in shown
    monkeypatch.delenv("COLUMNS")
    errors_view.show_incidents([long])
    assert " ".join(long.title.split()) in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "query"),
    [
        (["-n", "1"], IncidentQuery(order="last", limit=1)),
        (["the", "fuse", "--at", "error"], IncidentQuery(words="the fuse", severity=Severity.ERROR, order="last", limit=50)),
        (["--state", "snoozed"], IncidentQuery(state="snoozed", order="last", limit=50)),
        (["--all", "--json"], IncidentQuery(state="all", order="last", limit=50)),
    ],
)
def test_a_list_that_is_cut_says_of_how_many(words: list[str], query: IncidentQuery, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was asked reaches the hub; people read how many there are and how to see them, programs get a bare list."""
    counts = {State.OPEN: 900, State.ACKNOWLEDGED: 100}
    hub = Asked(IncidentPage(incidents=[view(incident())], matching=1000, newer=0, newest=0.0, states=counts, totals=counts))

    async def ask(put: Any, _limit_s: float) -> object:
        return await put(hub)

    monkeypatch.setattr(asking, "ask_hub", ask)
    done = CliRunner().invoke(app, ["list", *words], env={"COLUMNS": "80"})
    assert (done.exit_code, hub.questions) == (0, [("search_incidents", (query,))]), done.output
    if "--json" in words:
        assert [found["key"] for found in json.loads(done.output)] == ["agent:Cook@mainpc"]
    else:
        said = " ".join(done.output.split())
        assert "1 of 1000 shown; in all 900 open, 100 acknowledged. More: -n 1000" in said


def test_a_state_nobody_knows_is_refused() -> None:
    """A mistyped state is no empty list."""
    with pytest.raises(InvalidArguments):
        CliRunner().invoke(app, ["list", "--state", "opne"], catch_exceptions=False)


def test_one_incident_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    """Key, counts, types, alerts, reports with frames and the process's last words."""
    detail = IncidentDetail(
        incident=incident(), title="t", reports=[REPORT], alerts={"slack (opened)": REPORT.time}
    )
    errors_view.show_incident(detail)
    shown = capsys.readouterr().out
    for words in ("agent:Cook@mainpc", "ProcessDied 3", "slack (opened)", "m:f:1", "| last [words]"):
        assert words in shown


def test_a_report_is_one_line() -> None:
    """Line breaks in a message are folded; JSON lines can be read back."""
    line = errors_view.report_line(REPORT)
    assert "\n" not in line
    assert "error    Cook@mainpc ProcessDied: killed [by] SIGKILL x3 turn=00000000000000000000000001" in line
    assert json.loads(errors_view.report_line(REPORT, json=True))["agent"] == "Cook"


def test_stats_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """Totals first, then the lists."""
    stats = ErrorStats(
        since=0.0,
        incidents=2,
        live=1,
        errors=7,
        suppressed=3,
        by_severity={"error": 7},
        by_agent={"A@m": 7},
        by_type={},
    )
    errors_view.show_stats(stats)
    shown = capsys.readouterr().out
    assert "7 errors in 2 incidents, 1 of them live; 3 counted only" in shown
    assert "A@m" in shown


class Asked:
    """A hub that writes down what it was asked, and answers ``answer``."""

    def __init__(self, answer: object) -> None:
        self.questions: list[tuple[str, tuple[object, ...]]] = []
        self._answer = answer

    def __getattr__(self, action: str) -> Any:
        async def answer(*arguments: object) -> object:
            self.questions.append((action, arguments))
            return self._answer

        return answer


@pytest.mark.parametrize(
    ("words", "answer", "question", "shown"),
    [
        (["ack", "k3v9", "-m", "mine"], view(incident()), ("acknowledge_incident", ("k3v9", "mine")), "acknowledged by operator"),
        (["snooze", "k3v9", "2h"], view(incident()), ("snooze_incident", ("k3v9", 7200.0, "")), "agent:Cook@mainpc"),
        (["resolve", "k3v9", "-m", "over"], view(incident()), ("resolve_incident", ("k3v9", "over")), "agent:Cook@mainpc"),
        (["reopen", "k3v9"], view(incident()), ("reopen_incident", ("k3v9", "")), "agent:Cook@mainpc"),
        (["replay", "--since", "2h"], 5, ("replay_errors", (7200.0,)), "5 reports counted"),
        (["migrate", "--phase", "off"], Phase.DUAL, ("migrate_errors", (Phase.OFF,)), "was in phase dual and is now in off"),
    ],
)
def test_each_verb_asks_the_hub_for_what_it_says(
    words: list[str], answer: object, question: object, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Incident, note, span and phase reach the hub's action, and its answer is shown."""
    hub = Asked(answer)

    async def ask(put: Any, _limit_s: float) -> object:
        return await put(hub)

    monkeypatch.setattr(asking, "ask_hub", ask)
    as_json = shown.startswith("agent:")
    done = CliRunner().invoke(app, [*words, "--json"] if as_json else words, env={"COLUMNS": "200"})
    assert (done.exit_code, hub.questions) == (0, [question]), done.output
    assert shown in done.output
