"""Programs that know nothing of Tandem, as `examples/old-programs` runs them."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import zmq
from household import Household, MakeHousehold, eventually

pytestmark = pytest.mark.e2e

EXAMPLE = Path(__file__).parents[2] / "examples" / "old-programs" / "fleet.yaml"


def asked(port: int, **request: str) -> dict[str, Any]:
    """What an old client is answered over ZeroMQ."""
    with zmq.Context() as context, context.socket(zmq.REQ) as link:
        link.linger = 0
        link.rcvtimeo = 120_000
        link.connect(f"tcp://127.0.0.1:{port}")
        link.send_json(request)
        answer: dict[str, Any] = json.loads(link.recv())
        return answer


def pid_of(household: Household, agent: str) -> int:
    pid: int | None = household.agent(agent)["pid"]
    return pid or 0


def test_the_example_runs_on_moved_ports(make_household: MakeHousehold) -> None:
    """Every kind of probe finds its program wherever PORT_OFFSET puts it, old clients reach an agent of ours, and a
    killed program is back by itself."""
    household = make_household(EXAMPLE)
    household.up()
    agents = {agent["name"]: agent["state"] for agent in household.status()["agents"]}
    assert agents == dict.fromkeys(("OldAgent", "Web", "Loader", "Worker", "Echo", "OldClients"), "healthy")
    moved = household.offset
    assert asked(7261 + moved, action="health_check") == {"status": "ok", "service": "OldAgent"}
    with urllib.request.urlopen(f"http://127.0.0.1:{7262 + moved}/", timeout=30) as answer:
        assert answer.status == 200
    assert asked(7263 + moved, action="echo", text="hello")["result"] == "hello"
    for name in ("OldAgent", "Worker"):
        before = pid_of(household, name)
        os.kill(before, signal.SIGKILL)
        eventually(
            lambda name=name, before=before: pid_of(household, name) not in (0, before)
            and household.agent(name)["state"] == "healthy",
            f"{name} to be back",
        )
    household.down()
