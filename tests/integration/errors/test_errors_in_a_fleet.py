"""A whole fleet, its own servers and permissions, driven by the command line."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "supervise"))

from fleet_rig import free_offset

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

HERE = Path(__file__).parent
FLEET = """
fleet: test
machines:
  west: {ports: [7200-7249]}
  east: {ports: [7250-7299]}
groups:
  kitchen:
    machine: west
    agents:
      Cook: {class: "clumsy_agents:Cook"}
      Waiter: {class: "clumsy_agents:Waiter", needs: [Cook]}
      ObservabilityHub: {class: "clumsy_agents:ObservabilityHub", observer: true}
  office:
    machine: east
    agents:
      ObservabilityHub: {class: "clumsy_agents:ObservabilityHub", observer: true}
"""


class Fleet:
    def __init__(self, root: Path) -> None:
        self.run = Path(tempfile.mkdtemp(prefix="te", dir="/tmp"))
        self.root = root
        (root / "fleet.yaml").write_text(FLEET)
        shutil.copy(HERE / "clumsy_agents.py", root)
        self.env = os.environ | {
            "TANDEM_HOME": str(root / "home"),
            "TANDEM_RUN_DIR": str(self.run),
            "PORT_OFFSET": str(free_offset()),
            "PYTHONPATH": str(HERE),
            "COLUMNS": "200",
        }
        for name in ("TANDEM_FLEET", "MAINPC_IP", "PC2_IP", "XDG_RUNTIME_DIR"):
            self.env.pop(name, None)

    def tandem(self, *arguments: str, code: int | None = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tandem.cli.main", *arguments],
            cwd=self.root, env=self.env, text=True, capture_output=True, timeout=90, check=False,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def json(self, *arguments: str) -> Any:
        return json.loads(self.tandem(*arguments, "--json"))

    def incident(
        self, key: str, holds: Callable[[dict[str, Any]], bool] = lambda _found: True
    ) -> dict[str, Any]:
        """The incident of that key, once there is one for which ``holds``."""
        limit = time.monotonic() + 150  # a hub that misses signs of life from its server waits 30 s before it asks anew
        while time.monotonic() < limit:
            for found in self.json("errors", "list"):
                if found["key"] == key and holds(found):
                    return found
        looks = (["errors", "list", "--all"], ["errors", "tail"], ["status"], ["logs", "--level", "warning"])
        raise AssertionError("\n".join(self.tandem(*look, code=None) for look in looks))

    def pid(self, name: str) -> int:
        """Of an agent of machine ``west``."""
        found = self.json("status")["agents"]
        return next(a["pid"] for a in found if (a["name"], a["machine"]) == (name, "west"))

    def close(self) -> None:
        self.tandem("down", code=None)
        shutil.rmtree(self.run, ignore_errors=True)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One fleet of two machines on this computer for all tests here."""
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    try:
        made.tandem("up")
        yield made
    finally:
        made.close()


def call(fleet: Fleet, agent: str, action: str) -> str:
    """Call an action as the operator; the error's type."""
    code = (
        "import asyncio, sys\nfrom tandem.api import connect\n"
        "async def main():\n    async with connect() as c:\n"
        f"        await getattr(c.peer({agent!r}), {action!r})({'what=' + repr('rice') if action == 'burn' else ''})\n"
        "try:\n    asyncio.run(main())\nexcept Exception as e:\n    print(type(e).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=fleet.root,
        env=fleet.env,
        text=True,
        capture_output=True,
        check=True,
    )
    return done.stdout.strip()


def test_an_unhandled_exception_becomes_an_incident(fleet: Fleet) -> None:
    """From an action's exception, through the agent's own rights on the bus, to a row for the operator."""
    assert call(fleet, "Cook", "burn") == "RemoteError"
    limit = time.monotonic() + 60
    found: list[dict[str, Any]] = []
    while not found and time.monotonic() < limit:
        found = [
            i
            for i in fleet.json("errors", "list")
            if i["title"].startswith("ValueError in Cook@west: burnt rice")
        ]
    [incident] = found
    shown = fleet.json("errors", "show", incident["id"][-8:])
    [report] = shown["reports"]
    assert (report["context"], report["frames"][0].split(":")[:2]) == (
        {"action": "burn"},
        ["clumsy_agents", "burn"],
    )


def test_a_killed_agent_is_an_incident_of_both_hubs(fleet: Fleet) -> None:
    """The node reports the death with its signal; a decision told to one hub is kept by the other as well."""
    os.kill(fleet.pid("Cook"), signal.SIGKILL)
    incident = fleet.incident("agent:Cook@west")
    assert incident["title"].startswith("Cook@west died (killed by SIGKILL)")
    decided = fleet.json("errors", "ack", incident["key"], "-m", "mine")
    assert (decided[0]["state"], decided[0]["by"]) == ("acknowledged", "operator")
    # Only the other machine's hub is left to ask.
    fleet.tandem("stop", "ObservabilityHub@west")
    try:
        other = fleet.incident("agent:Cook@west", lambda found: found["state"] == "acknowledged")
        assert (other["note"], other["by"]) == ("mine", "operator")
    finally:
        fleet.tandem("start", "ObservabilityHub@west")


def test_an_incident_is_silenced_taken_back_and_ended(fleet: Fleet) -> None:
    """Each decision is read back from the hub that keeps it; after the end of one incident the same error makes another."""
    [first] = [found for found in fleet.json("errors", "list") if found["key"] == "agent:Cook@west"]
    for order, state in ((["snooze", first["id"], "1h"], "snoozed"), (["reopen", first["id"]], "open")):
        assert fleet.json("errors", *order)[0]["state"] == state
        assert fleet.json("errors", "show", first["id"])["incident"]["state"] == state
    assert fleet.json("errors", "resolve", first["id"])[0]["state"] == "resolved"
    os.kill(fleet.pid("Cook"), signal.SIGKILL)
    fleet.incident("agent:Cook@west", lambda found: found["id"] != first["id"] and found["state"] == "open")


def test_incidents_survive_the_hub(fleet: Fleet) -> None:
    """A hub that is killed finds its incidents again, and what was reported meanwhile is counted."""
    before = fleet.json("errors", "stats")["errors"]
    os.kill(fleet.pid("ObservabilityHub"), signal.SIGKILL)
    hub = fleet.incident("agent:ObservabilityHub@west")
    assert hub["title"].startswith("ObservabilityHub@west died (killed by SIGKILL)")
    assert fleet.json("errors", "stats")["errors"] == before + 1


def test_a_server_that_dies_is_an_incident(fleet: Fleet) -> None:
    """NATS itself may die: the report waits in the node's spool and arrives once NATS is back."""
    pid = next(
        s["pid"] for s in fleet.json("status")["services"] if s["name"] == "nats" and s["machine"] == "west"
    )
    os.kill(pid, signal.SIGKILL)
    assert fleet.incident("agent:nats@west")["title"].startswith("nats@west died (killed by SIGKILL)")


def test_single_reports_without_a_hub(fleet: Fleet) -> None:
    """`tail` reads the stream itself; filters by agent and severity hold."""
    lines = [
        json.loads(line) for line in fleet.tandem("errors", "tail", "--json", "--agent", "Cook").splitlines()
    ]
    assert {line["agent"] for line in lines} == {"Cook"}
    assert {line["type"] for line in lines} == {"ValueError", "ProcessDied"}
    assert fleet.tandem("errors", "tail", "--agent", "Cook", "--at", "critical") == ""
    assert fleet.json("errors", "replay") == {"counted": 0}


def test_mistakes_are_explained(fleet: Fleet) -> None:
    """An unknown incident, a wrong span and a bus that is not there exit with 1 and say what to do."""
    assert "tandem errors list" in fleet.tandem("errors", "show", "nothing", code=1)
    assert "write 90s" in fleet.tandem("errors", "snooze", "agent:Cook@west", "soon", code=1)
    assert "legacy" in fleet.tandem("errors", "migrate", "--phase", "off", code=1)
