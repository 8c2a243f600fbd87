"""Whether a fleet's ports can be had, and who has those that cannot."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterable

from msgspec import Struct

from tandem.core.checkup import Finding, problem
from tandem.fleet.ports import INFRA, Listener

CHECK = "ports"
MOVE = "PORT_OFFSET=1000 tandem up moves every port"
SHOWN = 4
"""Ports of one other fleet that are named; the rest are counted."""


class Owner(Struct, frozen=True):
    """Who listens on a port. ``home`` is set when it belongs to a fleet: the directory that fleet lives in."""

    words: str
    home: str = ""


UNSEEN = Owner("a process this user may not look into")


def judge_ports(wanted: Iterable[Listener]) -> list[Finding]:
    """A problem for each port of ``wanted`` that cannot be had; one for all that the same other fleet has."""
    found: list[Finding] = []
    taken: dict[Owner, list[str]] = {}
    for listener in wanted:
        error = refusal(listener.port)
        if error is None:
            continue
        if error.errno == errno.EADDRINUSE:
            taken.setdefault(owner_of(listener.port), []).append(_name(listener))
        else:
            found.append(problem(CHECK, f"{_name(listener)}: {error.strerror}", MOVE))
    fleets = {owner.home: names for owner, names in taken.items() if owner.home}
    if len(fleets) == 1:
        # Agents hide what they have open; beside a fleet's servers, what nobody may look into are its agents.
        (names,) = fleets.values()
        names += taken.pop(UNSEEN, [])
    for owner, names in taken.items():
        if not owner.home:
            found += [problem(CHECK, f"{name} is taken by {owner.words}", MOVE) for name in names]
    found += [problem(CHECK, _of_fleet(home, names), MOVE) for home, names in fleets.items()]
    return found


def refusal(port: int) -> OSError | None:
    """Why nobody can begin to listen on the port of the loopback address; None when that works."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            return error
    return None


def owner_of(port: int) -> Owner:
    """The program that listens on the port, as far as this user may know."""
    import psutil

    for connection in psutil.net_connections("tcp"):
        if connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port:
            if connection.pid is None:
                return UNSEEN
            try:
                process = psutil.Process(connection.pid)
                home = _home_of(process)
                return Owner("a fleet", home) if home else Owner(f"{process.name()} (pid {process.pid})")
            except psutil.NoSuchProcess:
                break
    return Owner("a program that has just left or hides itself")


def _home_of(process: object) -> str:
    """The home of the fleet the process belongs to.

    Agents are children of their machine's keeper and hide their environment, for it is next to their keys; the
    servers beside them do not.
    """
    import psutil

    assert isinstance(process, psutil.Process)
    keeper = process.parent()
    family = [process, keeper, *keeper.children()] if keeper is not None and _is_keeper(keeper) else [process]
    for relative in family:
        try:
            environment = relative.environ()
        except psutil.Error:
            continue
        if home := environment.get("TANDEM_HOME"):
            return home
    return ""


def _is_keeper(process: object) -> bool:
    import psutil

    assert isinstance(process, psutil.Process)
    try:
        return "tandem.supervise.keeper" in process.cmdline()
    except psutil.Error:
        return False


def _of_fleet(home: str, names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
    own = " (this home; TANDEM_RUN_DIR differs)" if home == os.environ.get("TANDEM_HOME") else ""
    return f"the fleet in {home}{own} has {shown}"


def _name(listener: Listener) -> str:
    what = f"{listener.purpose} of {listener.machine}" if listener.agent == INFRA else listener.owner()
    return f"port {listener.port} ({what})"
