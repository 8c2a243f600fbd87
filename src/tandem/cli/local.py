"""What verbs that talk to running machines share: which machines there are, and whom a name means."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tandem.core.errors import NotFound, TandemError
from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.supervise.node_client import Interrupted, NotRunning, known_machines

if TYPE_CHECKING:
    from tandem.supervise.api import AgentView, AnyQuestion, MachineStatus
    from tandem.supervise.node_client import Conversation

STATUS_TIMEOUT_S = 10.0
REPLACED_WITHIN_S = 0.5
"""A killed node or keeper is back within this, as a rule."""


def statuses(home: Home) -> tuple[list[MachineStatus], dict[str, TandemError]]:
    """What every running machine of this home says, and why others do not say anything.

    Who was just being replaced is asked once more.
    """
    found, failures = _ask_all(home, known_machines(home))
    if interrupted := [name for name, error in failures.items() if isinstance(error, Interrupted)]:
        time.sleep(REPLACED_WITHIN_S)
        more, others = _ask_all(home, interrupted)
        found = sorted([*found, *more], key=lambda status: status.machine)
        failures = {name: error for name, error in failures.items() if name not in interrupted} | others
    return found, failures


def _ask_all(home: Home, machines: Iterable[str]) -> tuple[list[MachineStatus], dict[str, TandemError]]:
    from tandem.supervise.api import AskStatus, MachineStatus
    from tandem.supervise.node_client import follow, silent

    conversations, failures = open_all(home, machines, lambda _machine: AskStatus())
    finals = follow(conversations, lambda _machine, _answer: None, STATUS_TIMEOUT_S)
    found = []
    for conversation in conversations:
        final = finals.get(conversation.machine)
        if isinstance(final, MachineStatus):
            found.append(final)
        elif isinstance(final, TandemError):
            failures[conversation.machine] = final
        else:
            dirs = home.machine(conversation.machine)
            failures[conversation.machine] = silent(dirs, conversation.machine, STATUS_TIMEOUT_S)
    return found, failures


def open_all(
    home: Home, machines: Iterable[str], question: Callable[[str], AnyQuestion]
) -> tuple[list[Conversation], dict[str, TandemError]]:
    """Put a question to every machine; the conversations begun, and why others were not."""
    from tandem.supervise.node_client import Conversation

    begun, failures = [], {}
    for machine in machines:
        try:
            begun.append(Conversation(home.machine(machine), machine, question(machine)))
        except TandemError as error:
            failures[machine] = error
    return begun, failures


def require_running(found: list[MachineStatus], failures: dict[str, TandemError]) -> None:
    """Raises the clearest reason when no machine answers."""
    if found:
        return
    worst = [error for error in failures.values() if not isinstance(error, NotRunning)]
    if worst:
        raise worst[0]
    raise NotRunning("nothing runs here", hint="tandem up")


def identify(found: list[MachineStatus], names: Iterable[str]) -> list[AgentId]:
    """The agents ``names`` mean. Raises :class:`NotFound` with the nearest name, or the choices."""
    from tandem.fleet.model import identify as meaning

    directory: dict[str, list[str]] = {}
    for view in all_agents(found):
        directory.setdefault(view.name, []).append(view.machine)
    if not directory:
        raise NotFound("the running fleet has no agents")
    return [meaning(directory, name) for name in names]


def all_agents(found: list[MachineStatus]) -> list[AgentView]:
    return [view for status in found for view in status.agents]
