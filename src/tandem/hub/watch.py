"""What a hub knows of every machine: its own asked from the node, the others' told by their hubs."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from tandem.core import clock
from tandem.core.errors import TandemError
from tandem.core.paths import MachineDirs
from tandem.hub.changes import Changes
from tandem.hub.nodes import ask_status
from tandem.hub.picture import AgentPicture, Figures, MachinePicture, Reach, ServicePicture, machine_picture

LINKED_S = 5.0
"""A picture told longer ago than this is old: its hub, its machine or the link is away."""


class FleetWatch:
    """Pictures of all machines, and word of what changed in them."""

    def __init__(self, machine: str, machines: Iterable[str], dirs: MachineDirs, changes: Changes):
        self.machine = machine
        self.figures: dict[str, Figures] = {}
        """Of this machine's agents by bare name; whoever measures fills it."""
        self.service_figures: dict[str, dict[str, float]] = {}
        self.dirs = dirs
        self._changes = changes
        self._pictures = {
            name: MachinePicture(machine=name, at=0.0, reach="here" if name == machine else "lost", fault="never seen yet")
            for name in machines
        }
        self._links: dict[str, float | None] = {}

    @property
    def own(self) -> MachinePicture:
        return self._pictures[self.machine]

    def pictures(self) -> list[MachinePicture]:
        """All machines in the order of the fleet file, our own first."""
        now = clock.wall()
        return [self.own, *(self._aged(name, now) for name in self._pictures if name != self.machine)]

    def find(self, identity: str) -> AgentPicture | None:
        """An agent by ``Name@machine``."""
        name, _, machine = identity.partition("@")
        picture = self._pictures.get(machine)
        return next((a for a in picture.agents if a.name == name), None) if picture else None

    async def look(self, cores: int, load: float, memory: tuple[int, int]) -> MachinePicture:
        """Ask this machine's node and keep the answer; a node that is away leaves the last picture with its fault."""
        try:
            status = await ask_status(self.dirs, self.machine)
        except TandemError as error:
            fresh = replace(self.own, fault=error.message)
        else:
            fresh = machine_picture(status, clock.wall(), self.figures)
            fresh = replace(fresh, services=[self._measured(service) for service in fresh.services])
        used, total = memory
        self.keep(replace(fresh, cores=cores, load=load, memory_bytes=used, memory_total_bytes=total))
        return self.own

    def keep(self, fresh: MachinePicture) -> None:
        """Take over a picture, and tell what differs from the last one."""
        if fresh.machine not in self._pictures:
            return
        before = {agent.name: agent for agent in self._pictures[fresh.machine].agents}
        self._pictures[fresh.machine] = fresh
        for agent in fresh.agents:
            known = before.get(agent.name)
            # What it uses moves all the time; pages follow it by the figures, every ten seconds.
            if known is None or replace(known, usage=agent.usage) != agent:
                self._changes.tell("agent", agent.id, agent)
        self._tell_machine(fresh.machine)

    def linked(self, machine: str, round_trip_s: float | None) -> None:
        """How long a question to another hub took; None: no answer."""
        if self._links.get(machine) is None or round_trip_s is None:
            self._links[machine] = round_trip_s
            self._tell_machine(machine)
        self._links[machine] = round_trip_s

    def _tell_machine(self, machine: str) -> None:
        shown = self.own if machine == self.machine else self._aged(machine, clock.wall())
        self._changes.tell("machine", machine, replace(shown, agents=[]))

    def _measured(self, service: ServicePicture) -> ServicePicture:
        return replace(service, figures=self.service_figures.get(service.name, {}))

    def _aged(self, machine: str, now: float) -> MachinePicture:
        picture = self._pictures[machine]
        reach: Reach = "linked" if now - picture.at <= LINKED_S else "lost"
        return replace(picture, reach=reach, link_s=self._links.get(machine) if reach == "linked" else None)
