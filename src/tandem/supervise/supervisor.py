"""The supervisor of one machine: routes what the keeper says to runners, and carries out what they decide."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from tandem.core import clock
from tandem.core.ids import AgentId
from tandem.fleet.model import AgentConfig, Fleet, RestartPolicy
from tandem.infra import ServerSpec, check
from tandem.supervise.escalation import Escalations
from tandem.supervise.keeper_link import KeeperLink
from tandem.supervise.launches import Launches
from tandem.supervise.leases import Leases
from tandem.supervise.lifecycle import (
    SERVING,
    Abort,
    Action,
    AgentState,
    CheckNeeds,
    CloseSockets,
    Emptied,
    Escalate,
    Exited,
    Goal,
    Kill,
    NeedBack,
    NeedLost,
    Phase,
    Policy,
    Spawn,
    SpawnFailed,
    Start,
    Stop,
    Terminate,
    Withdraw,
)  # fmt: skip
from tandem.supervise.probes import prober_for
from tandem.supervise.probing import Prober, Probing
from tandem.supervise.restore import exit_of, recalled, remembered, resume
from tandem.supervise.runner import Runner, Subject
from tandem.supervise.start_order import StartOrder
from tandem.supervise.wire import (
    AnyReply,
    CloseDoors,
    EndJobs,
    Exec,
    Listing,
    Remember,
    SignalUnit,
    SpawnUnit,
    UnitEmptied,
    UnitEnded,
    UnitFailed,
    UnitInfo,
    UnitSaid,
    UnitSpawned,
)

log = logging.getLogger("tandem.node")

ZYGOTE = "zygote"
SERVICE_SILENCE_S = 5.0
"""A server that does not answer for so long is killed and started again; everything leans on it."""
SERVICE_POLICY = Policy(start_timeout_s=30.0, stop_grace_s=5.0)
ZYGOTE_POLICY = Policy(start_timeout_s=60.0, stop_grace_s=1.0)

Watcher = Callable[[Runner, AgentState], None]


class Supervisor:
    """All runners of one machine, by name. Everything here runs on one loop; nothing waits for a fleet-wide lock."""

    def __init__(self, keeper: KeeperLink, launches: Launches, leases: Leases, zygote: Exec, logs: Path):
        self.runners: dict[str, Runner] = {}
        self.configs: dict[str, AgentConfig] = {}
        self.servers: dict[str, ServerSpec] = {}
        self.launches = launches
        self.escalations = Escalations()
        self.order = StartOrder(self.runners)
        self._keeper = keeper
        self._leases = leases
        self._zygote = zygote
        self._logs = logs
        self._probing = Probing()
        self._probers: dict[str, Prober] = {}
        self._lost: set[str] = set()
        """Agents that served and do not any more; whoever needs them was told."""
        self._watchers: list[Watcher] = []

    # ---- what there is ----

    def populate(self, fleet: Fleet, machine: str, servers: Iterable[ServerSpec], listing: Listing) -> None:
        """Make all runners and let them go on from where an earlier node left them."""
        self.add(Subject(name=ZYGOTE, kind="zygote", policy=ZYGOTE_POLICY), listing)
        for server in servers:
            self.servers[server.name] = server
            self.add(Subject(name=server.name, kind="service", policy=SERVICE_POLICY), listing)
        for config in fleet.on(machine):
            self.configs[config.name] = config
            self.add(self.subject_of(config), listing)
        units = {unit.instance: unit for unit in listing.units}
        for runner in self.runners.values():
            resume(runner, self, units)
            if runner.pid is not None:
                self._prepare_probe(runner)
                self._begin_probing(runner)
        self._lost = {
            runner.name
            for runner in self.agents()
            if runner.state.goal is Goal.RUN and runner.state.instance and runner.state.phase not in SERVING
        }
        for name in (ZYGOTE, *self.servers):
            self.runners[name].feed(Start())

    def add(self, subject: Subject, listing: Listing | None = None) -> Runner:
        """A runner for ``subject``, with the state the keeper was asked to remember."""
        unit = _newest(listing.units, subject.name) if listing else None
        memory = listing.memory.get(subject.name) if listing else None
        runner = Runner(subject, self, recalled(memory, subject.policy, unit))
        self.runners[subject.name] = runner
        return runner

    def subject_of(self, config: AgentConfig) -> Subject:
        """What keeps an agent alive: its needs here, and before them the servers and the zygote."""
        implied = [*self.servers, *([ZYGOTE] if config.class_path and config.launch == "fork" else [])]
        wants = [
            AgentId(want).name if AgentId(want).machine == config.machine else want for want in config.wants
        ]
        return Subject(
            name=config.name,
            kind="agent",
            group=config.group,
            policy=policy_of(config),
            needs=(*implied, *(AgentId(need).name for need in config.needs)),
            wants=tuple(wants),
        )

    def adopt_config(self, config: AgentConfig) -> None:
        """Take over an agent's new or changed entry; a running instance keeps what it was started with."""
        self.configs[config.name] = config
        known = self.runners.get(config.name)
        subject = self.subject_of(config)
        if known is None:
            self.add(subject)
        else:
            known.subject = subject
            known.state = replace(known.state, policy=subject.policy)

    def retire(self, name: str) -> None:
        """Stop an agent that is not in the fleet file any more, and forget it when it is gone."""
        runner = self.runners[name]

        def forget(moved: Runner, _before: AgentState) -> None:
            if moved is runner and runner.state.phase is Phase.STOPPED and name in self.runners:
                del self.runners[name], self.configs[name]
                self._keeper.send(Remember(name=name, data=b""))
                unwatch()

        unwatch = self.watch(forget)
        runner.feed(Stop())
        forget(runner, runner.state)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call ``watcher`` after every change; the answer ends that."""
        self._watchers.append(watcher)
        return lambda: self._watchers.remove(watcher)

    def agents(self) -> list[Runner]:
        return [runner for runner in self.runners.values() if runner.subject.kind == "agent"]

    # ---- what the keeper says ----

    def hear(self, message: AnyReply) -> None:
        """Hand an event to the runner it is about."""
        match message:
            case UnitSpawned(name=name, instance=instance, pid=pid):
                if runner := self._runner(name, instance):
                    runner.pid = pid
                    if runner.subject.kind == "agent":
                        self._leases.put(self.configs[name], instance, pid)
                    self._begin_probing(runner)
            case UnitFailed(name=name, instance=instance, error=error):
                if runner := self._runner(name, instance):
                    runner.feed(SpawnFailed(instance, error))
            case UnitSaid(name=name, instance=instance, lines=lines):
                if runner := self._runner(name, instance):
                    for line in lines:
                        runner.hear(instance, line)
            case UnitEnded(name=name, instance=instance):
                if runner := self._runner(name, instance):
                    self._ended(runner, message)
            case UnitEmptied(name=name, instance=instance):
                if runner := self._runner(name, instance):
                    runner.feed(Emptied(instance))

    def _ended(self, runner: Runner, message: UnitEnded) -> None:
        runner.pid, runner.tail, runner.status = None, message.tail, ""
        self._probing.end(runner.name)
        how = exit_of(message.exit)
        if runner.state.goal is Goal.RUN:
            log.warning("%s ended: %s", runner.name, how.describe())
        runner.feed(Exited(message.instance, how, message.empty))

    def _runner(self, name: str, instance: str) -> Runner | None:
        runner = self.runners.get(name)
        return runner if runner is not None and runner.state.instance == instance else None

    # ---- what runners decide ----

    def perform(self, runner: Runner, action: Action) -> None:
        """Carry out one action of ``runner``."""
        match action:
            case CheckNeeds():
                self.order.ask(runner)
            case Spawn(instance=instance):
                self._keeper.send(self._launch(runner, instance))
            case Terminate(instance=instance):
                self._end_jobs(runner)
                self._keeper.send(SignalUnit(instance=instance, signal=signal.SIGTERM))
            case Abort(instance=instance):
                config = self.configs.get(runner.name)
                ours = config is not None and config.class_path is not None
                # Ours write every thread's stack down when they are aborted; others may have other habits.
                self._keeper.send(SignalUnit(instance=instance, signal=signal.SIGABRT if ours else signal.SIGKILL))
            case Kill(instance=instance):
                self._keeper.send(SignalUnit(instance=instance, signal=signal.SIGKILL))
            case Withdraw(instance=instance):
                if config := self.configs.get(runner.name):
                    self._leases.drop(config, instance)
            case CloseSockets():
                self._end_jobs(runner)
                self._keeper.send(CloseDoors(name=runner.name))
            case Escalate(deaths=deaths, window_s=window):
                self._escalate(runner, deaths, window)

    def _end_jobs(self, runner: Runner) -> None:
        """What an agent has detached outlives everything but the operator's stop."""
        config = self.configs.get(runner.name)
        if config is not None and config.detached and runner.state.goal is Goal.STOP:
            self._keeper.send(EndJobs(name=runner.name, grace_s=config.stop_grace_s))

    def _launch(self, runner: Runner, instance: str) -> SpawnUnit:
        runner.status = ""
        self._prepare_probe(runner)
        if runner.name == ZYGOTE:
            return SpawnUnit(name=ZYGOTE, instance=instance, kind="zygote", launch=self._zygote)
        if runner.name in self.servers:
            return self.launches.service(self.servers[runner.name], instance)
        return self.launches.agent(self.configs[runner.name], instance, self.runners[ZYGOTE].state.instance)

    def _escalate(self, runner: Runner, deaths: int, window_s: float) -> None:
        level = self.escalations.note(runner.name, runner.subject.group, clock.monotonic())
        log.error("%s died %d times in %.0f s; escalated to %s", runner.name, deaths, window_s, level)

    def moved(self, runner: Runner, before: AgentState) -> None:
        """Remember the new state, see who may start now, tell who watches."""
        self._keeper.send(Remember(name=runner.name, data=remembered(runner.state)))
        if runner.state.phase is not before.phase:
            self._tell(runner, before)
            self.order.look()
            self._tell_dependants(runner, before)
        for watcher in list(self._watchers):
            watcher(runner, before)

    def _tell(self, runner: Runner, before: AgentState) -> None:
        state = runner.state
        forced = bool(state.reason) and not before.reason
        level = logging.WARNING if forced else logging.INFO
        log.log(level, "%s: %s -> %s %s", runner.name, before.phase, state.phase, state.note)

    def _tell_dependants(self, runner: Runner, before: AgentState) -> None:
        """Let those that need it know when it stops serving and when it is back."""
        name, serves = runner.name, runner.state.phase in SERVING
        if before.phase in SERVING and not serves:
            self._lost.add(name)
            event: NeedLost | NeedBack = NeedLost(name)
        elif serves and name in self._lost:
            self._lost.discard(name)
            event = NeedBack(name)
        else:
            return
        for dependant in self._dependants(name):
            dependant.feed(event)

    def _dependants(self, name: str) -> list[Runner]:
        return [self.runners[c.name] for c in self.configs.values() if name in map(_bare, c.needs)]

    def lost_needs(self, runner: Runner) -> list[str]:
        """Agents the fleet file says it needs that do not serve now."""
        config = self.configs.get(runner.name)
        declared = {_bare(need) for need in config.needs} if config is not None else set()
        return [need for need in self.order.missing(runner) if need in declared]

    # ---- probes ----

    def _prepare_probe(self, runner: Runner) -> None:
        """Decide how the next instance is asked; agents of our own tell by themselves."""
        server = self.servers.get(runner.name)
        config = self.configs.get(runner.name)
        if server is not None:
            self._probers[runner.name] = Prober(ask=partial(check, server.probe), give_up_s=SERVICE_SILENCE_S)
        elif config is not None and config.command is not None:
            self._probers[runner.name] = prober_for(config, self._logs / f"{runner.name}.log")

    def _begin_probing(self, runner: Runner) -> None:
        if prober := self._probers.get(runner.name):
            self._probing.begin(runner, prober)

    def close(self) -> None:
        """Let go of everything without ending anything: agents serve on."""
        self._probing.close()
        self.order.close()
        for runner in self.runners.values():
            runner.disarm()


def policy_of(config: AgentConfig) -> Policy:
    """The fleet file's words as supervision's."""
    rules: RestartPolicy = config.restart
    return Policy(
        restart=rules.when,
        start_timeout_s=config.start_timeout_s,
        stop_grace_s=config.stop_grace_s,
        stable_s=rules.healthy_after_s,
        first_delay_s=rules.first_delay_s,
        delay_factor=rules.factor,
        max_delay_s=rules.max_delay_s,
        jitter=rules.jitter,
        intensity=rules.escalate_after,
        intensity_window_s=rules.window_s,
        give_up_after=rules.give_up_after,
        on_dependency=config.on_dependency,
    )


def _bare(identity: str) -> str:
    return AgentId(identity).name


def _newest(units: Iterable[UnitInfo], name: str) -> UnitInfo | None:
    found = [unit for unit in units if unit.name == name]
    return max(found, key=lambda unit: unit.born_at, default=None)
