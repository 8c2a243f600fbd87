"""What could go wrong is looked at before anything is started: ports, sockets, memory, disk, GPU."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tandem.cli.checkup.computer import judge_gpu, judge_memory
from tandem.cli.checkup.place import judge_disk
from tandem.cli.checkup.ports import judge_ports
from tandem.core.checkup import Finding
from tandem.core.paths import Home, check_socket_path
from tandem.fleet.model import Fleet, MachineConfig
from tandem.fleet.ports import listeners


class Findings(Struct, frozen=True):
    """``problems`` keep the fleet from starting, ``remarks`` do not."""

    problems: list[str]
    remarks: list[str]
    hint: str = ""


def inspect(fleet: Fleet, home: Home, starting: Iterable[MachineConfig], agents: Iterable[str]) -> Findings:
    """Look at everything the machines in ``starting`` are going to need. ``agents``: identities to be started.

    Raises :class:`~tandem.core.errors.ConfigError` for a socket path the kernel would refuse.
    """
    names = {machine.name: machine for machine in starting}
    chosen = set(agents)
    for agent in fleet.agents.values():
        if agent.machine in names:
            check_socket_path(home.machine(agent.machine).agent_socket(agent.name))
    wanted = [
        listener
        for listener in listeners(fleet)
        if listener.machine in names and (listener.agent in chosen or listener.agent not in fleet.agents)
    ]
    found = [*judge_ports(wanted), *judge_memory(), *judge_disk(home), *judge_gpu(fleet, names)]
    return Findings(
        problems=_messages(found, "problem"),
        remarks=_messages(found, "note"),
        hint="\n  ".join(dict.fromkeys(f.fix for f in found if f.verdict == "problem" and f.fix)),
    )


def _messages(found: Iterable[Finding], verdict: str) -> list[str]:
    return [finding.message for finding in found if finding.verdict == verdict]
