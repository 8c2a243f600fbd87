"""A program's hand on the machines of this computer: what `tandem status`, `start`, `stop` and `restart` do, awaited."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import suppress

from tandem.core.errors import NotFound, TandemError, Unreachable
from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.fleet.model import identify
from tandem.supervise.api import AgentView, AskStatus, Done, MachineStatus, Order, Refused, Verb
from tandem.supervise.node_client import ask, known_machines

STATUS_S = 10.0
ORDER_S = 120.0


class Steering:
    """Speaks to the nodes of ``home`` by their sockets, which takes the right of the user who runs them."""

    def __init__(self, home: Home | None = None):
        self._home = home or Home.from_environment()

    async def status(self) -> list[MachineStatus]:
        """What every running machine of this computer says. Raises :class:`Unreachable` when none does."""
        found = []
        error: TandemError | None = None
        for machine in known_machines(self._home):
            try:
                answer = await asyncio.to_thread(
                    ask, self._home.machine(machine), machine, AskStatus(), STATUS_S
                )
            except TandemError as silent:
                error = silent
                continue
            if isinstance(answer, MachineStatus):
                found.append(answer)
        if not found:
            raise error or Unreachable("nothing runs here", hint="tandem up")
        return found

    async def find(self, name: str) -> AgentView:
        """The agent ``Name`` or ``Name@machine`` means. Raises :class:`NotFound` for none or several."""
        views = [view for status in await self.status() for view in status.agents]
        directory: dict[str, list[str]] = {}
        for view in views:
            directory.setdefault(view.name, []).append(view.machine)
        agent = identify(directory, name)
        return next(view for view in views if AgentId.of(view.name, view.machine) == agent)

    async def order(self, verb: Verb, name: str, timeout_s: float = ORDER_S) -> AgentView:
        """Do ``verb`` to an agent and wait until it is there; how it is then.

        Raises :class:`NotFound`, :class:`Unreachable`, and :class:`TandemError` with the node's reason.
        """
        view = await self.find(name)
        agent = AgentId.of(view.name, view.machine)
        order = Order(verb=verb, agents=[str(agent)])
        answer = await asyncio.to_thread(
            ask, self._home.machine(view.machine), view.machine, order, timeout_s
        )
        if isinstance(answer, Refused):
            raise TandemError(answer.message, hint=answer.hint or None)
        if isinstance(answer, Done):
            for done in answer.views:
                if AgentId.of(done.name, done.machine) == agent:
                    return done
        raise NotFound(f"{view.machine} said nothing about {agent}")

    async def remove_leftovers(self, older_than_s: float) -> list[tuple[str, int]]:
        """Delete compressed log files nobody wrote to for so long; path and bytes of each."""
        return await asyncio.to_thread(self._remove_logs, older_than_s)

    def _remove_logs(self, older_than_s: float) -> list[tuple[str, int]]:
        from tandem.core import clock

        before = clock.wall() - older_than_s
        logs: Iterable[str] = known_machines(self._home)
        removed = []
        for machine in logs:
            for path in sorted(self._home.machine(machine).logs.glob("*.gz")):
                with suppress(FileNotFoundError):
                    state = path.stat()
                    if state.st_mtime < before:
                        path.unlink()
                        removed.append((str(path), state.st_size))
        return removed
