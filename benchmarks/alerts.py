"""How soon a hub's alerts are taken over by the other one when it is killed, and handed back.

    python benchmarks/alerts.py [--times 5] [--json]

A fleet of two machines on this computer with one hub each. The node of the first machine is held, so that it cannot
bring its hub back, and that hub is killed (kill -9); the time until the other hub says that it sends the alerts. Then the
node goes on: the time from the first answer of the new hub until it sends the alerts and the other does not.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from _fleet import Home
from _rows import Row, run, say

PORT_OFFSET = 18_000
PORTS = {"first": 9000 + PORT_OFFSET, "second": 9100 + PORT_OFFSET}
PATIENCE_S = 120.0
LOOK_S = 0.02
FLEET = """
fleet: bench
machines:
  first: {}
  second: {}
groups:
  here: {machine: first, agents: {ObservabilityHub: {class: "alerting_hub:ObservabilityHub", observer: true, port: 9000, speaks: http}}}
  there: {machine: second, agents: {ObservabilityHub: {class: "alerting_hub:ObservabilityHub", observer: true, port: 9100, speaks: http}}}
"""
MODULE = '''"""The hubs of the benchmark of alerts."""
from tandem.api import Hub


class ObservabilityHub(Hub):
    """The hub."""
'''


class Hubs(Home):
    """The fleet, in a home of its own."""

    def __init__(self, folder: Path):
        super().__init__(folder, PORT_OFFSET)
        self.file.write_text(FLEET)
        (folder / "alerting_hub.py").write_text(MODULE)

    def alerting(self, machine: str) -> bool | None:
        """Whether that machine's hub says it sends the alerts; None when it says nothing."""
        try:
            with urllib.request.urlopen(f"http://localhost:{PORTS[machine]}/api/v1/fleet", timeout=2) as answer:
                return bool(json.load(answer)["alerting"])
        except OSError:
            return None

    def one_takeover(self) -> tuple[float, float]:
        """Seconds until the second hub has taken over, and until the first one has its task back."""
        status: dict[str, Any] = json.loads(self.tandem("status", "--json"))
        hub = next(int(agent["pid"]) for agent in status["agents"] if agent["machine"] == "first")
        node = next(int(machine["pid"]) for machine in status["machines"] if machine["name"] == "first")
        os.kill(node, signal.SIGSTOP)
        try:
            began = time.monotonic()
            os.kill(hub, signal.SIGKILL)
            until(lambda: self.alerting("second") is True)
            taken = time.monotonic() - began
        finally:
            os.kill(node, signal.SIGCONT)
        until(lambda: self.alerting("first") is not None)
        began = time.monotonic()
        self.settle()
        return taken, time.monotonic() - began

    def settle(self) -> None:
        until(lambda: self.alerting("first") is True and self.alerting("second") is False)


def until(holds: Callable[[], bool]) -> None:
    limit = time.monotonic() + PATIENCE_S
    while not holds():
        if time.monotonic() > limit:
            raise TimeoutError("the hubs did not agree")
        time.sleep(LOOK_S)


def measure() -> list[Row]:
    """The whole benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="ab", dir="/tmp"))
    fleet = Hubs(folder)
    try:
        fleet.tandem("up")
        fleet.settle()
        seen = [fleet.one_takeover() for _ in range(options.times)]
    finally:
        fleet.tandem("down")
        shutil.rmtree(folder, ignore_errors=True)
    taken, back = [one for one, _ in seen], [one for _, one in seen]
    say(f"alerts: taken over after {statistics.median(taken):.1f} s ({max(taken):.1f} s at most), back after {statistics.median(back):.1f} s")
    return [
        Row(id="alerts.taken_over_s", ours=statistics.median(taken), unit="s"),
        Row(id="alerts.taken_over_most_s", ours=max(taken), unit="s"),
        Row(id="alerts.handed_back_s", ours=statistics.median(back), unit="s"),
        Row(id="alerts.handed_back_most_s", ours=max(back), unit="s"),
    ]


if __name__ == "__main__":
    run("alerts", measure)
