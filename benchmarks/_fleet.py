"""A fleet of minimal agents under a home and ports of its own, and what processes cost."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tandem.api import connect
from tandem.core.errors import TandemError
from tandem.rpc import Endpoint, Peers

AGENTS = [f"Agent{number:02}" for number in range(77)]
PORT_OFFSET = "15000"
PATIENCE_S = 300.0
POLL_S = 0.05
HEALTHY = ("healthy", "degraded")


class Home:
    """A folder for a fleet file, its state and its sockets; every port is moved by ``port_offset``."""

    def __init__(self, folder: Path, port_offset: int | str):
        self.folder = folder
        self.file = folder / "fleet.yaml"
        self.environment = os.environ | {
            "TANDEM_HOME": str(folder / "home"), "TANDEM_RUN_DIR": str(folder / "run"), "PORT_OFFSET": str(port_offset),
        }  # fmt: skip
        for name in ("TANDEM_FLEET", "MAINPC_IP", "PC2_IP"):
            self.environment.pop(name, None)

    def tandem(self, *arguments: str) -> str:
        """What the command prints. Raises ``CalledProcessError``, with its words on standard error, when it fails."""
        with self.begin(*arguments) as process:
            said, _nothing = process.communicate()
        if process.returncode != 0:
            raise subprocess.CalledProcessError(process.returncode, process.args, said)
        return said

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """The command, under way; what it prints waits in its ``stdout``."""
        program = str(Path(sys.executable).with_name("tandem"))
        return subprocess.Popen(
            [program, *arguments], cwd=self.folder, env=self.environment, stdout=subprocess.PIPE, text=True
        )


class Fleet(Home):
    """Minimal agents ``agents``, and the YAML lines ``more`` beside them."""

    def __init__(self, folder: Path, agents: Sequence[str] = AGENTS, more: str = ""):
        super().__init__(folder, os.environ.get("PORT_OFFSET", PORT_OFFSET))
        self.agents = agents
        lines = "\n".join(f'      {name}: {{class: "minimal_agent:MinimalAgent"}}' for name in agents)
        self.file.write_text(f"fleet: bench\nmachines:\n  bench: {{}}\ngroups:\n  all:\n    agents:\n{lines}\n{more}")
        for module in ("minimal_agent", "chatty_agent"):
            shutil.copy(Path(__file__).with_name(f"{module}.py"), folder)

    def processes(self) -> list[psutil.Process]:
        """The keeper and everything below it: node, zygote, servers, agents."""
        keeper = psutil.Process(int((self.folder / "run" / "bench" / "keeper.lock").read_text()))
        return [keeper, *keeper.children(recursive=True)]

    def socket(self, agent: str) -> Path:
        return self.folder / "run" / "bench" / "a" / f"{agent}.sock"

    def await_copy(self) -> None:
        """Return when the code that came up has been copied, which is done once after each start."""
        until = time.monotonic() + PATIENCE_S
        while not list((self.folder / "home" / "releases").glob("*.base")):
            if time.monotonic() > until:
                raise TimeoutError("the code that came up was not copied; tandem logs node")
            time.sleep(POLL_S)

    def connect(self) -> Any:
        """An operator's connection, as an async context manager."""
        os.environ.update({key: self.environment[key] for key in ("TANDEM_HOME", "TANDEM_RUN_DIR", "PORT_OFFSET")})
        return connect(str(self.file), budget_s=PATIENCE_S)

    async def answer(self) -> None:
        """Return when every agent has answered a call of the operator's."""
        # One process that says hello to a thousand at once keeps the last of them waiting for longer than they allow.
        at_once = asyncio.Semaphore(64)

        async def ask(peer: Any) -> None:
            async with at_once:
                await peer.ping()

        async with self.connect() as fleet:
            await asyncio.gather(*(ask(fleet.peer(name)) for name in self.agents))


@contextmanager
def running(agents: Sequence[str] = AGENTS, more: str = "") -> Iterator[tuple[Fleet, float]]:
    """A fleet that is up, and the seconds `tandem up` took; ended and removed at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
        fleet = Fleet(Path(folder), agents, more)
        began = time.monotonic()
        try:
            fleet.tandem("up")
            yield fleet, time.monotonic() - began
        finally:
            fleet.tandem("down")


async def answered(agent: str, path: Path, accept: Callable[[Any], bool] = bool, poll_s: float = POLL_S) -> None:
    """Return when ``agent`` says over its socket that it is healthy and ``accept`` takes what it says.

    A fresh client each time, so that nothing of a failed call lingers. Asks without a token: as nobody where agents have
    no identities, as the operator where the kernel vouches for it.
    """

    class Here:
        async def resolve(self, peer: str, deadline: Any) -> Endpoint:
            return Endpoint("unix", str(path), service=f"{peer}@bench")

    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        if path.exists():  # noqa: ASYNC240 - a look takes microseconds
            peers = Peers(Here())
            try:
                report = await peers.call(agent, "health_check", {}, timeout=PATIENCE_S)
                if report["status"] in HEALTHY and accept(report):
                    return
            except TandemError:
                pass
            finally:
                await peers.close()
        await asyncio.sleep(poll_s)
    raise TimeoutError(f"{agent} did not answer within {PATIENCE_S:g} s")


async def answer_all(sockets: dict[str, Path]) -> None:
    """Return when an agent has answered on each socket."""
    await asyncio.gather(*(answered(agent, path) for agent, path in sockets.items()))


def proportional_set(processes: Iterable[psutil.Process]) -> int:
    """Sum of PSS in bytes: memory shared by several processes counts once. Needs the right to look into all of them."""
    total = 0
    for process in processes:
        for line in Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1]) * 1024
    return total


def cpu_seconds(processes: Iterable[psutil.Process]) -> float:
    """CPU time so far of processes that live, to the nanosecond (/proc/PID/schedstat), and of the dead they have reaped."""
    total = 0.0
    for process in processes:
        threads = Path(f"/proc/{process.pid}/task").iterdir()
        total += sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
        times = process.cpu_times()
        total += times.children_user + times.children_system
    return total


def idle_fraction(processes: list[psutil.Process], seconds: float) -> float:
    """How many cores ``processes`` keep busy on average while nobody asks them anything."""
    before, began = cpu_seconds(processes), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(processes) - before) / (time.monotonic() - began)
