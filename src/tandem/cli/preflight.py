"""What could go wrong is looked at before anything is started: ports, sockets, memory, disk, GPU."""

from __future__ import annotations

import errno
import shutil
import socket
from collections.abc import Iterable
from pathlib import Path

from msgspec import Struct

from tandem.core.paths import Home, check_socket_path
from tandem.fleet.model import Fleet, MachineConfig
from tandem.fleet.ports import Listener, listeners

LOW_MEMORY_MB = 1024
LOW_DISK_MB = 1024


class Findings(Struct, kw_only=True):
    """``problems`` keep the fleet from starting, ``remarks`` do not."""

    problems: list[str]
    remarks: list[str]


def inspect(fleet: Fleet, home: Home, starting: Iterable[MachineConfig], agents: Iterable[str]) -> Findings:
    """Look at everything the machines in ``starting`` are going to need. ``agents``: identities to be started.

    Raises :class:`~tandem.core.errors.ConfigError` for a socket path the kernel would refuse.
    """
    machines = list(starting)
    names = {machine.name for machine in machines}
    chosen = set(agents)
    for agent in fleet.agents.values():
        if agent.machine in names:
            check_socket_path(home.machine(agent.machine).agent_socket(agent.name))
    wanted = [
        listener
        for listener in listeners(fleet)
        if listener.machine in names and (listener.agent in chosen or listener.agent not in fleet.agents)
    ]
    problems = [problem for listener in wanted if (problem := _taken(listener))]
    return Findings(problems=problems, remarks=[*_memory(), *_disk(home), *_gpu(machines)])


def _taken(listener: Listener) -> str:
    """Why the port cannot be had, or nothing."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", listener.port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                owner = _owner(listener.port)
                return f"port {listener.port} ({listener.agent} {listener.purpose}) is taken by {owner}"
            return f"port {listener.port} ({listener.agent} {listener.purpose}): {error.strerror}"
    return ""


def _owner(port: int) -> str:
    """The program that listens there, as far as this user may know."""
    import psutil

    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            if connection.pid is None:
                return "a process of another user"
            return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    return "a program that has just left or hides itself"


def _memory() -> list[str]:
    for line in Path("/proc/meminfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "MemAvailable":
            megabytes = int(value.split()[0]) // 1024
            return [f"only {megabytes} MiB of memory are free"] if megabytes < LOW_MEMORY_MB else []
    return []


def _disk(home: Home) -> list[str]:
    place = next(parent for parent in (home.root, *home.root.parents) if parent.exists())
    megabytes = shutil.disk_usage(place).free >> 20
    return [f"only {megabytes} MiB of disk are free at {place}"] if megabytes < LOW_DISK_MB else []


def _gpu(machines: list[MachineConfig]) -> list[str]:
    declared = [machine.name for machine in machines if machine.gpu is not None]
    if not declared or Path("/dev/nvidiactl").exists():
        return []
    return [f"no GPU here, although {', '.join(declared)} declare one: models run on the CPU"]
