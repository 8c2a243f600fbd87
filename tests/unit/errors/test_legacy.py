"""What an old ZeroMQ bus says is understood, and told once."""

from __future__ import annotations

import json

import pytest

from tandem.core import clock
from tandem.core.ids import new_id
from tandem.errors import ErrorReport, Severity
from tandem.errors.legacy import Twins, parse, render


def old(**fields) -> ErrorReport:
    found = parse([f"ERROR:{json.dumps(fields)}".encode()], "pc2")
    assert found is not None
    return found


def test_the_old_form_is_understood() -> None:
    """Type, message, severity, details, sender and time under any of their old names."""
    now = clock.wall()
    report = old(
        error_type="llm_unreachable", message="refused", at=now, severity="CRITICAL", agent_name="Chit chat"
    )
    assert (report.type, report.message, report.severity) == ("llm_unreachable", "refused", Severity.CRITICAL)
    assert (report.agent, report.machine, report.time) == ("Chitchat", "pc2", now)
    assert old(type="T", error="m", details={"n": 1}).context == {"n": 1, "transport": "zmq"}


def test_two_frames_are_understood() -> None:
    """A topic in a frame of its own says the same."""
    report = parse([b"ERROR:", b'{"error_type": "T", "message": "m"}'], "pc2")
    assert report is not None
    assert (report.type, report.agent) == ("T", "legacy")


@pytest.mark.parametrize(
    "data", [b"", b"ERROR:", b"ERROR:[1]", b"ERROR:{}", b"HEALTH:ok", b"\xff", b'ERROR:{"at": 1}']
)
def test_other_messages_are_none(data: bytes) -> None:
    """Whatever else travels on the port is left alone."""
    assert parse([data], "pc2") is None


def test_nonsense_is_bounded() -> None:
    """Unbelievable times and short ids, which several senders would share, are replaced."""
    report = old(error_type="T", message="m", at=5, id="1")
    assert abs(report.time - clock.wall()) < 60
    assert len(report.id) == 26


def test_readers_of_the_old_bus_get_its_form() -> None:
    """What is rendered is parsed back with the same id, so it can be recognised."""
    report = ErrorReport(
        id=new_id(),
        agent="A",
        machine="pc2",
        type="T",
        message="m",
        severity=Severity.WARNING,
        time=clock.wall(),
    )
    again = parse([render(report)], "pc2")
    assert again is not None
    assert (again.id, again.agent, again.type, again.severity) == (report.id, "A", "T", Severity.WARNING)


@pytest.mark.parametrize("first", ["old", "new"])
def test_an_error_told_on_both_buses_counts_once(first: str) -> None:
    """Whichever comes first, one old message and one new report of the same words are one error."""
    twins = Twins(window_s=5)
    message, report = old(error_type="T", message="m"), old(error_type="T", message="m")
    for at, which in enumerate((first, "new" if first == "old" else "old")):
        twins.on_old(message, at) if which == "old" else twins.on_new(report, at)
    assert twins.ripe(100.0) == []


def test_what_only_the_old_bus_tells_counts() -> None:
    """After the window it is given once; real repetitions are matched one against one."""
    twins = Twins(window_s=5)
    messages = [old(error_type="T", message="m") for _ in range(3)]
    for at, message in enumerate(messages):
        twins.on_old(message, at)
    twins.on_new(old(error_type="T", message="m"), 3)
    assert twins.ripe(4.9) == []
    assert [report.id for report in twins.ripe(50)] == [message.id for message in messages[1:]]
    assert twins.ripe(60) == []


def test_a_late_twin_is_another_error() -> None:
    """The same words a minute later are a new error."""
    twins = Twins(window_s=5)
    twins.on_new(old(error_type="T", message="m"), 0)
    twins.on_old(old(error_type="T", message="m"), 60)
    assert len(twins.ripe(70)) == 1
