"""The work of `tandem machine rotate`: new keys for a machine while its agents serve on."""

from __future__ import annotations

import time
from collections.abc import Callable

from tandem.cli.local import open_all, statuses
from tandem.cli.node import replace_node
from tandem.cli.releasing import release_statuses
from tandem.core import clock
from tandem.core.errors import ConfigError, TandemError
from tandem.core.paths import Home
from tandem.fleet import load
from tandem.fleet.plan import levels
from tandem.security import Authority, rotation
from tandem.supervise.api import Done, MachineStatus, Order
from tandem.supervise.keeper_start import is_kept
from tandem.supervise.node_client import follow, known_machines
from tandem.supervise.rollout import ACTIVE
from tandem.supervise.rollouts import Busy

AGENT_S = 180.0
"""For one agent to be up again with its new keys."""
CALM_S = 120.0
SILENCE_S = 5.0
"""A link whose server was restarted counts as up for up to four more seconds; one that is up later has come back."""
_POLL_S = 0.1


def rotate(home: Home, machine: str, tell: Callable[[str], object]) -> int:
    """Give ``machine`` new keys; how many secrets were encrypted anew. ``tell`` hears what is being done.

    Raises :class:`ConfigError` for a machine of another computer, :class:`Busy` while a rollout is under way, which
    replaces the same agents, and :class:`TandemError` when somebody does not come up with new keys: then both generations
    stay good, and the same call goes on from there.
    """
    authority = Authority.open(home)
    if machine not in authority.local_machines():
        raise ConfigError(f"{machine} is not on this computer", hint=f"tandem machine invite {machine}, and join it again")
    _refuse_during_rollout(home)
    if home.is_rotating(machine):
        tell(f"Going on with the rotation of {machine} that was interrupted.")
    rotation.begin(authority, machine)
    if is_kept(home.machine(machine)):
        _renew_processes(home, machine, tell)
    return rotation.finish(home, authority, machine)


def _refuse_during_rollout(home: Home) -> None:
    """On any machine of this computer: the nodes of all are replaced on the way."""
    if not any(is_kept(home.machine(machine)) for machine in known_machines(home)):
        return
    for status in release_statuses(home, all_or_none=True):
        if status.rollout is not None and status.rollout.course in ACTIVE:
            raise Busy(
                f"a rollout is under way on {status.machine}; nothing was touched",
                hint="tandem rollout status --follow, or tandem rollout abort",
            )


def _renew_processes(home: Home, machine: str, tell: Callable[[str], object]) -> None:
    found, failures = statuses(home)
    if machine in failures:
        raise failures[machine]
    by_name = {status.machine: status for status in found}
    # Whoever accepts this machine's server has to know its new key before that server shows it.
    for status in sorted(found, key=lambda status: status.machine == machine):
        tell(f"{status.machine}: node {status.pid} replaced by {replace_node(home, status)}")
    _await_calm(home, set(by_name))
    agents = _in_order(by_name[machine])
    for number, agent in enumerate(agents, 1):
        tell(f"{agent} gets new keys ({number} of {len(agents)})")
        _restart(home, machine, agent)


def _await_calm(home: Home, here: set[str]) -> None:
    """Wait until servers are well and the machines of this computer are linked: by that way they learn of new keys."""
    until = time.monotonic() + CALM_S
    while time.monotonic() < until:
        found, failures = statuses(home)
        services = [service for status in found for service in status.services]
        young = clock.wall() - SILENCE_S
        well = all(one.state == "healthy" and (one.times.ready_at or 0.0) < young for one in services)
        linked = all(link.state == "up" for status in found for link in status.links if link.machine in here)
        if well and linked and not failures:
            return
        time.sleep(_POLL_S)
    raise TandemError("the servers do not come up with their new keys; nothing is revoked yet", hint="tandem status")


def _in_order(status: MachineStatus) -> list[str]:
    """The running agents that hold keys, each after what it needs. Programs of another make have none."""
    fleet = load(status.fleet_file).fleet
    configs = {} if fleet is None else {str(agent.id): agent for agent in fleet.on(status.machine)}
    running = {f"{view.name}@{view.machine}" for view in status.agents if view.pid is not None}
    ours = {name: config for name, config in configs.items() if name in running and config.class_path is not None}
    needs = {name: [need for need in config.needs if need in ours] for name, config in ours.items()}
    return [name for level in levels(needs) for name in level]


def _restart(home: Home, machine: str, agent: str) -> None:
    begun, refused = open_all(home, [machine], lambda _machine: Order(verb="restart", agents=[agent]))
    final = refused.get(machine) or follow(begun, lambda _machine, _answer: None, AGENT_S).get(machine)
    if not isinstance(final, Done) or any(view.verdict != "up" for view in final.views):
        raise TandemError(
            f"{agent} does not come up with its new keys; nothing is revoked yet",
            hint=f"tandem status, then the same command again: tandem machine rotate {machine}",
        )
