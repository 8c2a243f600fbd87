"""77 minimal agents from nothing until every one answers, and the memory they take, beside other process managers.

Tandem's time runs from typing `tandem up` in an empty home: certificates, servers, registry, identities and the node
included. The others start the same agent module as plain programs. All of them import the same modules.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil

from _managers import MANAGERS, Manager, wait_until_idle
from _rows import Row, compare, run, say
from minimal_agent import IMPORTS

AGENTS = [f"Agent{number:02}" for number in range(77)]
RUNS = 3
"""Starts of Tandem of which the median counts; the others take so long that one each must do."""
PATIENCE_S = 300.0
POLL_S = 0.05
PORT_OFFSET = "15000"


class Fleet:
    """Our side: a fleet file, a home and a run directory of its own."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.file = folder / "fleet.yaml"
        agents = "\n".join(f'      {name}: {{class: "minimal_agent:MinimalAgent"}}' for name in AGENTS)
        self.file.write_text(f"fleet: bench\nmachines:\n  bench: {{}}\ngroups:\n  all:\n    agents:\n{agents}\n")
        shutil.copy(Path(__file__).with_name("minimal_agent.py"), folder)
        self.environment = {
            **os.environ,
            "TANDEM_HOME": str(folder / "home"),
            "TANDEM_RUN_DIR": str(folder / "run"),
            "PORT_OFFSET": PORT_OFFSET,
        }

    def tandem(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("tandem")), *arguments],
            cwd=self.folder, env=self.environment, check=True, capture_output=True, text=True,
        )  # fmt: skip

    def processes(self) -> list[psutil.Process]:
        """The keeper and everything below it: node, zygote, servers, agents."""
        keeper = psutil.Process(int((self.folder / "run" / "bench" / "keeper.lock").read_text()))
        return [keeper, *keeper.children(recursive=True)]

    async def answer(self) -> None:
        """Return when every agent has answered a call of the operator's."""
        from tandem.api import connect

        os.environ.update({key: self.environment[key] for key in ("TANDEM_HOME", "TANDEM_RUN_DIR", "PORT_OFFSET")})
        async with connect(str(self.file)) as fleet:
            await asyncio.gather(*(fleet.peer(name).ping() for name in AGENTS))


def measure_tandem() -> tuple[float, int]:
    """Seconds until all answer (median), and bytes of memory."""
    seconds, memory = [], 0
    for number in range(RUNS):
        with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
            fleet = Fleet(Path(folder))
            began = time.monotonic()
            try:
                told = fleet.tandem("up").stdout
                up = time.monotonic() - began
                asyncio.run(fleet.answer())
                seconds.append(up)
                memory = proportional_set(fleet.processes())
                say(f"tandem run {number + 1}: up after {up:.2f} s, {memory / 2**20:.0f} MiB; every agent answered")
                say("".join(f"  {line}\n" for line in told.splitlines() if "time went" in line).rstrip())
            finally:
                fleet.tandem("down")
    return statistics.median(seconds), memory


def measure_other(kind: type[Manager]) -> tuple[float, int]:
    """Seconds until all answer, and bytes of memory."""
    with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
        manager = kind(Path(folder), AGENTS)
        began = time.monotonic()
        try:
            manager.start()
            asyncio.run(answer_all({agent: manager.socket(agent) for agent in AGENTS}))
            seconds = time.monotonic() - began
            return seconds, proportional_set(manager.processes())
        finally:
            manager.stop()


async def answer_all(sockets: dict[str, Path]) -> None:
    """Return when an agent has answered on each socket."""
    await asyncio.gather(*(answered(agent, path) for agent, path in sockets.items()))


async def answered(agent: str, path: Path) -> None:
    """Wait for the socket, then call; a fresh client each time, so that nothing of a failed call lingers."""
    from tandem.core.errors import TandemError
    from tandem.rpc import Endpoint, Peers

    class Here:
        async def resolve(self, peer: str, deadline: Any) -> Endpoint:
            return Endpoint("unix", str(path), service=f"{peer}@bench")

    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if path.exists():  # noqa: ASYNC240 - a look takes microseconds
            peers = Peers(Here())
            try:
                return await peers.call(agent, "ping", {}, timeout=PATIENCE_S)
            except TandemError:
                pass
            finally:
                await peers.close()
        await asyncio.sleep(POLL_S)
    raise TimeoutError(f"{agent} did not answer within {PATIENCE_S:g} s")


def proportional_set(processes: Iterable[psutil.Process]) -> int:
    """Sum of PSS in bytes: memory shared by several processes counts once. Needs the right to look into all of them."""
    total = 0
    for process in processes:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def measure() -> Sequence[Row]:
    say(f"every agent imports: {', '.join(IMPORTS)}")
    ours_s, ours_bytes = measure_tandem()
    rows = []
    for name, kind in MANAGERS.items():
        if kind.executable() is None:
            say(f"{name} is not installed and left out")
            continue
        wait_until_idle()
        seconds, memory = measure_other(kind)
        say(f"{name}: {seconds:.1f} s, {memory / 2**20:.0f} MiB")
        rows.append(compare("startup.all_healthy_s", "s", ours_s, name, seconds))
        rows.append(compare("startup.pss_bytes", "B", ours_bytes, name, memory))
    if not rows:
        rows = [
            Row(id="startup.all_healthy_s", ours=ours_s, unit="s"),
            Row(id="startup.pss_bytes", ours=ours_bytes, unit="B"),
        ]
    return rows


if __name__ == "__main__":
    run("startup", measure)
