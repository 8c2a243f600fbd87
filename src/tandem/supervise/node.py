"""The supervisor process of one machine: servers first, then agents as soon as what they need is up.

It holds nothing that must not die: sockets, pipes and processes are the keeper's. A node that is killed is
replaced, learns from the keeper what there is, and goes on.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from msgspec.structs import replace

from tandem.core import clock
from tandem.core.errors import NotFound, TandemError
from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.core.tasks import end
from tandem.fleet.model import Fleet
from tandem.infra import (
    Positions,
    Refusals,
    ServerSpec,
    link_of,
    nats_access,
    needs_restart,
    plan_servers,
    reload,
    valkey_access,
)
from tandem.registry import Registry
from tandem.security import Authority
from tandem.supervise.api import Done, MachineStatus, Verb
from tandem.supervise.boot import NodeBoot, fleet_directory, keeper_config, zygote_of
from tandem.supervise.deaths import Deaths
from tandem.supervise.guards import Guards
from tandem.supervise.keeper_link import KeeperLink
from tandem.supervise.keeper_start import KeeperStart
from tandem.supervise.launches import Launches
from tandem.supervise.leases import Leases
from tandem.supervise.lifecycle import Restart
from tandem.supervise.links import Links
from tandem.supervise.liveness import watch_liveness
from tandem.supervise.made_of import Composition
from tandem.supervise.measuring import Measuring
from tandem.supervise.operations import Operations, Tell
from tandem.supervise.release import ZYGOTE, Release, Target
from tandem.supervise.remote_logs import LogService
from tandem.supervise.restore import reread
from tandem.supervise.rollout_api import ReleaseStatus
from tandem.supervise.rollouts import Busy, Rollouts
from tandem.supervise.safekeeping import keep_code
from tandem.supervise.supervisor import Supervisor
from tandem.supervise.views import agent_view, invalid_view, loss_note, service_view, times
from tandem.supervise.vouching import Vouching
from tandem.supervise.wire import AnyReply, Exec, NodeLoss, Remember, Shutdown

log = logging.getLogger("tandem.node")

SHUTDOWN_GRACE_S = 5.0
NODE = "node"


class Node:
    """Wires the parts of one machine together and answers what operators ask."""

    def __init__(self, boot: NodeBoot, keeper: KeeperLink):
        self._home = home = Home(Path(boot.home))
        self.machine = boot.machine
        self.fleet = boot.fleet
        self._hidden = boot.hidden
        self._keeper = keeper
        self._keeper_pid = 0
        self._loss: NodeLoss | None = None
        self._began_at = clock.monotonic()
        self._dirs = home.machine(boot.machine)
        self._authority = Authority.open(home)
        self._identity = self._authority.machine(boot.machine, _hosts(boot.fleet, boot.machine))
        access = valkey_access(self._identity, self._dirs, "control", NODE)
        self._leases = Leases(Registry(access), self._identity, self._dirs, boot.fleet)
        self.supervisor = Supervisor(
            keeper,
            Launches(home, self._identity, boot.fleet, boot.env, boot.hidden),
            self._leases,
            boot.zygote,
            self._dirs.logs,
        )
        self._operations = Operations(self.supervisor, boot.fleet, boot.machine)
        peers = [name for name in boot.fleet.machines if name != boot.machine]
        own = boot.fleet.machines[boot.machine]
        self._links = Links(
            nats_access(self._identity, own.infra, NODE),
            access,
            boot.machine,
            peers,
            own.host or "127.0.0.1",
            Vouching(self._authority, self._identity),
            self.supervisor.order.look,
            lambda: self._composition.now(),
            Positions(self._dirs.nats, self._dirs.logs / "nats.log"),
        )
        self._guards = Guards(
            self._links.connection,
            self._authority,
            self._identity,
            self._dirs,
            self._shut_out,
            Refusals(own.infra.monitor, self._dirs.logs / "nats.log"),
            _linked_from_elsewhere(boot.fleet, boot.machine),
        )
        self.supervisor.order.elsewhere = self._links.elsewhere
        self._remote_logs = LogService(self._links.connection, home, boot.machine)
        self._deaths = Deaths(
            boot.machine, self._dirs, self._links.publisher, self.supervisor.regrouping.alarm_of
        )
        self.supervisor.watch(self._deaths.watch)
        self._env = boot.env
        self.rollouts = Rollouts(
            self.supervisor,
            boot.machine,
            Target(release=Release(), fleet=boot.fleet),
            remember=lambda name, data: keeper.send(Remember(name=name, data=data)),
            use=self._use,
            zygote=self._zygote,
        )
        self._composition = Composition(
            home, boot.machine, lambda: self.rollouts.standing.current, lambda: self._since
        )
        self.supervisor.regrouping.is_rolling = lambda: self.rollouts.state.is_active
        self._told_to_end = asyncio.Event()

    async def take_over(self) -> None:
        """Make the runners from the keeper's picture; whatever happens meanwhile is heard afterwards."""
        early: list[AnyReply] = []
        self._keeper.listen(early.append)
        listing = await self._keeper.attach()
        self._keeper_pid = listing.pid
        self._loss = reread(listing.memory, NODE, NodeLoss)
        self.measuring = Measuring(self.supervisor, {"node": os.getpid(), "keeper": listing.pid}, listing.holds)
        log.info(
            "node %d supervises %s; the keeper has %d units", os.getpid(), self.machine, len(listing.units)
        )
        self.rollouts.recall(listing.memory)
        self._tell_fleet(self.rollouts.fleet())
        self._since = min((unit.born_at for unit in listing.units), default=clock.monotonic())
        self.supervisor.populate(self.fleet, self.machine, self._plan_servers(), listing)
        for message in early:
            self.supervisor.hear(message)
        self._keeper.listen(self.supervisor.hear)
        await self._catch_up()
        self.rollouts.go_on()

    async def run(self) -> None:
        """Supervise until this process is told to end or the keeper is gone; agents serve on in both cases.

        A keeper that died without telling us to end is replaced; the new one adopts what runs and makes a new node.
        """
        await self._guards.start()
        self._links.start()
        self._deaths.start()
        self._deaths.predecessor(self._loss)
        liveness = asyncio.create_task(watch_liveness(self.supervisor, self._keeper), name="liveness")
        measuring = asyncio.create_task(self.measuring.run(), name="measuring")
        keeping = asyncio.create_task(self._keep_code(), name="safekeeping")
        ends = [asyncio.create_task(end) for end in (self._keeper.closed(), self._told_to_end.wait())]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in (liveness, measuring, *ends):
            task.cancel()
        await end(keeping)
        self.rollouts.halt()
        self.supervisor.close()
        if not self._told_to_end.is_set():
            self._deaths.keeper_gone()
        await self._deaths.close()
        await self._guards.close()
        await self._links.close()
        await self._leases.close()
        if not self._told_to_end.is_set():
            log.error("the keeper is gone; starting another")
            KeeperStart.begin().configure(keeper_config(self._home, self.machine, self.fleet, self._hidden))

    def end(self) -> None:
        """Let :meth:`run` return."""
        self._told_to_end.set()

    def leave(self) -> None:
        """Hand the rest of a shutdown to the keeper, which ends this process too."""
        self._keeper.send(Shutdown(grace_s=SHUTDOWN_GRACE_S))

    def status(self) -> MachineStatus:
        supervisor = self.supervisor
        return MachineStatus(
            machine=self.machine,
            host=self.fleet.machines[self.machine].host,
            pid=os.getpid(),
            keeper_pid=self._keeper_pid,
            fleet=self.fleet.name,
            fleet_file=self.fleet.file,
            services=[service_view(supervisor, self.machine, name) for name in supervisor.servers],
            agents=[
                *(agent_view(supervisor, runner) for runner in supervisor.agents()),
                *(invalid_view(bad) for bad in self.fleet.invalid.values() if bad.machine == self.machine),
            ],
            up_s=clock.monotonic() - self._began_at,
            zygote=times(supervisor.runners[ZYGOTE].state),
            parts=self.measuring.parts,
            links=self._links.watch.views(),
            made=self._composition.now(),
            busy="a rollout is under way" if self.rollouts.state.is_active else "",
            note=loss_note(self._loss, clock.wall()),
        )

    async def bring_up(self, fleet: Fleet, agents: Iterable[str], tell: Tell) -> Done:
        """Start what ``agents`` (identities; none: all) name, as the fleet file says it now."""
        notes = await self._take_over(fleet)
        done = await self._operations.bring_up([AgentId(agent).name for agent in agents], tell)
        return replace(done, notes=notes)

    async def order(self, verb: Verb, agents: Iterable[str], tell: Tell, *, spare_stopped: bool = False) -> Done:
        """Raises :class:`NotFound` for an agent this machine does not have."""
        names = [AgentId(agent).name for agent in agents]
        for name in names:
            if name not in self.supervisor.configs:
                raise NotFound(f"{self.machine} runs no agent {name!r}")
        return await self._operations.order(verb, names, tell, spare_stopped=spare_stopped)

    async def take_down(self, tell: Tell) -> Done:
        self.rollouts.halt()
        return await self._operations.take_down(tell)

    def release(self) -> ReleaseStatus:
        """What runs here, what ran before, and the rollout that is under way or was the last."""
        return ReleaseStatus(
            machine=self.machine,
            current=self.rollouts.standing.current,
            proven=self.rollouts.standing.proven,
            since=clock.wall() - (clock.monotonic() - self._since),
            rollout=self.rollouts.view(),
        )

    async def _keep_code(self) -> None:
        if not self.rollouts.standing.current.release.code.id:
            await keep_code(self.supervisor, self.machine, self._env, str(fleet_directory(self.fleet)))

    def _zygote(self, target: Target) -> Exec:
        code = target.release.code
        return zygote_of(self.machine, target.fleet, self._env, bears_node=False, code=code)

    def _tell_fleet(self, fleet: Fleet) -> None:
        self.fleet = self._operations.fleet = self.supervisor.launches.fleet = self._leases.fleet = fleet

    async def _use(self, fleet: Fleet) -> None:
        """New processes are told of ``fleet`` from now on, and the servers know its agents."""
        self._tell_fleet(fleet)
        await self._reload_servers()

    def _plan_servers(self) -> list[ServerSpec]:
        return plan_servers(
            self.machine,
            self._dirs,
            self._authority,
            self.fleet.machines[self.machine].infra,
            link_of(self.fleet, self.machine, self._authority),
            agents=[agent.name for agent in self.fleet.on(self.machine)],
            observers=[agent.name for agent in self.fleet.on(self.machine) if agent.observer],
            hosts=_hosts(self.fleet, self.machine),
        )

    async def _take_over(self, fleet: Fleet) -> list[str]:
        """Make ``fleet`` the one that counts, except for agents that run with another entry; what a person should know."""
        if fleet == self.fleet:
            return []
        if self.rollouts.state.is_active:
            raise Busy("the fleet file has changed while a rollout is under way", hint="tandem rollout status")
        old = {agent.name: agent for agent in self.fleet.on(self.machine)}
        new = {agent.name: agent for agent in fleet.on(self.machine)}
        notes = []
        supervisor = self.supervisor
        changed = [name for name, config in new.items() if name in old and config != old[name]]
        kept = [name for name in changed if supervisor.runners[name].pid is not None]
        notes += [f"{name} has changed in the fleet file: tandem apply" for name in kept]
        fleet = replace(fleet, agents=fleet.agents | {str(old[name].id): old[name] for name in kept})
        self._tell_fleet(fleet)
        self.rollouts.take_over(fleet)
        gone = sorted(old.keys() - new.keys())
        for name in gone:
            supervisor.retire(name)
            notes.append(f"{name} is not in the fleet file any more and is stopped")
        for name, config in new.items():
            if name not in kept and config != old.get(name):
                supervisor.releases[name] = self.rollouts.standing.current.release
                supervisor.adopt_config(config)
        await self._reload_servers()
        await self._operations.until(lambda: not any(name in supervisor.runners for name in gone))
        return notes

    async def _shut_out(self, revoked: set[str]) -> None:
        """Make the servers refuse what was revoked. A linked machine stays linked through a reload, so that takes more."""
        elsewhere = {machine.name for machine in self.fleet.machines.values() if not machine.is_here}
        self._links.distrust(revoked & elsewhere)
        try:
            await self._reload_servers()
        finally:
            if revoked & elsewhere:
                self.supervisor.runners["nats"].feed(Restart())

    async def _catch_up(self) -> None:
        """Servers that run since before this node may know neither its keys nor what else has changed."""
        if all(self.supervisor.runners[name].pid is None for name in self.supervisor.servers):
            return
        try:
            await self._reload_servers()
        except (TandemError, OSError) as error:
            log.error("the servers did not take over their new configuration: %s", error)

    async def _reload_servers(self) -> None:
        """New agents are new users of the servers; those learn them without a restart."""
        runners = self.supervisor.runners
        for server in self._plan_servers():
            self.supervisor.servers[server.name] = server
            pid = runners[server.name].pid
            if pid is not None and needs_restart(server):
                runners[server.name].feed(Restart())
            elif pid is not None:
                await reload(server, pid)


def _linked_from_elsewhere(fleet: Fleet, machine: str) -> list[str]:
    """Machines of other computers whose nats-server links to that of ``machine``."""
    is_hub = machine == next(iter(fleet.machines))
    return [other.name for other in fleet.machines.values() if is_hub and not other.is_here]


def _hosts(fleet: Fleet, machine: str) -> list[str]:
    host = fleet.machines[machine].host
    return [host] if host else []
