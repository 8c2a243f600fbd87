"""What a report says, however it was made."""

from __future__ import annotations

import pytest

from tandem.core.errors import Unreachable
from tandem.core.ids import AgentId
from tandem.errors.report import MAX_CONTEXT, MAX_MESSAGE, ErrorReport, make_report, understand
from tandem.errors.severity import SEVERITIES, Severity
from tandem.telemetry.resource import Resource, resource_scope
from tandem.telemetry.tracing import start_turn

ORIGIN = AgentId("Librarian@mainpc")


def report_of(error_type="", message="", severity="error", context=None) -> ErrorReport:
    return make_report(ORIGIN, understand(error_type, message, severity, context))


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("DiskFull", "no room", "critical"), ("DiskFull", "no room", Severity.CRITICAL, {})),
        (("critical", "no room", {"disk": "sda"}), ("Error", "no room", Severity.CRITICAL, {"disk": "sda"})),
        (("WARN", "slow"), ("Error", "slow", Severity.WARNING, {})),
        (("DiskFull", "no room"), ("DiskFull", "no room", Severity.ERROR, {})),
        (("Error", "odd", "fatal"), ("Error", "odd", Severity.CRITICAL, {})),
        (("DiskFull", "no room", "eror"), ("DiskFull", "no room", Severity.ERROR, {})),
        (("", "odd", "warning", {"n": 3}), ("Error", "odd", Severity.WARNING, {"n": 3})),
    ],
)
def test_both_forms_of_the_plans_are_understood(arguments, meant) -> None:
    """(type, message, severity) and (severity, message, context) say the same things; a misspelt severity loses nothing."""
    report = report_of(*arguments)
    assert (report.type, report.message, report.severity, report.context) == meant


def test_keywords_of_the_second_form_are_understood() -> None:
    """Severity, message and context by keyword need no type."""
    report = report_of(severity="warning", message="slow", context={"ms": 900})
    assert (report.type, report.severity, report.context) == ("Error", Severity.WARNING, {"ms": 900})


def test_an_exception_gives_type_message_and_innermost_frames() -> None:
    """The place where it was raised comes first, and no more frames than the limit are kept."""

    def dig(depth: int) -> None:
        if depth == 0:
            raise ValueError("too deep")
        dig(depth - 1)

    try:
        dig(20)
    except ValueError as error:
        report = report_of(error)
    assert (report.type, report.message) == ("ValueError", "too deep")
    assert len(report.frames) == 5
    assert all(frame.split(":")[1] == "dig" for frame in report.frames)


def test_the_handled_exception_lends_its_type_and_place() -> None:
    """The form without a type, used in an except block, is about the exception of that block."""
    try:
        raise KeyError("tea")
    except KeyError:
        report = report_of("error", "no such fact", {"topic": "tea"})
        other = report_of("Unrelated", "something else")
    assert report.type == "KeyError"
    assert report.frames[0].split(":")[1] == "test_the_handled_exception_lends_its_type_and_place"
    assert (other.type, other.frames) == ("Unrelated", ())


def test_the_peer_that_could_not_be_reached_is_named() -> None:
    """A typed error that knows its peer hands it on to the correlation."""
    assert report_of(Unreachable("gone", details={"peer": "Store@pc2"})).context == {"peer": "Store@pc2"}


def test_it_is_bounded() -> None:
    """Whatever is put in, a report stays small enough to travel, and odd values and characters do not stop it."""
    context = {f"k{n}": object() for n in range(1000)} | {"long": "x" * 10**6}
    report = report_of("T" * 1000, "m" * 10**6, "error", context)
    assert len(report.message) == MAX_MESSAGE
    assert len(report.context) == MAX_CONTEXT
    assert len(report.type) == 100
    assert report_of("T", "undecodable \udcff name").message == "undecodable ? name"


def test_credentials_are_gone() -> None:
    """Neither message nor context carries a password into the bus."""
    report = report_of(
        "T", "dial postgres://bob:hunter2@db/x failed", "error", {"header": "Bearer abcdefgh12345"}
    )
    assert "hunter2" not in report.message
    assert "abcdefgh12345" not in str(report.context)


def test_it_knows_its_turn() -> None:
    """Inside a turn the report carries the trace, and so the turn's id."""
    with resource_scope(Resource("Librarian", "mainpc")), start_turn() as root:
        report = report_of("T", "m")
    assert (report.trace_id, report.turn) == (root.context.trace_id, root.context.turn)
    assert report_of("T", "m").turn == ""


def test_severities_are_ordered() -> None:
    """Ranks grow from debug to critical."""
    assert [severity.rank for severity in SEVERITIES] == [0, 1, 2, 3, 4]
    assert max(Severity.DEBUG, Severity.CRITICAL, key=lambda severity: severity.rank) is Severity.CRITICAL
