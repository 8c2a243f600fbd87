"""The supervisor of one machine: routes what the keeper says to runners, and carries out what they decide."""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from msgspec.structs import replace

from tandem.agent.spec import Begin
from tandem.agent.tally import Tally
from tandem.fleet.model import AgentConfig, Fleet
from tandem.infra import ServerSpec, check
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
    Start,
    Stop,
    Terminate,
    Withdraw,
)  # fmt: skip
from tandem.supervise.preloading import culprit, without
from tandem.supervise.probes import prober_for
from tandem.supervise.probing import Prober, Probing
from tandem.supervise.regrouping import Regrouping
from tandem.supervise.release import ZYGOTE, Code, Release
from tandem.supervise.restore import exit_of, failure_of, recalled, remembered, resume
from tandem.supervise.runner import Runner, Subject
from tandem.supervise.start_order import StartOrder
from tandem.supervise.subjects import bare, policy_of, subject_of
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
        self.releases: dict[str, Release] = {}
        """What the next process of an agent is made of; an agent that is not here is of the release ``dev``."""
        self.beside: list[Runner] = []
        """Second instances of agents: not yet in service, or no longer. They have no say over the name's sockets."""
        self.launches = launches
        self.order = StartOrder(self.runners)
        self.regrouping = Regrouping(
            self.runners, self.order, lambda name, data: keeper.send(Remember(name=name, data=data))
        )
        self._keeper = keeper
        self._leases = leases
        self._zygotes = {ZYGOTE: zygote}
        self._logs = logs
        self._probing = Probing()
        self._probers: dict[str, Prober] = {}
        self._lost: set[str] = set()
        """Agents that served and do not any more; whoever needs them was told."""
        self._watchers: list[Watcher] = []

    # ---- what there is ----

    def populate(self, fleet: Fleet, machine: str, servers: Iterable[ServerSpec], listing: Listing) -> None:
        """Make all runners and let them go on from where an earlier node left them."""
        for zygote in self._zygotes:
            self.add(Subject(name=zygote, kind="zygote", policy=ZYGOTE_POLICY), listing)
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
        self.regrouping.recall(listing.memory)
        self._lost = {
            runner.name
            for runner in self.agents()
            if runner.state.goal is Goal.RUN and runner.state.instance and runner.state.phase not in SERVING
        }
        for name in (*self._zygotes, *self.servers):
            self.runners[name].feed(Start())
        self._end_strays(listing)

    def _end_strays(self, listing: Listing) -> None:
        """Stop instances that an earlier node had put beside others: whoever still wants them makes new ones."""
        known = {runner.state.instance for runner in self.runners.values()}
        for unit in listing.units:
            config = self.configs.get(unit.name)
            if unit.kind != "agent" or unit.exit is not None or unit.instance in known:
                continue
            policy = policy_of(config) if config is not None else Policy()
            subject = Subject(name=unit.name, kind="agent", policy=policy, config=config)
            stray = Runner(subject, self, recalled(None, policy, unit))
            stray.pid = unit.pid
            self.beside.append(stray)
            stray.feed(Stop())

    def add(self, subject: Subject, listing: Listing | None = None) -> Runner:
        """A runner for ``subject``, with the state the keeper was asked to remember."""
        unit = _newest(listing.units, subject.name) if listing else None
        memory = listing.memory.get(subject.name) if listing else None
        runner = Runner(subject, self, recalled(memory, subject.policy, unit))
        self.runners[subject.name] = runner
        return runner

    def subject_of(self, config: AgentConfig, release: Release | None = None) -> Subject:
        """What keeps an agent alive, of its present release unless another is given."""
        return subject_of(config, release or self.releases.get(config.name, Release()), self.servers)

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

    def know_zygote(self, code: Code, how: Exec) -> None:
        """``how`` a zygote for ``code`` is made, should agents need one; what we have begun with stays as it is."""
        if code.id:
            self._zygotes[code.zygote] = how

    def keep_zygote(self, code: Code) -> None:
        """Have a zygote for ``code``; the first agent that needs it waits for it."""
        if code.zygote not in self.runners:
            self.add(Subject(name=code.zygote, kind="zygote", policy=ZYGOTE_POLICY))
        self.runners[code.zygote].feed(Start())

    def drop_unused_zygotes(self, spared: str) -> None:
        """Let zygotes go from which nothing is forked any more, but ``spared``, and the first one: the node comes from it."""
        used = {need for runner in (*self.agents(), *self.beside) for need in runner.subject.needs} | {spared, ZYGOTE}
        for name in [name for name in self._zygotes if name not in used]:
            del self._zygotes[name]
            self.retire(name)

    def second(self, config: AgentConfig, release: Release, begin: Begin) -> Runner:
        """Another instance of an agent, beside the one in service. It is not tried again when it dies."""
        subject = self.subject_of(config, release)
        runner = Runner(replace(subject, policy=replace(subject.policy, restart="never"), begin=begin), self)
        self.beside.append(runner)
        return runner

    def promote(self, second: Runner) -> Runner:
        """Make a second instance the one in service, and tell it so; the one that was. Callers' addresses stay."""
        name, subject, instance = second.name, second.subject, second.state.instance
        assert subject.config is not None
        first = self.runners[name]
        self.configs[name] = subject.config
        self.releases[name] = subject.release
        second.subject = self.subject_of(subject.config)
        second.state = replace(second.state, policy=second.subject.policy)
        self.runners[name] = second
        self.beside[self.beside.index(second)] = first
        self._keeper.send(Remember(name=name, data=remembered(second.state)))
        if subject.begin != "serve":
            self._keeper.send(SignalUnit(instance=instance, signal=signal.SIGUSR1, alone=True))
        if second.pid is not None:
            self._leases.put(subject.config, instance, second.pid, subject.release.name)
        return first

    def retire(self, name: str) -> None:
        """Stop an agent that is not in the fleet file any more, and forget it when it is gone."""
        runner = self.runners[name]

        def forget(moved: Runner, _before: AgentState) -> None:
            if moved is runner and runner.state.phase is Phase.STOPPED and name in self.runners:
                del self.runners[name]
                self.configs.pop(name, None)
                self.releases.pop(name, None)
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
                    runner.pid, runner.tally = pid, Tally()
                    config = runner.subject.config
                    if config is not None and self._is_in_service(runner):
                        self._leases.put(config, instance, pid, runner.subject.release.name)
                    self._begin_probing(runner)
            case UnitFailed(name=name, instance=instance):
                if runner := self._runner(name, instance):
                    runner.feed(failure_of(message))
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
        if runner.name in self._zygotes and (module := culprit(runner.status)):
            log.warning("importing %s has ended %s; it is left to its agents", module, runner.name)
            self._zygotes[runner.name] = without(self._zygotes[runner.name], module)
        runner.pid, runner.tail, runner.status = None, message.tail, ""
        if self._is_in_service(runner):
            self._probing.end(runner.name)
        how = exit_of(message.exit)
        if runner.state.goal is Goal.RUN:
            log.warning("%s ended: %s", runner.name, how.describe())
        runner.feed(Exited(message.instance, how, message.empty))

    def _runner(self, name: str, instance: str) -> Runner | None:
        for runner in (self.runners.get(name), *self.beside):
            if runner is not None and runner.name == name and runner.state.instance == instance:
                return runner
        return None

    def _is_in_service(self, runner: Runner) -> bool:
        return self.runners.get(runner.name) is runner

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
                if config := runner.subject.config:
                    self._leases.drop(config, instance)
            case CloseSockets() if self._is_in_service(runner):
                self._end_jobs(runner)
                self._keeper.send(CloseDoors(name=runner.name))
            case Escalate():
                self.regrouping.alarm(runner, action)

    def _end_jobs(self, runner: Runner) -> None:
        """What an agent has detached outlives everything but the operator's stop."""
        config = self.configs.get(runner.name)
        is_meant = self._is_in_service(runner) and runner.state.goal is Goal.STOP
        if config is not None and config.detached and is_meant:
            self._keeper.send(EndJobs(name=runner.name, grace_s=config.stop_grace_s))

    def _launch(self, runner: Runner, instance: str) -> SpawnUnit:
        runner.status = ""
        self._prepare_probe(runner)
        if runner.subject.kind == "zygote":
            return SpawnUnit(
                name=runner.name, instance=instance, kind="zygote", launch=self._zygotes[runner.name]
            )
        if runner.name in self.servers:
            return self.launches.service(self.servers[runner.name], instance, runner.tail)
        zygote = self.runners.get(runner.subject.release.code.zygote)
        return self.launches.agent(runner.subject, instance, zygote.state.instance if zygote else "")

    def moved(self, runner: Runner, before: AgentState) -> None:
        """Remember the new state, see who may start now, tell who watches."""
        if self._is_in_service(runner):
            self._keeper.send(Remember(name=runner.name, data=remembered(runner.state)))
        if runner.state.phase is not before.phase:
            self._tell(runner, before)
            self.order.look()
            self.regrouping.look()
            self._tell_dependants(runner, before)
        for watcher in list(self._watchers):
            watcher(runner, before)
        if runner in self.beside and runner.state.phase in (Phase.STOPPED, Phase.FAILED):
            self.beside.remove(runner)

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
        return [self.runners[c.name] for c in self.configs.values() if name in map(bare, c.needs)]

    def lost_needs(self, runner: Runner) -> list[str]:
        """Agents the fleet file says it needs that do not serve now."""
        config = self.configs.get(runner.name)
        declared = {bare(need) for need in config.needs} if config is not None else set()
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
        self.regrouping.close()
        for runner in (*self.runners.values(), *self.beside):
            runner.disarm()


def _newest(units: Iterable[UnitInfo], name: str) -> UnitInfo | None:
    found = [unit for unit in units if unit.name == name]
    return max(found, key=lambda unit: unit.born_at, default=None)
