"""A whole fleet, its own servers and permissions, driven by the command line."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq

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
      ObservabilityHub:
        class: "clumsy_agents:ObservabilityHub"
        observer: true
        settings: {legacy: {port: "${PORT_OFFSET}+7290", publish_port: "${PORT_OFFSET}+7291"}}
"""
OLD_PORT, OLD_READERS = 7290, 7291
PATIENCE_S = 150.0  # a hub that misses signs of life from its server waits 30 s before it asks anew


class Fleet:
    def __init__(self, root: Path) -> None:
        self.run = Path(tempfile.mkdtemp(prefix="te", dir="/tmp"))
        self.root = root
        (root / "fleet.yaml").write_text(FLEET)
        shutil.copy(HERE / "clumsy_agents.py", root)
        self.offset = free_offset()
        self.env = os.environ | {
            "TANDEM_HOME": str(root / "home"),
            "TANDEM_RUN_DIR": str(self.run),
            "PORT_OFFSET": str(self.offset),
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
        return self.find(lambda found: found["key"] == key and holds(found))

    def find(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The first incident for which ``holds``, once there is one."""
        limit = time.monotonic() + PATIENCE_S
        while time.monotonic() < limit:
            for found in self.json("errors", "list"):
                if holds(found):
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
    # The hub that told of it may be the other one.
    until(lambda: fleet.json("errors", "stats")["errors"] > before)
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
    # What the hub that is asked had not heard of yet is counted by the first one.
    fleet.json("errors", "replay")
    assert fleet.json("errors", "replay") == {"counted": 0}


def test_mistakes_are_explained(fleet: Fleet) -> None:
    """An unknown incident, a wrong span and a bus that is not there exit with 1 and say what to do."""
    assert "tandem errors list" in fleet.tandem("errors", "show", "nothing", code=1)
    assert "write 90s" in fleet.tandem("errors", "snooze", "agent:Cook@west", "soon", code=1)
    assert "no phase" in fleet.tandem("errors", "migrate", "--phase", "never", code=1)
    fleet.tandem("stop", "ObservabilityHub@east")
    assert "legacy" in fleet.tandem("errors", "migrate", "--phase", "off", code=1)
    fleet.tandem("start", "ObservabilityHub@east")


def until(done: Callable[[], object]) -> None:
    """Try until it is so."""
    limit = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < limit, "not so in time"
        threading.Event().wait(0.2)


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_an_old_bus_is_moved_out_phase_by_phase(fleet: Fleet) -> None:
    """`migrate` finds the hub that knows the old bus: what old agents tell becomes incidents for both hubs, old readers are served
    in the first phase only, and each phase outlives the hub; the last one closes the ports."""
    old_port, readers = OLD_PORT + fleet.offset, OLD_READERS + fleet.offset
    context = zmq.Context()
    sender, reader = context.socket(zmq.PUB), context.socket(zmq.SUB)
    sender.connect(f"tcp://127.0.0.1:{old_port}")
    reader.connect(f"tcp://127.0.0.1:{readers}")
    reader.subscribe("ERROR:")

    def told(kind: str) -> bool:
        fields = {"error_type": kind, "message": "no answer", "agent": "Chitchat"}
        sender.send_string(f"ERROR:{json.dumps(fields)}")
        return any(kind in found["title"] and "Chitchat" in found["title"] for found in fleet.json("errors", "list"))

    def served() -> bool:
        call(fleet, "Cook", "burn")
        return bool(reader.poll(1000))

    try:
        until(lambda: told("llm_unreachable"))
        until(served)
        assert fleet.json("errors", "migrate", "--phase", "nats-only") == {"before": "dual", "now": "nats-only"}
        assert listens(old_port) and not listens(readers)
        fleet.tandem("restart", "ObservabilityHub@east")
        until(lambda: listens(old_port))
        assert not listens(readers)
        until(lambda: told("still_heard"))
        assert fleet.json("errors", "migrate", "--phase", "off") == {"before": "nats-only", "now": "off"}
        assert not listens(old_port)
    finally:
        context.destroy(linger=0)


def test_following_single_reports(fleet: Fleet) -> None:
    """`tail -f` shows reports as they come, each once, and goes on when the server it reads from was killed."""
    command = [sys.executable, "-m", "tandem.cli.main", "errors", "tail", "-f", "--since", "1s", "--agent", "Cook", "--json"]
    following = subprocess.Popen(command, cwd=fleet.root, env=fleet.env, text=True, stdout=subprocess.PIPE)
    assert following.stdout is not None
    heard: list[str] = []
    reading = threading.Thread(target=lambda: heard.extend(iter(following.stdout.readline, "")))
    reading.start()

    def hears_more(than: int) -> bool:
        call(fleet, "Cook", "burn")
        return len(heard) > than

    try:
        until(lambda: hears_more(0))
        pid = next(s["pid"] for s in fleet.json("status")["services"] if (s["name"], s["machine"]) == ("nats", "east"))
        os.kill(pid, signal.SIGKILL)
        before = len(heard)
        until(lambda: hears_more(before))
        assert following.poll() is None
    finally:
        following.kill()
        reading.join()
    reports = [json.loads(line) for line in heard]
    assert {report["type"] for report in reports} == {"ValueError"}
    assert len({report["id"] for report in reports}) == len(reports)


def test_hubs_are_asked_past_what_hangs(fleet: Fleet) -> None:
    """With both nodes, the first hub and a server held, incidents are still listed and decided on, by the other hub."""
    # Whoever died with it in the tests before may share its incident, which then has another key.
    def of_its_death(found: dict[str, Any]) -> bool:
        return "Cook@west died" in found["title"] and found["state"] == "open"

    os.kill(fleet.pid("Cook"), signal.SIGKILL)
    fleet.find(of_its_death)
    status = fleet.json("status")
    held: list[int] = []

    def hold(*pids: int) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            held.append(pid)

    try:
        hold(
            *(machine["pid"] for machine in status["machines"]),
            *(a["pid"] for a in status["agents"] if (a["name"], a["machine"]) == ("ObservabilityHub", "east")),
        )
        incident = fleet.find(of_its_death)
        hold(*(s["pid"] for s in status["services"] if (s["name"], s["machine"]) == ("nats", "west")))
        assert fleet.json("errors", "ack", incident["id"], "-m", "seen")[0]["state"] == "acknowledged"
        assert any(found["note"] == "seen" for found in fleet.json("errors", "list"))
    finally:
        for pid in held:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


def test_supervision_that_dies_is_an_incident(fleet: Fleet) -> None:
    """The end of a node is told by the next one, that of a keeper by its node; each says that agents were not touched."""
    pid = fleet.pid("Waiter")
    os.kill(next(m["pid"] for m in fleet.json("status")["machines"] if m["name"] == "west"), signal.SIGKILL)
    assert "agents serve on" in fleet.incident("agent:node@west")["title"]
    os.kill(next(row["keeper"] for row in fleet.json("node") if row["machine"] == "west"), signal.SIGKILL)
    assert "agents serve on" in fleet.incident("agent:keeper@west")["title"]
    assert fleet.pid("Waiter") == pid
