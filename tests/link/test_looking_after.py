"""What a person sees and does of one computer while sitting at the other."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rig import FLEET, Computer, Running, TwoComputers, eventually, two_computers

pytestmark = [pytest.mark.link, pytest.mark.timeout(300)]

HUBS = FLEET
for machine in ("mainpc", "pc2"):
    HUBS += f"""
  watching_{machine}:
    machine: {machine}
    agents:
      ObservabilityHub: {{class: "tandem.api:Hub", port: 9000, speaks: http, observer: true}}
"""


@pytest.fixture(scope="module")
def rig(namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoComputers]:
    """Both computers with a hub each, joined and up."""
    with two_computers(tmp_path_factory.mktemp("rig"), HUBS) as computers:
        computers.up()
        computers.await_link("up")
        yield computers


def screen(computer: Computer, verb: str, agent: str) -> Any:
    """What the screen at ``computer`` gets."""
    argv = [*computer.inside, sys.executable, str(Path(__file__).with_name("screen_driver.py")), verb, agent]
    said = Running(computer, argv, computer.environment, None).end()
    assert said.status == 0, said.text
    return said.json


def rows(computer: Computer) -> dict[str, dict[str, Any]]:
    """The agents `tandem top` shows at ``computer``."""
    said = computer.tandem("top", "--json")
    assert said.status == 0, said.text
    return {row["id"]: row for row in said.json["agents"]}


def test_top_shows_and_steers_the_other_computer(rig: TwoComputers) -> None:
    """Its agents are rows with what they use, stop and start go there and back, and its machine is told with its servers."""
    eventually(
        lambda: (row := rows(rig.mainpc).get("Talker@pc2")) and row["state"] == "healthy" and row["memory_bytes"],
        "the other computer's agent and what it uses",
    )

    def servers() -> dict[str, str]:
        machines = {machine["name"]: machine for machine in rig.mainpc.tandem("top", "--json").json["machines"]}
        return dict(machines["pc2"]["servers"])

    eventually(lambda: servers().get("nats") == "healthy", "the other computer's server")
    assert screen(rig.mainpc, "stop", "Talker@pc2") == "Talker@pc2: stopped"
    assert rig.pc2.agent("Talker")["state"] == "stopped"
    eventually(lambda: rows(rig.mainpc)["Talker@pc2"]["state"] == "stopped", "the row to say so")
    assert screen(rig.mainpc, "start", "Talker@pc2") == "Talker@pc2: healthy"
    assert rig.pc2.agent("Talker")["state"] == "healthy"
    assert screen(rig.mainpc, "stop", "Nobody@pc2") != "Nobody@pc2: stopped"


def test_last_words_of_a_dead_agent_are_read_from_the_other_computer(rig: TwoComputers) -> None:
    """Where it crashed is in its log, and can be read there with `tandem logs` and on the screen while it stays dead."""
    os.kill(rig.pc2.agent("Talker")["pid"], signal.SIGSEGV)
    eventually(lambda: rig.pc2.agent("Talker")["restarts"] > 0, "its death")
    assert rig.pc2.tandem("stop", "Talker").status == 0

    def last_words() -> list[dict[str, Any]]:
        said = rig.mainpc.tandem("logs", "Talker@pc2", "--json", "--lines", "0")
        assert said.status == 0, said.text
        lines = [json.loads(line) for line in said.out.splitlines()]
        assert {line["machine"] for line in lines} == {"pc2"}
        return [line for line in lines if "Segmentation fault" in line["msg"]]

    eventually(last_words, "its last words")
    assert any("Segmentation fault" in line for line in screen(rig.mainpc, "logs", "Talker@pc2"))
    assert rig.pc2.tandem("start", "Talker").status == 0


def test_a_computer_that_is_away_is_told_so(rig: TwoComputers) -> None:
    """With the cable out its rows are in trouble and say since when, an order says why not, and all is well again later."""
    eventually(lambda: rows(rig.mainpc).get("Talker@pc2", {}).get("verdict") == "up", "a good row")
    rig.wire.tell("cut")
    eventually(lambda: "not heard of for" in rows(rig.mainpc)["Talker@pc2"]["remark"], "the row to say so")
    refused = screen(rig.mainpc, "restart", "Talker@pc2")
    assert refused.startswith("Talker@pc2: ") and "healthy" not in refused
    rig.wire.tell("heal")
    eventually(lambda: rows(rig.mainpc)["Talker@pc2"]["verdict"] == "up", "a good row again")
