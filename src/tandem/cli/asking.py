"""How the command line reaches an observability hub of this computer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tandem.agent.neighbours import Neighbours
from tandem.agent.peers import PeerProxies
from tandem.cli.local import require_running, statuses
from tandem.core.deadline import Deadline, deadline_scope
from tandem.core.errors import Draining, NotFound, Unreachable
from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.hub.contract import HUB, Incidents
from tandem.rpc import Peers

C = TypeVar("C")
T = TypeVar("T")


async def ask_hub(question: Callable[[Incidents], Awaitable[T]], budget_s: float) -> T:
    """The answer of the first hub here that can be reached; each knows the errors of all machines.

    Raises as :func:`ask_hubs` does.
    """
    return await ask_hubs(Incidents, question, budget_s)


async def ask_hubs(contract: type[C], question: Callable[[C], Awaitable[T]], budget_s: float, machine: str = "") -> T:
    """The answer of the first hub here, or of that of ``machine``, that can be reached; asked as the operator.

    Raises :class:`NotFound` when the running fleet has none, and what the hub raises.
    """
    home = Home.from_environment()
    found, failures = statuses(home)
    require_running(found, failures)
    hubs = [
        AgentId.of(view.name, view.machine) for status in found for view in status.agents if view.name == HUB and machine in ("", view.machine)
    ]
    if not hubs:
        raise NotFound(f"no {HUB} runs here", hint="add one with `observer: true` to the fleet file")
    peers = Peers(Neighbours(home))
    problem: Exception | None = None
    try:
        with deadline_scope(Deadline.after(budget_s)):
            for hub in hubs:
                proxy: C = PeerProxies(peers).proxy(contract, hub)
                try:
                    return await question(proxy)
                except (Unreachable, Draining) as error:
                    problem = error
    finally:
        await peers.close()
    raise Unreachable(f"no hub answers: {problem}", hint="tandem status")
