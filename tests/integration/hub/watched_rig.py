"""A fleet of two machines with a hub each, driven by the command line and by HTTP, and a receiver of their alerts."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from fleet_rig import free_offset

T = TypeVar("T")
HERE = Path(__file__).parent
PATIENCE_S = 150.0
FLEET = """
fleet: watched
machines:
  west: {ports: [7200-7249], gpu: {name: any, vram_mb: 8192, budget: 80%%}}
  east: {ports: [7250-7299]}
x-alerts: &alerts
  alerts:
    sustained_s: 4
    routes:
      - {name: pager, to: "http://127.0.0.1:%(port)d/pager", at: critical}
      - {name: deputy, to: "http://127.0.0.1:%(port)d/deputy", at: critical, level: 1}
      - {name: owner, to: "http://127.0.0.1:%(port)d/owner", at: critical, level: 2}
groups:
  shop:
    machine: west
    agents:
      Worker: {class: "watched_agents:Worker", port: 7201}
      Sick: {class: "watched_agents:Sick"}
      PredictiveHealthMonitor:
        class: "watched_agents:PredictiveHealthMonitor"
        observer: true
        settings: {budget: {settle_s: 8, patience_s: 1}, disposable: [Sick]}
      ObservabilityHub: {class: "watched_agents:ObservabilityHub", observer: true, port: 7210, speaks: http, settings: *alerts}
  yard:
    machine: east
    agents:
      Helper: {class: "watched_agents:Worker"}
      Frail: {class: "watched_agents:Sick"}
      ObservabilityHub:
        class: "watched_agents:ObservabilityHub"
        observer: true
        port: 7260
        speaks: http
        settings: {<<: *alerts, care: {budget: {settle_s: 8, patience_s: 1}, disposable: [Frail]}}
"""
PORTS = {"west": 7210, "east": 7260}


class Receiver(http.server.BaseHTTPRequestHandler):
    """Keeps the alerts it is sent, with the path they were sent to as ``called``."""

    got: list[dict[str, Any]]

    def do_POST(self) -> None:
        self.got.append(json.loads(self.rfile.read(int(self.headers["content-length"]))) | {"called": self.path[1:]})
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Silence."""


class Fleet:
    """Machines west and east on this computer, each with its hub, and the alerts they sent."""

    def __init__(self, root: Path) -> None:
        self.alerts: list[dict[str, Any]] = []
        handler = type("Handler", (Receiver,), {"got": self.alerts})
        self.receiver = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        threading.Thread(target=self.receiver.serve_forever, daemon=True).start()
        self.run = Path(tempfile.mkdtemp(prefix="th", dir="/tmp"))
        self.root = root
        self.offset = free_offset()
        (root / "fleet.yaml").write_text(FLEET % {"port": self.receiver.server_port})
        shutil.copy(HERE / "watched_agents.py", root)
        self.env = os.environ | {
            "TANDEM_HOME": str(root / "home"), "TANDEM_RUN_DIR": str(self.run), "PORT_OFFSET": str(self.offset),
            "COLUMNS": "200",
        }  # fmt: skip
        for name in ("TANDEM_FLEET", "MAINPC_IP", "PC2_IP", "XDG_RUNTIME_DIR"):
            self.env.pop(name, None)

    def tandem(self, *arguments: str, code: int | None = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "tandem.cli.main", *arguments],
            cwd=self.root, env=self.env, text=True, capture_output=True, timeout=120, check=False,
        )  # fmt: skip
        assert code is None or done.returncode == code, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def get(self, machine: str, path: str, **headers: str) -> Any:
        body = self.text(machine, path, **headers)
        return json.loads(body)

    def text(self, machine: str, path: str, *, data: bytes | None = None, method: str | None = None, **headers: str) -> str:
        address = f"http://localhost:{PORTS[machine] + self.offset}{path}"
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(address, data, named, method=method)
        with urllib.request.urlopen(request, timeout=100) as answer:
            return str(answer.read().decode())

    def machine(self, seen_by: str, machine: str) -> dict[str, Any]:
        [found] = [m for m in self.get(seen_by, "/api/v1/fleet")["machines"] if m["machine"] == machine]
        return dict(found)

    def pid(self, identity: str) -> int:
        views = json.loads(self.tandem("status", "--json"))["agents"]
        return next(int(v["pid"]) for v in views if f"{v['name']}@{v['machine']}" == identity)

    def node(self, machine: str) -> int:
        """The process of that machine's node."""
        machines = json.loads(self.tandem("status", "--json"))["machines"]
        return next(int(found["pid"]) for found in machines if found["name"] == machine)

    def keeper(self, machine: str) -> int:
        """The process of that machine's keeper."""
        rows = json.loads(self.tandem("node", "--json"))
        return next(int(row["keeper"]) for row in rows if row["machine"] == machine)

    def close(self) -> None:
        self.tandem("down", code=None)
        self.receiver.shutdown()
        shutil.rmtree(self.run, ignore_errors=True)


def until(what: Callable[[], T], holds: Callable[[T], Any] = bool) -> T:
    """The first value of ``what`` for which ``holds``; connections refused meanwhile are waited out."""
    limit = time.monotonic() + PATIENCE_S
    seen: object = None
    while time.monotonic() < limit:
        try:
            found = what()
            if holds(found):
                return found
            seen = found
        except (OSError, ValueError, StopIteration) as error:
            seen = error
        threading.Event().wait(0.2)
    raise AssertionError(f"never came: {seen}")


def worry(fleet: Fleet, agent: str, what: str) -> None:
    """Have an agent report a critical error of type ``what``."""
    call(fleet, agent, f"worry(what={what!r})")


def call(fleet: Fleet, agent: str, action: str) -> None:
    """Call an action as the operator; ``action`` is Python: its name and arguments."""
    code = (
        "import asyncio\nfrom tandem.api import connect\nasync def main():\n    async with connect() as c:\n"
        f"        await c.peer({agent!r}).{action}\nasyncio.run(main())"
    )
    subprocess.run([sys.executable, "-c", code], cwd=fleet.root, env=fleet.env, check=True, timeout=120)


def opened(fleet: Fleet, what: str) -> list[dict[str, Any]]:
    """The alerts that came of incidents of type ``what`` when they began."""
    return [a for a in fleet.alerts if a["root"]["type"] == what and a["stage"] == "opened"]
