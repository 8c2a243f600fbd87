"""What a machine's last start looked like: who waited for whom, and who took how long. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from tandem.fleet.model import Fleet
from tandem.supervise.api import MachineStatus, Times

ZYGOTE = "zygote"


class StartUp(Struct, frozen=True, kw_only=True):
    """One unit's start. Seconds since the first unit of its machine was launched.

    ``waited_s``: between the moment its last need was ready and its launch: for what it wants, or for its turn.
    """

    name: str
    machine: str
    launched_s: float
    ready_s: float
    waited_s: float = 0.0
    behind: str | None = None
    """The need that was ready last; None for what needs nothing."""
    restarts: int = 0

    @property
    def took_s(self) -> float:
        return self.ready_s - self.launched_s


def start_ups(status: MachineStatus, fleet: Fleet | None) -> dict[str, StartUp]:
    """Every unit that is ready, by name; needs are those of the fleet file, and before them the servers and the zygote."""
    base = {service.name: (service.times, service.restarts) for service in status.services}
    if status.zygote.ready_at is not None:
        base[ZYGOTE] = (status.zygote, 0)
    known = base | {agent.name: (agent.times, agent.restarts) for agent in status.agents}
    needs = _needs(status, fleet)
    begun = min((times.launched_at for times, _restarts in known.values() if times.launched_at), default=0.0)
    found = {}
    for name, (times, restarts) in known.items():
        if times.launched_at is None or times.ready_at is None:
            continue
        behind = _last(() if name in base else (*base, *needs.get(name, ())), {n: t for n, (t, _r) in known.items()})
        ready_at = known[behind][0].ready_at if behind is not None else None
        found[name] = StartUp(
            name=name,
            machine=status.machine,
            launched_s=times.launched_at - begun,
            ready_s=times.ready_at - begun,
            waited_s=max(0.0, times.launched_at - ready_at) if ready_at is not None else 0.0,
            behind=behind,
            restarts=restarts,
        )
    return found


def _needs(status: MachineStatus, fleet: Fleet | None) -> Mapping[str, list[str]]:
    if fleet is None:
        return {}
    return {agent.name: [need.partition("@")[0] for need in agent.needs] for agent in fleet.on(status.machine)}


def _last(needs: Iterable[str], times: Mapping[str, Times]) -> str | None:
    """Of ``needs`` the one that was ready last."""
    ready = {name: moment for name in needs if name in times and (moment := times[name].ready_at) is not None}
    return max(ready, key=lambda name: ready[name], default=None)


def blame(starts: Iterable[StartUp]) -> list[StartUp]:
    """The slowest first."""
    return sorted(starts, key=lambda start: start.took_s, reverse=True)


def chain(starts: Mapping[str, StartUp], last: str | None = None) -> list[StartUp]:
    """``last`` (else whoever was ready last), what it was behind, what that was behind, and so on.

    A unit that was restarted later than what needs it ends the chain: it is not what they waited for.
    """
    if last is None:
        last = max(starts, key=lambda name: starts[name].ready_s, default=None)
    found: list[StartUp] = []
    while last is not None and last in starts and starts[last] not in found:
        if found and starts[last].ready_s > found[-1].launched_s:
            break
        found.append(starts[last])
        last = starts[last].behind
    return found
