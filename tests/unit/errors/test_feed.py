"""Whose reports are believed."""

from __future__ import annotations

import msgspec
import pytest

from tandem.errors import ErrorReport
from tandem.errors.feed import reports_in
from tandem.events import Rejected


def message(*origins: tuple[str, str]) -> bytes:
    return msgspec.json.encode(
        [ErrorReport(id="i", agent=a, machine=m, type="T", message="m", time=0.0) for a, m in origins]
    )


def test_an_agent_speaks_for_itself_and_a_node_for_its_machine() -> None:
    """The subject's agent reports about itself, the node about anybody of its machine."""
    assert len(reports_in("errors.pc2.A.error", message(("A", "pc2"), ("A", "pc2")))) == 2
    assert len(reports_in("errors.pc2.node.error", message(("A", "pc2"), ("nats", "pc2")))) == 2


@pytest.mark.parametrize(
    ("subject", "origin"),
    [
        ("errors.pc2.A.error", ("B", "pc2")),
        ("errors.pc2.A.error", ("A", "mainpc")),
        ("errors.pc2.node.error", ("A", "mainpc")),
    ],
)
def test_nobody_reports_in_another_s_name(subject: str, origin: tuple[str, str]) -> None:
    """A forged origin is rejected and ends as a dead letter."""
    with pytest.raises(Rejected, match="in the name of"):
        reports_in(subject, message(origin))


@pytest.mark.parametrize("data", [b"", b"{}", b"[1]", b'[{"id":"i"}]', b"\xff\xfe"])
def test_what_is_no_report_is_rejected(data: bytes) -> None:
    """A poison message is named, not retried for ever."""
    with pytest.raises(Rejected, match="not a list of error reports"):
        reports_in("errors.pc2.A.error", data)
