"""Old clients, that speak one-frame JSON over plain ZeroMQ, and old agents that do, beside agents of ours."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import zmq

sys.path.insert(0, str(Path(__file__).parents[1] / "supervise"))

from fleet_rig import FleetRig

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

OLD_AGENT = """
import json, sys, zmq
link = zmq.Context().socket(zmq.REP)
link.bind("tcp://127.0.0.1:" + sys.argv[1])
while True:
    request = json.loads(link.recv())
    if request["action"] == "health_check":
        link.send_json({"status": "ok", "service": "old"})
    else:
        link.send_json({"status": "success", "echo": request})
"""


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[FleetRig]:
    (tmp_path / "old_agent.py").write_text(OLD_AGENT)
    rig = FleetRig(
        tmp_path,
        "Greeter: {class: bridge_agents:Greeter}\n"
        'Bridge: {class: "tandem.agent.zmq_bridge:ZmqBridge", needs: [Greeter], '
        "side_ports: {Greeter: 7231, nobody: 7232}, settings: {timeout_s: 20}}\n"
        'Old: {command: [python, old_agent.py, "${OLD_PORT}"], port: 7233, probe: {zmq: "tcp://127.0.0.1:${OLD_PORT}"}}',
    )
    rig.env["PYTHONPATH"] = str(Path(__file__).parent)
    rig.env["OLD_PORT"] = str(7233 + rig.offset)
    rig.tandem("up")
    yield rig
    rig.close()


def ask(rig: FleetRig, port: int, request: Any, kind: int = zmq.REQ) -> Any:
    """One request the way old code makes it: a blocking socket, one JSON frame."""
    with zmq.Context() as context, context.socket(kind) as link:
        link.linger = 0
        link.rcvtimeo = 60_000
        link.connect(f"tcp://127.0.0.1:{port + rig.offset}")
        link.send(request if isinstance(request, bytes) else json.dumps(request).encode())
        return json.loads(link.recv())


def test_zmq_bridge(fleet: FleetRig) -> None:
    """Old clients reach our agents in every dialect, errors are answers, and an old agent runs beside them unchanged."""
    greeting = {"status": "success", "result": "Hello, Ada"}
    for request in (
        {"action": "greet", "name": "Ada"},
        {"action": "greet", "params": {"name": "Ada"}},
        {"command": "greet", "data": {"name": "Ada"}},
        {"request_type": "greet", "payload": {"name": "Ada"}},
        {"type": "greet", "name": "Ada"},
    ):
        assert ask(fleet, 7231, request) == greeting
    assert ask(fleet, 7231, {"action": "greet", "name": "Ada"}, zmq.DEALER) == greeting
    assert ask(fleet, 7231, {"action": "health_check"})["status"] == "healthy"

    for bad, words in (
        (b"\xff\x00 no json", "not a JSON object"),
        ([1, 2], "not a JSON object"),
        ({"name": "Ada"}, "no action"),
        ({"action": "_context"}, "no action"),
        ({"action": "no_such_thing"}, "no_such_thing"),
        ({"action": "greet", "nome": "Ada"}, "nome"),
        ({"action": "fail"}, "no tea"),
    ):
        answer = ask(fleet, 7231, bad)
        assert answer["status"] == "error" and words in answer["error"], answer
    assert ask(fleet, 7232, {"action": "greet"})["status"] == "error"

    with ThreadPoolExecutor(8) as pool:
        names = [f"n{i}" for i in range(40)]
        answers = list(pool.map(lambda name: ask(fleet, 7231, {"action": "greet", "name": name}), names))
    assert [answer["result"] for answer in answers] == [f"Hello, {name}" for name in names]

    assert fleet.agent("Old")["state"] == "healthy"
    assert ask(fleet, 7233, {"action": "x", "a": 1})["echo"] == {"action": "x", "a": 1}
    fleet.tandem("down")
    assert fleet.remains() == []
