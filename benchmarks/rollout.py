"""New code for running agents while every one of them is called all the time: failed calls, and seconds there and back.

First all 77 of ours, then twenty of ours beside twenty of each other manager's, which start whole interpreters and would
take minutes for 77. The others get the same by their own command for it (`supervisorctl restart all`, `circusctl restart`,
`pm2 reload all`; honcho has none and is ended and started): there is nothing like a release in them, so going back takes
them as long as going there. Callers are the same for everybody: each call may take five seconds and is repeated
within them while its agent cannot be reached.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from _fleet import AGENTS, Fleet, answer_all
from _managers import Circus, Honcho, Manager, Pm2, Supervisord, installed, wait_until_idle
from _rows import Row, compare, run, say

SIDE_BY_SIDE = AGENTS[:20]
PAUSE_S = 0.25
"""Between two calls to the same agent: some four calls a second to each."""

BUDGET_S = 5.0
MIN_HEALTHY_S = "1"
START_LIMIT_S = 60.0
RESTART_LIMIT_S = 60.0
"""A manager that takes longer is reported as not having done it."""


class Load:
    """Calls every agent in turn, each call with the default budget, and counts what fails."""

    def __init__(self, agents: Sequence[str], ping: Callable[[str], Awaitable[Any]]):
        self.answered = 0
        self.failed = 0
        self._agents = agents
        self._ping = ping
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._call(agent)) for agent in self._agents]
        await asyncio.sleep(2 * PAUSE_S)
        return self

    async def __aexit__(self, *_error: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _call(self, agent: str) -> None:
        from tandem.core.errors import TandemError

        while True:
            try:
                await self._ping(agent)
                self.answered += 1
            except TandemError:
                self.failed += 1
            await asyncio.sleep(PAUSE_S)


async def timed(command: list[str], **options: Any) -> float:
    """Seconds a command takes; raises ``RuntimeError`` with its words when it fails."""
    began = time.monotonic()
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
    )
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise RuntimeError(out.decode())
    return time.monotonic() - began


class Figures:
    """``failed`` of ``calls``, and seconds."""

    def __init__(self, failed: int, calls: int, there_s: float, back_s: float):
        self.failed, self.calls, self.there_s, self.back_s = failed, calls, there_s, back_s


async def roll_ours(fleet: Fleet) -> Figures:
    from tandem.api import connect

    os.environ.update({key: fleet.environment[key] for key in ("TANDEM_HOME", "TANDEM_RUN_DIR", "PORT_OFFSET")})
    options = {"cwd": fleet.folder, "env": fleet.environment}
    module = fleet.folder / "minimal_agent.py"
    tandem = str(Path(sys.executable).with_name("tandem"))
    async with connect(str(fleet.file)) as connection:
        async with Load(fleet.agents, lambda agent: connection.peer(agent).ping()) as load:
            module.write_text(module.read_text() + "\n\nVERSION = 2\n")
            there = await timed([tandem, "apply", "--min-healthy", MIN_HEALTHY_S], **options)
            back = await timed([tandem, "rollback"], **options)
        return Figures(load.failed, load.answered + load.failed, there, back)


class Restarting(Protocol):
    """A manager that was told how to restart what it runs."""

    folder: Path
    environment: dict[str, str]

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def socket(self, agent: str) -> Path: ...

    async def restart(self) -> None:
        """Return when its own command for it has ended."""


class RestartedSupervisord(Supervisord):
    def configure(self) -> list[str]:
        command = super().configure()
        path = Path(command[-1])
        path.write_text(
            f"[unix_http_server]\nfile={self.folder}/control\n"
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n"
            f"[supervisorctl]\nserverurl=unix://{self.folder}/control\n" + path.read_text()
        )
        return command

    async def restart(self) -> None:
        control = str(Path(str(self.executable())).with_name("supervisorctl"))
        await timed([control, "-c", str(self.folder / "supervisord.conf"), "restart", "all"])


class RestartedCircus(Circus):
    async def restart(self) -> None:
        control = str(Path(str(self.executable())).with_name("circusctl"))
        endpoint = f"ipc://{self.folder}/endpoint"
        await timed([control, "--endpoint", endpoint, "--timeout", f"{RESTART_LIMIT_S:g}", "restart", "--waiting"])


class RestartedHoncho(Honcho):
    async def restart(self) -> None:
        await asyncio.to_thread(self.stop)
        self.start()


class ReloadedPm2(Pm2):
    async def restart(self) -> None:
        await timed([str(self.executable()), "reload", "all"], cwd=self.folder, env=self.environment)


OTHERS: dict[str, type[Restarting]] = {
    "supervisord": RestartedSupervisord, "circus": RestartedCircus, "honcho": RestartedHoncho, "pm2": ReloadedPm2,
}  # fmt: skip


async def roll_other(manager: Restarting) -> Figures:
    """Seconds count until every agent answers again. Raises ``TimeoutError`` at the limits."""
    from tandem.rpc import Endpoint, Peers

    sockets = {agent: manager.socket(agent) for agent in SIDE_BY_SIDE}
    async with asyncio.timeout(START_LIMIT_S):
        await answer_all(sockets)

    class Here:
        async def resolve(self, peer: str, deadline: Any) -> Endpoint:
            return Endpoint("unix", str(sockets[peer]), service=f"{peer}@bench")

    peers = Peers(Here())
    try:
        async with Load(SIDE_BY_SIDE, lambda agent: peers.call(agent, "ping", {}, timeout=BUDGET_S)) as load:
            began = time.monotonic()
            async with asyncio.timeout(RESTART_LIMIT_S):
                await manager.restart()
                await answer_all(sockets)
            seconds = time.monotonic() - began
    finally:
        await peers.close()
    return Figures(load.failed, load.answered + load.failed, seconds, seconds)


def measure_ours(agents: Sequence[str]) -> Figures:
    with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
        fleet = Fleet(Path(folder), agents)
        try:
            fleet.tandem("up")
            asyncio.run(fleet.answer())
            found = asyncio.run(roll_ours(fleet))
        finally:
            fleet.tandem("down")
    say(
        f"tandem, {len(agents)} agents: {found.failed} of {found.calls} calls failed; there {found.there_s:.1f} s (each "
        f"instance held for {MIN_HEALTHY_S} s), back {found.back_s:.1f} s"
    )
    return found


def measure_other(name: str, kind: type[Manager]) -> Figures | None:
    """None, said aloud, for a manager that does not get through within the limits."""
    with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
        manager: Any = kind(Path(folder), SIDE_BY_SIDE)
        try:
            manager.start()
            found = asyncio.run(roll_other(manager))
        except (TimeoutError, RuntimeError, OSError) as error:
            say(f"NOT MEASURED: {name} did not get through: {error or 'the time limit is up'}")
            return None
        finally:
            manager.stop()
    say(f"{name}: {found.failed} of {found.calls} calls failed; {found.there_s:.1f} s")
    return found


def measure() -> Sequence[Row]:
    whole = measure_ours(AGENTS)
    rows = [
        Row(id="rollout.all.failed", ours=whole.failed, unit=""),
        Row(id="rollout.all.calls", ours=whole.calls, unit=""),
        Row(id="rollout.all.apply_s", ours=whole.there_s, unit="s"),
        Row(id="rollout.all.rollback_s", ours=whole.back_s, unit="s"),
    ]
    ours = measure_ours(SIDE_BY_SIDE)
    peers = []
    for name in installed(*OTHERS):
        wait_until_idle()
        theirs = measure_other(name, OTHERS[name])
        if theirs is not None:
            # No ratio for what is to be zero.
            peers += [
                Row(id="rollout.failed", ours=ours.failed, unit="", peer=name, peer_value=theirs.failed),
                compare("rollout.apply_s", "s", ours.there_s, name, theirs.there_s),
                compare("rollout.rollback_s", "s", ours.back_s, name, theirs.back_s),
            ]
    alone = [
        Row(id="rollout.failed", ours=ours.failed, unit=""),
        Row(id="rollout.apply_s", ours=ours.there_s, unit="s"),
        Row(id="rollout.rollback_s", ours=ours.back_s, unit="s"),
    ]
    return rows + (peers or alone)


if __name__ == "__main__":
    run("rollout", measure)
