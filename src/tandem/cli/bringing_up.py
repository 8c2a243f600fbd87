"""The work of `tandem up`: keepers for the machines of this computer, then their agents."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from tandem.cli import preflight
from tandem.core.errors import ConfigError, NotFound, TandemError, Unreachable
from tandem.core.paths import Home, MachineDirs
from tandem.fleet.model import Fleet, MachineConfig
from tandem.supervise import prestart
from tandem.supervise.api import AgentView, Began, BringUp, Done, Order, Progress, Refused, ServiceView
from tandem.supervise.boot import hidden_in, keeper_config, prepare
from tandem.supervise.keeper_client import post, tell
from tandem.supervise.keeper_start import KeeperStart, is_kept, wait_for
from tandem.supervise.leftovers import leftovers
from tandem.supervise.node_client import Conversation, GaveUp, Interrupted, follow, silent, without_node
from tandem.supervise.wire import ReplaceNode, Shutdown

SOCKET_TIMEOUT_S = 30.0
LOOK_S = 1.0
UNDO_GRACE_S = 5.0
UNDO_TIMEOUT_S = 60.0


class Outcome(Struct, kw_only=True):
    """What came of it. ``seconds``: from the first line of Python to the last agent; ``phases``: stage to seconds."""

    fleet: Fleet
    seconds: float
    views: list[AgentView] = []
    services: list[ServiceView] = []
    failures: dict[str, str] = {}
    notes: list[str] = []
    phases: dict[str, float] = {}
    already: list[str] = []

    @property
    def ok(self) -> bool:
        """Every required agent is up, and every machine answered."""
        return not self.failures and all(view.verdict == "up" for view in self.views if view.required)


class BringingUp:
    """One call of `tandem up`. Knows what it has started, so that it can take exactly that back."""

    def __init__(self, fleet: Fleet, group: str | None, began_at: float, timeout_s: float):
        # Nodes run elsewhere in the file system.
        self.fleet = replace(fleet, file=str(Path(fleet.file).absolute()))
        self._home = Home.from_environment()
        self._began_at = began_at
        self._timeout_s = timeout_s
        self._agents = self._chosen(group)
        self._machines = self._here(self._agents)
        self._kept: list[str] = []
        self._started: list[str] = []
        self._awaited: dict[str, KeeperStart] = {}
        self._began: dict[str, list[str]] = {}
        self._phases: dict[str, float] = {}
        self.notes: list[str] = []

    def start(self) -> None:
        """Check, then start a keeper for each machine that has none. Raises :class:`TandemError` when it cannot."""
        self._kept = [m.name for m in self._machines if self._is_kept(m.name)]
        fresh = [machine for machine in self._machines if machine.name not in self._kept]
        agents = self._agents or [str(agent.id) for agent in self.fleet.agents.values()]
        # What a killed keeper left running is taken over, ports and all.
        vacant = [machine for machine in fresh if not leftovers(self._home.machine(machine.name))]
        findings = preflight.inspect(self.fleet, self._home, vacant, agents)
        if findings.problems:
            raise TandemError("\n".join(findings.problems), hint=findings.hint or None)
        self.notes += [machine.placement() for machine in self._machines if machine.host_variable]
        self.notes += [
            m.placement() + ": start it there" for m in self.fleet.machines.values() if not m.is_here
        ]
        self.notes += findings.remarks
        for machine in fresh:
            prepare(self._home, machine.name)
            if machine in vacant and self._home.is_rotating(machine.name):
                self._finish_rotation(machine.name)
            keeper = prestart.take()
            # From here on an interruption has something to take back.
            self._started.append(machine.name)
            self._awaited[machine.name] = keeper
            keeper.configure(keeper_config(self._home, machine.name, self.fleet, hidden_in(self.fleet)))
        self._phases["keepers started"] = self._elapsed()

    def follow(self, on_progress: Callable[[str, Progress], None]) -> Outcome:
        """Order the agents up and wait for all of them, or for the time to run out."""
        conversations, failures = [], {}
        for machine in self._machines:
            dirs = self._home.machine(machine.name)
            try:
                self._wait_for_node(machine.name, dirs)
                question = BringUp(
                    fleet=self.fleet, agents=[a for a in self._agents if a.endswith(f"@{machine.name}")]
                )
                conversations.append(Conversation(dirs, machine.name, question))
            except TandemError as error:
                failures[machine.name] = str(error)
        self._phases["nodes reached"] = self._elapsed()
        left = max(0.1, self._timeout_s - self._elapsed())
        finals = follow(conversations, lambda name, answer: self._hear(name, answer, on_progress), left)
        outcome = Outcome(
            fleet=self.fleet,
            seconds=self._elapsed(),
            failures=failures,
            notes=self.notes,
            phases=self._phases,
            already=self._kept,
        )
        for conversation in conversations:
            self._conclude(outcome, conversation.machine, finals.get(conversation.machine), left)
        return outcome

    def undo(self) -> str:
        """End what this call has started; in words, what that was."""
        done = []
        for name in self._started:
            dirs = self._home.machine(name)
            try:
                if self._awaited[name].is_configured:
                    wait_for(dirs.keeper_socket, SOCKET_TIMEOUT_S, self._awaited[name])
                    tell(dirs.keeper_socket, Shutdown(grace_s=UNDO_GRACE_S), UNDO_TIMEOUT_S)
                    _wait_until_free(dirs)
            except (OSError, TandemError) as error:
                done.append(f"{name} could not be stopped ({error}); run tandem down")
            else:
                done.append(f"{name} is stopped again")
        for name in self._kept:
            if agents := self._began.get(name):
                conversation = Conversation(self._home.machine(name), name, Order(verb="stop", agents=agents))
                follow([conversation], lambda _name, _answer: None, UNDO_TIMEOUT_S)
                done.append(f"{len(agents)} agents of {name} are stopped again")
        return "; ".join(done) or "nothing had been started"

    def _hear(self, machine: str, answer: Any, on_progress: Callable[[str, Progress], None]) -> None:
        match answer:
            case Began(agents=agents):
                self._began[machine] = agents
            case Progress():
                on_progress(machine, answer)

    def _conclude(self, outcome: Outcome, machine: str, final: object, waited_s: float) -> None:
        match final:
            case Done():
                outcome.views += final.views
                outcome.services += final.services
                outcome.notes += final.notes
                outcome.phases |= {f"{machine}: {name}": value for name, value in final.phases.items()}
            case Refused(message=message, hint=hint):
                outcome.failures[machine] = f"{message} ({hint})" if hint else message
            case Interrupted():
                why = without_node(self._home.machine(machine), machine)
                outcome.failures[machine] = str(why if isinstance(why, GaveUp) else final)
            case TandemError():
                outcome.failures[machine] = str(final)
            case _:
                self._ask_why(outcome, machine, waited_s)

    def _wait_for_node(self, machine: str, dirs: MachineDirs) -> None:
        """Return when its socket is there. Raises :class:`TandemError` when it will not be."""
        until = time.monotonic() + SOCKET_TIMEOUT_S
        while True:
            try:
                wait_for(dirs.node_socket, LOOK_S, self._awaited.get(machine))
                return
            except Unreachable:
                if time.monotonic() >= until:
                    raise
                if dirs.keeper_socket.exists() and isinstance(why := without_node(dirs, machine), GaveUp):
                    raise why from None

    def _ask_why(self, outcome: Outcome, machine: str, waited_s: float) -> None:
        """The time is over: what is not up, as the node sees it, or why the node says nothing."""
        from tandem.supervise.api import AskStatus, MachineStatus
        from tandem.supervise.node_client import ask

        dirs = self._home.machine(machine)
        try:
            answer = ask(dirs, machine, AskStatus(), 5.0)
        except TandemError:
            outcome.failures[machine] = str(silent(dirs, machine, waited_s))
            return
        if isinstance(answer, MachineStatus):
            chosen = set(self._agents)
            outcome.views += [v for v in answer.agents if not chosen or f"{v.name}@{v.machine}" in chosen]
            outcome.services += answer.services
            outcome.notes.append(f"{machine}: gave up waiting after {self._timeout_s:g} s")

    def _chosen(self, group: str | None) -> list[str]:
        """Identities of the group's agents; nothing means all."""
        if group is None:
            return []
        if group not in self.fleet.groups:
            from tandem.fleet.diagnostics import did_you_mean

            raise NotFound(
                f"there is no group {group!r}", hint=did_you_mean(group, self.fleet.groups) or None
            )
        return self.fleet.groups[group].agents

    def _here(self, agents: list[str]) -> list[MachineConfig]:
        used = {agent.partition("@")[2] for agent in agents}
        here = [m for m in self.fleet.machines.values() if m.is_here and (not agents or m.name in used)]
        if not here:
            raise ConfigError(
                "no machine of this fleet is this computer",
                hint="unset MAINPC_IP and PC2_IP to run all of it here, or start it on those machines",
            )
        return here

    def _is_kept(self, name: str) -> bool:
        """Whether a keeper serves the machine. A node that gave up over its configuration is made anew; agents serve on."""
        dirs = self._home.machine(name)
        if not is_kept(dirs):
            return False
        wait_for(dirs.keeper_socket, SOCKET_TIMEOUT_S)
        if isinstance(without_node(dirs, name), GaveUp):
            config = keeper_config(self._home, name, self.fleet, hidden_in(self.fleet))
            post(dirs.keeper_socket, ReplaceNode(node=config.node, zygote=config.zygote))
            wait_for(dirs.node_socket, SOCKET_TIMEOUT_S)
        return True

    def _finish_rotation(self, machine: str) -> None:
        """No process is left that could hold the former keys."""
        from tandem.security import Authority, rotation

        rotation.finish(self._home, Authority.open(self._home), machine)
        self.notes.append(f"{machine} has new keys: an interrupted rotation was finished")

    def _elapsed(self) -> float:
        return time.monotonic() - self._began_at


def _wait_until_free(dirs: MachineDirs) -> None:
    until = time.monotonic() + UNDO_TIMEOUT_S
    while is_kept(dirs) and time.monotonic() < until:
        time.sleep(0.01)
