"""How the command line reaches an observability hub of this computer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tandem.agent.neighbours import Neighbours, endpoint_of
from tandem.agent.peers import PeerProxies
from tandem.cli.local import open_all, require_running, statuses
from tandem.core.deadline import Deadline, deadline_scope
from tandem.core.errors import DeadlineExceeded, Draining, NotFound, TandemError, Unavailable, Unreachable
from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.hub.contract import HUB, Incidents
from tandem.rpc import Peers
from tandem.supervise.api import AskStatus
from tandem.supervise.node_client import known_machines

C = TypeVar("C")
T = TypeVar("T")

PING_S = 3.0
"""A hub that gives no sign of life for so long is asked last."""

_OF_ONE = (NotFound, Unavailable)
"""What one hub does not know or cannot do another may: it has heard of an error first, it has the bridge, its disk has room."""


async def ask_hub(question: Callable[[Incidents], Awaitable[T]], budget_s: float) -> T:
    """The answer of the first hub here that can be reached; each knows the errors of all machines.

    Raises as :func:`ask_hubs` does.
    """
    return await ask_hubs(Incidents, question, budget_s)


async def ask_hubs(contract: type[C], question: Callable[[C], Awaitable[T]], budget_s: float, machine: str = "") -> T:
    """The answer of the first hub here, or of that of ``machine``, that can be reached; asked as the operator.

    Hubs are found by their sockets, so that whoever looks what is wrong need not wait for a node that hangs. One that hangs
    itself is asked only when the others do not answer; what one does not know or cannot do the next one is asked.

    Raises :class:`NotFound` when the running fleet has none, :class:`Unreachable` when none answers, and what the hub raises.
    """
    home = Home.from_environment()
    hubs = _hubs(home, machine)
    if not hubs:
        raise _why_none(home, machine)
    peers = Peers(Neighbours(home))
    problem: TandemError | None = None
    try:
        with deadline_scope(Deadline.after(budget_s)):
            for hub in await _lively_first(peers, hubs):
                proxy: C = PeerProxies(peers).proxy(contract, hub)
                try:
                    return await question(proxy)
                except (Unreachable, Draining, DeadlineExceeded, *_OF_ONE) as error:
                    # What a hub says of itself tells more than another one's silence.
                    problem = problem if isinstance(problem, _OF_ONE) else error
    finally:
        await peers.close()
    if isinstance(problem, _OF_ONE):
        raise problem
    begun, failures = open_all(home, known_machines(home), lambda _machine: AskStatus())
    for conversation in begun:
        conversation.link.close()
    if not begun:
        # What is left of a fleet that was killed is sockets.
        require_running([], failures)
    raise Unreachable(f"no hub answers: {problem}", hint="tandem status")


def _hubs(home: Home, machine: str) -> list[AgentId]:
    """Those whose socket is there; it is while one restarts, and goes when an operator stops it.

    Raises :class:`~tandem.core.errors.PermissionDenied` when the fleet is another user's.
    """
    found = []
    for name in known_machines(home):
        hub = AgentId.of(HUB, name)
        try:
            endpoint_of(home, hub)
        except Unreachable:
            continue
        if machine in ("", name):
            found.append(hub)
    return found


def _why_none(home: Home, machine: str) -> TandemError:
    found, failures = statuses(home)
    require_running(found, failures)
    stopped = [
        f"{view.name}@{view.machine}"
        for status in found
        for view in status.agents
        if view.name == HUB and machine in ("", view.machine)
    ]
    if stopped:
        return Unreachable(f"{' and '.join(stopped)} not running", hint=f"tandem start {stopped[0]}")
    return NotFound(f"no {HUB} runs here", hint="add one with `observer: true` to the fleet file")


async def _lively_first(peers: Peers, hubs: list[AgentId]) -> list[AgentId]:
    if len(hubs) == 1:
        return hubs
    heard = await asyncio.gather(*(peers.ping(hub, PING_S) for hub in hubs), return_exceptions=True)
    silent = {hub for hub, answer in zip(hubs, heard, strict=True) if isinstance(answer, TandemError)}
    return sorted(hubs, key=lambda hub: hub in silent)
