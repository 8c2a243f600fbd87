"""How agents of other machines are, for those of this one that want them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tandem.core.health import Status
from tandem.core.ids import AgentId
from tandem.core.tasks import end
from tandem.registry import Registry
from tandem.supervise.link_state import LinkState
from tandem.supervise.link_watch import LinkWatch

UP = (Status.HEALTHY.value, Status.DEGRADED.value)


class Elsewhere:
    """Follows the mirrored leases. What was last known of a machine does not count while its node is not heard."""

    def __init__(
        self, registry: Registry, machine: str, watch: LinkWatch, changed: Callable[[], None]
    ):
        self._registry = registry
        self._machine = machine
        self._watch = watch
        self._changed = changed
        self._up: set[AgentId] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._follow(), name="elsewhere")

    async def close(self) -> None:
        task, self._task = self._task, None
        await end(task)

    def is_up(self, agent: str) -> bool:
        """Whether ``Name@machine`` serves, as far as this machine knows."""
        return agent in self._up and self._watch.state(AgentId(agent).machine) is LinkState.UP

    def is_expected(self, agent: str) -> bool:
        """Whether it may come up within seconds; not across a link that is down."""
        return self._watch.state(AgentId(agent).machine) in (LinkState.UP, LinkState.NEVER)

    async def _follow(self) -> None:
        async for change in self._registry.watch():
            lease = change.after or change.before
            if lease is None or lease.machine == self._machine:
                continue
            agent = AgentId.of(lease.agent, lease.machine)
            if change.after is not None and change.after.status in UP:
                self._up.add(agent)
            else:
                self._up.discard(agent)
            self._changed()
