"""Mends of the ways agents report errors: to the bus, in two steps."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from mends import after, left, mend, put, run

from tandem.audit.fix.patch import write
from tandem.audit.fix.plan import plan

BUS = """
SEEN = []
def report_error(error_type, message, severity="ERROR"):
    SEEN.append((error_type, message, severity))
"""
PUBLISHER = """
import json
import zmq
class A:
    def __init__(self, context):
        self.name = "A"
        self.error_bus_pub = context.socket(zmq.PUB)
        self.error_bus_pub.connect("tcp://127.0.0.1:7150")
    def fail(self, kind, text):
        data = {"error_type": kind, "message": text, "agent": self.name}
        # tell everybody
        self.error_bus_pub.send_string(f"ERROR:{json.dumps(data)}")
    def close(self):
        self.error_bus_pub.close()
        self.name = ""
"""


class Recorder:
    """Stands in for a context and its sockets."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def socket(self, kind: int) -> Recorder:
        return self

    def connect(self, endpoint: str) -> None: ...

    def close(self) -> None: ...

    def send_string(self, text: str) -> None:
        self.sent.append(text)


def test_error_goes_both_ways_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first step adds the report to the bus and keeps the send."""
    put(tmp_path, a=PUBLISHER, bus=BUS)
    monkeypatch.delitem(sys.modules, "bus", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = after(mend(tmp_path, "zmq-error-publisher"))
    assert text.index("# tell everybody") < text.index("report_error(error_type=kind, message=text)") < text.index("send_string")
    names, old_way = run(tmp_path), Recorder()
    names["A"](old_way).fail("crash", "it broke")
    assert len(old_way.sent) == 1
    assert names["report_error"].__globals__["SEEN"] == [("crash", "it broke", "ERROR")]


def test_error_goes_to_the_bus_only_in_the_second_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second step removes the send, and the publisher that then serves nobody."""
    put(tmp_path, a=PUBLISHER, bus=BUS)
    monkeypatch.delitem(sys.modules, "bus", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    mend(tmp_path, "zmq-error-publisher")
    second = plan(tmp_path, ["zmq-error-publisher"], bus_only=True)
    write(second.root, second.changes)
    assert "error_bus_pub" not in (tmp_path / "a.py").read_text()
    names, old_way = run(tmp_path), Recorder()
    names["A"](old_way).fail("crash", "it broke")
    assert old_way.sent == []
    assert len(names["report_error"].__globals__["SEEN"]) == 1
    assert left(tmp_path, "zmq-error-publisher") == []


def test_second_step_leaves_sends_that_reach_no_bus(tmp_path: Path) -> None:
    """Without a report beside it a send is the only way the error travels, so it stays."""
    put(tmp_path, a=PUBLISHER)
    assert plan(tmp_path, ["zmq-error-publisher"], bus_only=True).changes == []


def test_error_without_a_bus_is_left_alone(tmp_path: Path) -> None:
    """In a tree without `report_error` there is nothing to call."""
    put(tmp_path, a=PUBLISHER)
    assert mend(tmp_path, "zmq-error-publisher").changes == []


def test_error_reporter_does_not_call_itself(tmp_path: Path) -> None:
    """A module's own `report_error` that sends over ZeroMQ is not made to call itself."""
    put(tmp_path, a='import zmq\npub = zmq.Context().socket(zmq.PUB)\ndef report_error(error_type, message):\n    pub.send_string("ERROR:" + message)\n')
    assert mend(tmp_path, "zmq-error-publisher").changes == []
