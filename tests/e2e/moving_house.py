"""A household whose fleet file and code change while it runs, and agents that tell which code they are."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from household import Household, eventually

MODULE = '''
import asyncio, os
from msgspec import Struct
from tandem.agent import Agent, action

VERSION = 1

class Mover(Agent):
    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        word: str = "hi"

    async def start(self):
        pass  # START

    @action(idempotent=True)
    async def say(self) -> str:
        if (self.state_dir / "trouble").exists():
            raise RuntimeError("no network")
        return f"{self.settings.word} v{VERSION} e{self.epoch}"

class Other(Mover):
    """Another one."""
'''
FLEET = """fleet: small
groups:
  first:
    agents:
      S: {class: "moving:Mover", port: 5709}
      E: {class: "moving:Mover", launch: exec}
  second:
    agents:
      D: {class: "moving:Mover", needs: [S]}
      H: {class: "moving:Mover", update: handover}
      X: {class: "moving:Mover", update: stop-first}
"""
EVERYBODY = ("S", "E", "D", "H", "X")
QUICK = ("--min-healthy", "0.5")


class Moving:
    """A household whose fleet file and code change while it runs."""

    def __init__(self, household: Household):
        self.household = household
        self.module = household.directory / "moving.py"
        self.module.write_text(MODULE)
        household.up()

    def await_copy(self, *machines: str) -> None:
        """Wait until the code that came up on these machines (by default on the only one) is kept."""
        kept = self.household.home.releases
        for machine in machines or ("local",):
            eventually((kept / f"{machine}.base").exists, f"the copy of what came up on {machine}")

    def edit(self, old: str, new: str) -> None:
        """Change the code."""
        text = self.module.read_text()
        assert old in text
        self.module.write_text(text.replace(old, new))

    def refit(self, old: str, new: str) -> None:
        """Change the fleet file."""
        text = self.household.fleet.read_text()
        assert old in text
        self.household.fleet.write_text(text.replace(old, new))

    def pids(self) -> dict[str, int]:
        return {agent["name"]: agent["pid"] for agent in self.household.status()["agents"]}

    def rollout(self) -> dict[str, Any]:
        """The rollout of the only machine, as `tandem rollout status` tells it."""
        found: dict[str, Any] = self.household.tandem("rollout", "status", "--json").json["machines"][0]
        return found

    def stage(self, agent: str) -> str:
        view = self.rollout()["rollout"]
        steps = view["steps"] if view else []
        return next((step["stage"] for step in steps if step["agent"] == agent), "")

    def processes_of(self, agent: str) -> list[int]:
        """Every process of an agent that is there, in service or not."""
        title = f"tandem: {agent}@"
        found = []
        for pid in self.household.processes():
            try:
                if " ".join(psutil.Process(pid).cmdline()).startswith(title):
                    found.append(pid)
            except psutil.NoSuchProcess:
                continue
        return found

    @contextmanager
    def called(self, *agents: str, anew: bool = False) -> Iterator[Callable[[], dict[str, Any]]]:
        """Agents are called all the time (``anew``: each time by somebody else); the function given ends that and says
        what came of it."""
        script = Path(__file__).with_name("constant_load.py")
        process = subprocess.Popen(
            [sys.executable, str(script), str(self.household.fleet), *agents, *(["--anew"] if anew else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=self.household.environment,
        )  # fmt: skip
        try:
            assert process.stdout is not None and process.stdout.readline() == "begun\n"

            def end() -> dict[str, Any]:
                out, _ = process.communicate(timeout=120)
                told: dict[str, Any] = json.loads(out)
                return told

            yield end
        finally:
            process.kill()
            process.wait()


def words(told: dict[str, Any], agent: str) -> set[str]:
    """What an agent has answered, without the epoch."""
    return {answer.rpartition(" ")[0] for answer in told["said"][agent]}
