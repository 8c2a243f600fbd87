"""Phone book of the platform."""

from __future__ import annotations

import os
from collections.abc import Iterable

import msgspec

from tandem.agent import Agent, Issue, action
from tandem.core import clock
from tandem.core.errors import InvalidArguments, NotFound, TandemError
from tandem_agents.core_services.contracts import AgentView, Registration


class ServiceRegistry(Agent):
    """Tells where every agent is and how it is. A view only: agents find each other without it, so its death stops no call.

    Programs outside of the fleet may register to be found as well.
    """

    async def start(self) -> None:
        self._file = self.state_dir / "registered.json"
        self._registered: dict[str, Registration] = {}
        if self._file.exists():
            self._registered = msgspec.json.decode(self._file.read_bytes(), type=dict[str, Registration])

    async def check(self) -> Iterable[Issue]:
        try:
            await self.directory()
        except TandemError as error:
            return [Issue(f"the registry cannot be read: {error.message}", fix=error.hint or "tandem status")]
        return ()

    @action(idempotent=True)
    async def register_agent(self, registration: Registration) -> AgentView:
        """Announce a program of the outside."""
        if not registration.name or not registration.endpoint:
            raise InvalidArguments("a registration needs a name and an endpoint")
        if any(lease.agent == registration.name for lease in await self.directory()):
            raise InvalidArguments(f"{registration.name} is an agent of this fleet and already known")
        self._registered[registration.name] = registration
        self._save()
        return _outsider(registration)

    @action(idempotent=True)
    async def unregister_agent(self, name: str) -> int:
        """Withdraw it; returns how many there were."""
        gone = self._registered.pop(name, None)
        self._save()
        return int(gone is not None)

    @action(idempotent=True)
    async def get_agent_endpoint(self, name: str) -> AgentView:
        """Where an agent is; ``Name@machine`` when several have the name."""
        wanted, _, machine = name.partition("@")
        found = [view for view in await self.list_agents(machine) if view.name == wanted]
        here = [view for view in found if view.machine == self.machine]
        if not found:
            raise NotFound(f"nobody has announced {name}", hint="tandem status lists every agent")
        if len(found) > 1 and not here:
            raise InvalidArguments(
                f"several machines have {wanted}", hint=f"say {found[0].name}@{found[0].machine}"
            )
        return (here or found)[0]

    @action(idempotent=True)
    async def list_agents(self, machine: str = "") -> list[AgentView]:
        """Everybody known, by name."""
        views = [
            AgentView(
                name=lease.agent,
                machine=lease.machine,
                status=lease.status,
                instance=lease.instance,
                pid=lease.pid,
                endpoint=lease.zmq or lease.unix or "",
                release=lease.release,
                seen_s=max(0.0, clock.wall() - lease.time),
            )
            for lease in await self.directory()
        ]
        views += [_outsider(registration) for registration in self._registered.values()]
        return sorted(
            (view for view in views if machine in ("", view.machine)),
            key=lambda view: (view.name, view.machine),
        )

    def _save(self) -> None:
        partial = self._file.with_suffix(".new")
        with partial.open("wb") as file:
            file.write(msgspec.json.encode(self._registered))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._file)


def _outsider(registration: Registration) -> AgentView:
    return AgentView(
        name=registration.name, machine=registration.machine, status="registered", instance="", pid=0,
        endpoint=registration.endpoint, release="", seen_s=0.0,
    )  # fmt: skip
