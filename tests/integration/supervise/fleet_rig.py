"""A whole fleet for tests, driven by the real command line in a home of its own."""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from tandem.supervise import proc
from tandem.supervise.keeper_client import ask_listing

PATIENCE_S = 120.0
HERE = Path(__file__).parent
FIRST_PORT, LAST_PORT = 7200, 7299
PORTS = (4222, 4223, 7422, 7423, 7443, 7444, 8322, 8323, *range(FIRST_PORT, LAST_PORT + 1))
"""What a test fleet's one or two machines may listen on, before its offset."""
OFFSETS = tuple(5_400 + 248 * n for n in range(76))
"""Above what whole households are given; the step is no divisor of a difference of two of the ports, so that no two fleets
have one in common; all ports stay below 32768, where the kernel begins to give ports to outgoing connections."""
BLOCK = 4
"""Offsets a test process has for itself, whatever else is tested beside it."""
THREE = """
A: {class: "fleet_agents:Good"}
B: {class: "fleet_agents:Good", needs: [A], port: 7210}
C: {class: "fleet_agents:Good", launch: exec}
"""
"""Three agents: one alone, one that needs it and has a port, one that is executed."""


class FleetRig:
    """``agents`` is YAML: one ``Name: {…}`` per line; ``machines`` names machines, the first one has the agents."""

    def __init__(self, root: Path, agents: str, machines: str = "m1: {ports: [7200-7299]}", extra: str = ""):
        self.root = root
        # Unix socket paths end at 107 bytes, and test directories are long.
        self.run = Path(tempfile.mkdtemp(prefix="td", dir="/tmp"))
        self.offset = free_offset()
        self.env = os.environ | {
            "TANDEM_HOME": str(root / "home"),
            "TANDEM_RUN_DIR": str(self.run),
            "PORT_OFFSET": str(self.offset),
            "PYTHONPATH": str(HERE),
            "COLUMNS": "200",
        }
        for name in ("TANDEM_FLEET", "MAINPC_IP", "MAIN_PC_IP", "PC2_IP", "XDG_RUNTIME_DIR"):
            self.env.pop(name, None)
        indented = "\n".join(f"      {line}" for line in agents.strip().splitlines())
        text = f"fleet: test\nmachines:\n  {machines}\ngroups:\n  g:\n    machine: m1\n    agents:\n{indented}\n{extra}"
        self.file = root / "fleet.yaml"
        self.file.write_text(text)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """A verb in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", "tandem.cli.main", *arguments],
            cwd=self.root, env=self.env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip

    def tandem(self, *arguments: str, code: int | None = 0) -> str:
        """A verb's whole output; fails unless it ends with ``code`` (None: anything)."""
        process = self.start(*arguments)
        try:
            out, err = process.communicate(timeout=PATIENCE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise AssertionError(f"{arguments} hangs: {process.communicate()} {self.diagnosis()}") from None
        assert code is None or process.returncode == code, (
            f"{arguments} -> {process.returncode}\n{out}\n{err}"
        )
        return out + err

    def status(self) -> dict[str, Any]:
        process = self.start("status", "--json")
        out, err = process.communicate(timeout=PATIENCE_S)
        assert out, f"status -> {process.returncode}: {err}"
        found: dict[str, Any] = json.loads(out)
        return found

    def agent(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = next(a for a in self.status()["agents"] if a["name"] == name)
        return found

    def pid(self, name: str) -> int:
        return int(self.agent(name)["pid"])

    def until(self, condition: Callable[[], Any], what: str, within_s: float = PATIENCE_S) -> Any:
        """What ``condition`` gives once it is true."""
        deadline = time.monotonic() + within_s
        while not (value := condition()):
            assert time.monotonic() < deadline, (
                f"waited {within_s:g} s for {what}: {self.tandem('status', code=None)}"
            )
            time.sleep(0.02)
        return value

    def until_state(self, name: str, *states: str) -> dict[str, Any]:
        found: dict[str, Any] = self.until(
            lambda: a if (a := self.agent(name))["state"] in states else None, f"{name} to be {states}"
        )
        return found

    def keeper(self) -> dict[str, Any]:
        """Pids of keeper, node and zygote of the first machine."""
        found: dict[str, Any] = json.loads(self.tandem("node", "--json"))[0]
        return found

    def processes(self) -> list[int]:
        """Every process that belongs to this home, however it was made."""
        mark = f"TANDEM_HOME={self.root / 'home'}".encode()
        me = os.getpid()
        return [pid for pid in proc.all_pids() if pid != me and proc.lives(pid) and proc.has_mark(pid, mark)]

    def remains(self) -> list[str]:
        """What is left of the fleet: processes, sockets, ports."""
        left = [f"process {pid}: {_command(pid)}" for pid in self.processes()]
        left += [f"socket {path}" for path in self.run.rglob("*") if path.is_socket()]
        left += [f"port {port}" for port in PORTS if _is_open(port + self.offset)]
        return left

    def diagnosis(self) -> str:
        """What a person would look at first."""
        units, logs = [], []
        for socket_path in self.run.glob("*/keeper.sock"):
            units += ask_listing(socket_path).units
        for log in (self.root / "home").glob("machines/*/logs/*"):
            logs += [f"{log.name}: {line}" for line in log.read_text().splitlines()[-5:]]
        return "\n".join([*map(str, units), *logs])

    def close(self) -> None:
        """End whatever a test has left, by force if need be."""
        with suppress(AssertionError):
            self.tandem("down", code=None)
        for pid in self.processes():
            proc.signal_process(pid, signal.SIGKILL)
        shutil.rmtree(self.run, ignore_errors=True)


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")
    except OSError:
        return "?"


def _is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@functools.cache
def _own_offsets() -> tuple[tuple[int, ...], IO[str]]:
    """Offsets no other test process has as long as this one lives, and the lock that says so."""
    locks = Path(tempfile.gettempdir()) / f"tandem-rigs-{os.getuid()}"
    locks.mkdir(mode=0o700, exist_ok=True)
    for first in range(0, len(OFFSETS), BLOCK):
        lock = (locks / str(first)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return OFFSETS[first : first + BLOCK], lock
    raise AssertionError("no free ports: too many tests run at once")


def free_offset() -> int:
    """An offset whose ports nobody else has, so that tests may run beside each other and beside a real fleet."""
    for offset in _own_offsets()[0]:
        if not any(_is_open(port + offset) for port in PORTS):
            return offset
    raise AssertionError("no free ports")


MakeFleet = Callable[..., FleetRig]


def fleets(root: Path, modules: Path = HERE) -> Iterator[MakeFleet]:
    """What a fixture yields from: makes fleets of the agents in the folder ``modules``, and ends them after the test."""
    made: list[FleetRig] = []

    def make(agents: str, **options: str) -> FleetRig:
        rig = FleetRig(root, agents, **options)
        rig.env["PYTHONPATH"] = str(modules)
        made.append(rig)
        return rig

    yield make
    for rig in made:
        rig.close()
