"""Phone book of the platform."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import Literal

from msgspec import Struct, structs

from tandem.agent import Agent, Issue, action
from tandem.core import clock
from tandem.core.errors import InvalidArguments, NotFound, TandemError
from tandem_agents.core_services.contracts import AgentView, DirectoryChange, Registration
from tandem_agents.core_services.registrations import Held, MemoryShelf, Shelf, ValkeyShelf

LOOK_S = 0.5
LONGEST_LEASE_S = 86_400.0


class ServiceRegistry(Agent):
    """Tells where every agent is and how it is. A view only: agents find each other without it, so its death stops no call.

    Programs outside of the fleet may register to be found as well.
    """

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        """``backend``: where registrations are kept; ``memory`` has a file behind it and survives power loss."""

        backend: Literal["memory", "valkey"] = "memory"

    settings: Settings

    async def start(self) -> None:
        self._shelf: Shelf
        if self.settings.backend == "valkey":
            self._shelf = ValkeyShelf(self.cache())
        else:
            self._shelf = MemoryShelf(self.state_dir / "held.json")

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
        if not 0 <= registration.ttl_s <= LONGEST_LEASE_S:
            raise InvalidArguments(
                f"ttl_s must be 0 (for ever) to {LONGEST_LEASE_S:.0f}: {registration.ttl_s}"
            )
        if any(lease.agent == registration.name for lease in await self.directory()):
            raise InvalidArguments(f"{registration.name} is an agent of this fleet and already known")
        held = Held.of(registration)
        await self._shelf.put(held)
        return _outsider(held)

    @action(idempotent=True)
    async def renew_registration(self, name: str) -> AgentView:
        """Prolong its lease; ``NotFound`` tells a program whose lease has ended to register anew."""
        for held in await self._shelf.all():
            if held.registration.name == name:
                return await self.register_agent(held.registration)
        raise NotFound(f"{name} is not registered, or not any more", hint="register_agent")

    @action(idempotent=True)
    async def unregister_agent(self, name: str) -> int:
        """Withdraw it; returns how many there were."""
        return int(await self._shelf.delete(name))

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
        views += [_outsider(held) for held in await self._shelf.all()]
        return sorted(
            (view for view in views if machine in ("", view.machine)),
            key=lambda view: (view.name, view.machine),
        )

    @action(idempotent=True)
    async def discover(self, capability: str, machine: str = "") -> list[AgentView]:
        """Registered programs that can do something."""
        return [view for view in await self.list_agents(machine) if capability in view.capabilities]

    @action
    async def watch(self, machine: str = "") -> AsyncGenerator[DirectoryChange, None]:
        """Everybody there is, then every change; a mere sign of life is none."""
        known: dict[str, AgentView] = {}
        while True:
            present = {f"{v.name}@{v.machine}": _lasting(v) for v in await self.list_agents(machine)}
            for key in sorted(known.keys() | present.keys()):
                before, after = known.get(key), present.get(key)
                if after is None and before is not None:
                    yield DirectoryChange(kind="gone", view=before)
                elif after is not None and after != before:
                    yield DirectoryChange(kind="changed" if before else "appeared", view=after)
            known = present
            await asyncio.sleep(LOOK_S)


def _lasting(view: AgentView) -> AgentView:
    """Without what changes by itself."""
    return structs.replace(view, seen_s=0.0)


def _outsider(held: Held) -> AgentView:
    registration = held.registration
    return AgentView(
        name=registration.name, machine=registration.machine, status="registered", instance="", pid=0,
        endpoint=registration.endpoint, release="", seen_s=max(0.0, clock.wall() - held.renewed_at),
        capabilities=registration.capabilities,
    )  # fmt: skip
