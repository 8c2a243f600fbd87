"""What a hub costs that watches 77 (or 1,000) agents, and how soon it tells.

    python benchmarks/hub.py [--agents 77] [--seconds 60] [--json]

A fleet of minimal agents and one hub. Processor time and memory of the hub over a quiet minute, with one page that
listens; then the time of a scrape, of the whole picture, and from kill -9 of an agent until the live stream says so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import statistics
import tempfile
import threading
import time
import urllib.request
from pathlib import Path
from typing import Any

import psutil

from _fleet import Home
from _rows import Row, run, say

PORT_OFFSET = 16_000
HTTP = 9000 + PORT_OFFSET
ASKED = 20
KILLED = 5
AGENT = "watched_fleet.py"
AGENTS_MODULE = '''"""The fleet the hub benchmark watches."""
from tandem.api import Hub
from tandem.agent import Agent


class ObservabilityHub(Hub):
    """The hub."""


class MinimalAgent(Agent):
    """Answers what every agent answers."""
'''


class Watched(Home):
    """The fleet, in a home of its own."""

    def __init__(self, folder: Path, agents: int):
        super().__init__(folder, PORT_OFFSET)
        names = [f"Agent{number:04}" for number in range(agents)]
        listed = "\n".join(f'      {name}: {{class: "watched_fleet:MinimalAgent"}}' for name in names)
        hub = '      ObservabilityHub: {class: "watched_fleet:ObservabilityHub", observer: true, port: 9000, speaks: http}'
        self.file.write_text(
            f"fleet: bench\nmachines:\n  bench: {{}}\ngroups:\n  all:\n    agents:\n{hub}\n{listed}\n"
        )
        (folder / AGENT).write_text(AGENTS_MODULE)

    def pid(self, name: str) -> int:
        agents = json.loads(self.tandem("status", "--json"))["agents"]
        return next(int(agent["pid"]) for agent in agents if agent["name"] == name)


def get(path: str) -> tuple[float, bytes]:
    """Seconds and the answer."""
    began = time.monotonic()
    with urllib.request.urlopen(f"http://localhost:{HTTP}{path}", timeout=60) as answer:
        body = answer.read()
    return time.monotonic() - began, body


class Listener:
    """A page that listens to the live stream, and when it heard what."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, list[dict[str, Any]]]] = []
        self.arrived = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            with urllib.request.urlopen(f"http://localhost:{HTTP}/live", timeout=600) as stream:
                for line in stream:
                    if line.startswith(b"data: ["):
                        with self.arrived:
                            self.heard.append((time.monotonic(), json.loads(line[6:])))
                            self.arrived.notify_all()
        except OSError:
            return  # the fleet is being stopped

    def wait_for_other_pid(self, name: str, pid: int, after: float) -> float:
        """Seconds from ``after`` until the stream shows that process gone or replaced."""
        with self.arrived:
            while True:
                for at, changes in self.heard:
                    for change in changes:
                        if at >= after and change["kind"] == "agent" and change["data"]["name"] == name and change["data"]["pid"] != pid:
                            return at - after
                self.heard.clear()
                if not self.arrived.wait(60):
                    raise TimeoutError("the stream did not tell")


def watch(fleet: Watched, seconds: float) -> list[Row]:
    """The figures of a fleet that is up."""
    listener = Listener()
    hub = psutil.Process(fleet.pid("ObservabilityHub"))
    time.sleep(15)
    before = sum(hub.cpu_times()[:2])
    time.sleep(seconds)
    spent = sum(hub.cpu_times()[:2]) - before
    memory = hub.memory_full_info().pss if os.geteuid() == 0 else hub.memory_info().rss
    scrapes, pictures = [get("/metrics") for _ in range(ASKED)], [get("/api/v1/fleet") for _ in range(ASKED)]
    told = []
    for number in range(KILLED):
        name = f"Agent{number:04}"
        pid = fleet.pid(name)
        began = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        told.append(listener.wait_for_other_pid(name, pid, began))
    say(f"hub: {spent / seconds:.2%} of a core, {memory / 2**20:.0f} MiB; a death is told after {statistics.median(told):.2f} s")
    return [
        Row(id="hub.cpu_fraction", ours=spent / seconds, unit="1"),
        Row(id="hub.memory_bytes", ours=float(memory), unit="B"),
        Row(id="hub.scrape_s", ours=statistics.median(s for s, _ in scrapes), unit="s"),
        Row(id="hub.scrape_bytes", ours=float(len(scrapes[-1][1])), unit="B"),
        Row(id="hub.picture_s", ours=statistics.median(s for s, _ in pictures), unit="s"),
        Row(id="hub.picture_bytes", ours=float(len(pictures[-1][1])), unit="B"),
        Row(id="hub.death_told_s", ours=statistics.median(told), unit="s"),
    ]


def measure() -> list[Row]:
    """The whole benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, default=77)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the quiet part takes")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="hb", dir="/tmp"))
    fleet = Watched(folder, options.agents)
    try:
        say(fleet.tandem("up").strip().splitlines()[-1])
        return watch(fleet, options.seconds)
    finally:
        fleet.tandem("down")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    run("hub", measure)
