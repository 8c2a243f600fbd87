"""New code for all 77 agents while every one of them is called all the time: failed calls, and seconds there and back.

The others get the same by their own command for it (`supervisorctl restart all`, `circusctl restart`, `pm2 reload
all`): there is nothing like a release in them, so going back takes them as long as going there.
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
from typing import Any

from _fleet import AGENTS, Fleet, answer_all
from _managers import Circus, Manager, Pm2, Supervisord, wait_until_idle
from _rows import Row, compare, run, say

PAUSE_S = 0.25
"""Between two calls to the same agent: some 300 calls a second in all."""

BUDGET_S = 5.0
PATIENCE_S = 300.0
MIN_HEALTHY_S = "1"


class Load:
    """Calls every agent in turn, each call with the default budget, and counts what fails."""

    def __init__(self, ping: Callable[[str], Awaitable[Any]]):
        self.answered = 0
        self.failed = 0
        self._ping = ping
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Load:
        self._tasks = [asyncio.create_task(self._call(agent)) for agent in AGENTS]
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
    out, _ = await process.communicate()
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
        async with Load(lambda agent: connection.peer(agent).ping()) as load:
            module.write_text(module.read_text() + "\n\nVERSION = 2\n")
            there = await timed([tandem, "apply", "--min-healthy", MIN_HEALTHY_S], **options)
            back = await timed([tandem, "rollback"], **options)
        return Figures(load.failed, load.answered + load.failed, there, back)


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

    def restart(self) -> list[str]:
        control = str(Path(str(self.executable())).with_name("supervisorctl"))
        return [control, "-c", str(self.folder / "supervisord.conf"), "restart", "all"]


class RestartedCircus(Circus):
    def restart(self) -> list[str]:
        control = str(Path(str(self.executable())).with_name("circusctl"))
        return [control, "--endpoint", f"ipc://{self.folder}/endpoint", "--timeout", "120", "restart", "--waiting"]


class ReloadedPm2(Pm2):
    def restart(self) -> list[str]:
        return [str(self.executable()), "reload", "all"]


OTHERS: dict[str, type[RestartedSupervisord] | type[RestartedCircus] | type[ReloadedPm2]] = {
    "supervisord": RestartedSupervisord, "circus": RestartedCircus, "pm2": ReloadedPm2,
}  # fmt: skip


async def roll_other(manager: RestartedSupervisord | RestartedCircus | ReloadedPm2) -> Figures:
    """Seconds count until every agent answers again."""
    from tandem.rpc import Endpoint, Peers

    sockets = {agent: manager.socket(agent) for agent in AGENTS}
    await answer_all(sockets)

    class Here:
        async def resolve(self, peer: str, deadline: Any) -> Endpoint:
            return Endpoint("unix", str(sockets[peer]), service=f"{peer}@bench")

    peers = Peers(Here())
    try:
        async with Load(lambda agent: peers.call(agent, "ping", {}, timeout=BUDGET_S)) as load:
            began = time.monotonic()
            await timed(manager.restart(), cwd=manager.folder, env=manager.environment)
            await answer_all(sockets)
            seconds = time.monotonic() - began
    finally:
        await peers.close()
    return Figures(load.failed, load.answered + load.failed, seconds, seconds)


def measure_ours() -> Figures:
    with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
        fleet = Fleet(Path(folder))
        try:
            fleet.tandem("up")
            asyncio.run(fleet.answer())
            return asyncio.run(roll_ours(fleet))
        finally:
            fleet.tandem("down")


def measure_other(kind: type[Manager]) -> Figures:
    with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
        manager: Any = kind(Path(folder), AGENTS)
        try:
            manager.start()
            return asyncio.run(roll_other(manager))
        finally:
            manager.stop()


def measure() -> Sequence[Row]:
    ours = measure_ours()
    say(
        f"tandem: {ours.failed} of {ours.calls} calls failed; there {ours.there_s:.1f} s (each instance held for "
        f"{MIN_HEALTHY_S} s), back {ours.back_s:.1f} s"
    )
    rows = [Row(id="rollout.calls", ours=ours.calls, unit=""), Row(id="rollout.apply_s", ours=ours.there_s, unit="s")]
    compared = False
    for name, kind in OTHERS.items():
        if kind.executable() is None:
            say(f"{name} is not installed and left out")
            continue
        wait_until_idle()
        theirs = measure_other(kind)
        say(f"{name}: {theirs.failed} of {theirs.calls} calls failed; {theirs.there_s:.1f} s")
        # No ratio: ours is to be zero.
        rows.append(Row(id="rollout.failed", ours=ours.failed, unit="", peer=name, peer_value=theirs.failed))
        rows.append(compare("rollout.rollback_s", "s", ours.back_s, name, theirs.back_s))
        compared = True
    if not compared:
        rows.append(Row(id="rollout.failed", ours=ours.failed, unit=""))
        rows.append(Row(id="rollout.rollback_s", ours=ours.back_s, unit="s"))
    return rows


if __name__ == "__main__":
    run("rollout", measure)
