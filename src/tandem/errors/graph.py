"""Who needs whom, for telling causes from consequences."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from tandem.core.ids import AgentId

SERVICES = ("nats", "valkey-control", "valkey-cache", "zygote")
"""What every agent of a machine leans on."""

_NAME = re.compile(r"[A-Za-z][\w-]+(?:@[\w-]+)?")
_ALSO_CALLED = {"registry": "valkey-control", "valkey": "valkey-control", "jetstream": "nats"}


class Graph:
    """``needs``: identity of each agent to the identities it cannot do without, on any machine."""

    def __init__(self, needs: Mapping[str, Iterable[str]]):
        self._needs = {agent: tuple(needed) for agent, needed in needs.items()}
        self._places: dict[str, list[str]] = {}
        for agent in self._needs:
            self._places.setdefault(AgentId(agent).name, []).append(agent)
        self._upstream: dict[str, frozenset[str]] = {}

    def resolve(self, name: str, machine: str) -> str | None:
        """The identity ``name`` means when said on ``machine``; None for what is no part of the fleet."""
        said = AgentId(name)
        if said.machine:
            return name if name in self._places.get(said.name, ()) or said.name in SERVICES else None
        if said.name in SERVICES:
            return AgentId.of(name, machine)
        places = self._places.get(name, [])
        here = AgentId.of(name, machine)
        return here if here in places else places[0] if len(places) == 1 else None

    def upstream(self, agent: str) -> frozenset[str]:
        """Everything ``agent`` leans on, directly or not."""
        found = self._upstream.get(agent)
        if found is None:
            reached: set[str] = set()
            ahead = [agent]
            while ahead:
                current = ahead.pop()
                machine = AgentId(current).machine
                below = (*self._needs.get(current, ()), *(AgentId.of(name, machine) for name in SERVICES))
                ahead += [
                    name for name in below if name not in reached and AgentId(name).name not in SERVICES
                ]
                reached.update(below)
            found = self._upstream[agent] = frozenset(reached - {agent})
        return found

    def mentioned(self, text: str, origin: AgentId) -> str | None:
        """The first other agent or server ``text`` names, as seen from ``origin``."""
        for word in _NAME.findall(text):
            lower = word.lower()
            name = _ALSO_CALLED.get(lower, lower if lower in SERVICES else word)
            found = self.resolve(name, origin.machine)
            if found is not None and found != origin:
                return found
        return None
