"""One agent process, from its spec to its exit status."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from tandem.agent.background import Background, Report
from tandem.agent.base import Agent
from tandem.agent.context import AgentContext
from tandem.agent.fence import Fence
from tandem.agent.lease import LeaseHolder
from tandem.agent.links import CacheLink, EventLink
from tandem.agent.load import load_agent_class
from tandem.agent.loop import new_event_loop
from tandem.agent.notify import Notifier
from tandem.agent.observer import CallObserver
from tandem.agent.observing import Observation, not_an_observer
from tandem.agent.peers import PeerProxies
from tandem.agent.pulse import keep_lease, report_health
from tandem.agent.runtime import Runtime, make_settings
from tandem.agent.spec import AgentSpec
from tandem.agent.tally import Tally
from tandem.agent.trust import Trust
from tandem.core.errors import EX_CONFIG, ConfigError, Unavailable
from tandem.core.health import Issue
from tandem.core.ids import AgentId
from tandem.core.paths import private_dir
from tandem.core.tasks import end
from tandem.errors import ErrorClient, Receipt
from tandem.errors.legacy import BRIDGE
from tandem.registry import Lease, Registry, RegistryResolver
from tandem.rpc import Peers, Server
from tandem.security import RedactedStream, Trail, conceal, forbid_dumps, redact
from tandem.telemetry import logs
from tandem.telemetry.metrics import Metrics

DRAIN_S = 5.0
"""Seconds running calls get to finish once the agent was asked to stop; half of the default grace."""

ERROR_SPOOL = ".errors"
"""Where an agent's reports wait, within its state directory."""

RELAY_SPOOL = ".relayed"
"""Where reports wait that an observer passes on for others."""

log = logging.getLogger("tandem.agent")


def main(spec: AgentSpec, reopen: Callable[[], bool] | None = None) -> int:
    """Run the agent until it is told to stop. Returns the exit status: 0, 78 (configuration) or 1 (crash).

    ``reopen`` finds the supervisor again when its pipe has broken.
    """
    os.environ.update(spec.environment)
    conceal(spec.secrets)
    if spec.secrets:
        sys.stdout, sys.stderr = RedactedStream(sys.stdout), RedactedStream(sys.stderr)
    logs.configure(spec.name, spec.machine, spec.log_level, redact=redact)
    # A supervisor that finds us hanging aborts us: then every thread's stack goes to the log.
    faulthandler.enable(file=2, all_threads=True)
    try:
        if spec.identity is not None:
            forbid_dumps()
        agent_class = load_agent_class(spec.class_path)
        settings = make_settings(agent_class, spec.settings)
        uvloop.run(AgentProcess(spec, agent_class, settings, reopen).run(), loop_factory=new_event_loop)
    except ConfigError as error:
        log.critical("configuration: %s", error)
        return EX_CONFIG
    except Exception as error:
        log.critical("%s: %s", type(error).__name__, error, exc_info=error)
        return 1
    return 0


class AgentProcess:
    """Wires one agent to its sockets, its machine's servers and its supervisor. Lives inside one event loop."""

    def __init__(
        self,
        spec: AgentSpec,
        agent_class: type[Agent],
        settings: Any,
        reopen: Callable[[], bool] | None = None,
    ):
        self.spec = spec
        self._class = agent_class
        self._settings = settings
        self._notifier = Notifier(spec.notify_fd, reopen)
        self._id = AgentId.of(spec.name, spec.machine)
        self._stop_requested: asyncio.Event
        self._told_to_go: asyncio.Event

    async def run(self) -> None:
        """:meth:`live` until TERM or INT."""
        stop, go = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        if self.spec.begin != "serve":
            loop.add_signal_handler(signal.SIGUSR1, go.set)
        await self.live(stop, go)

    async def live(self, stop: asyncio.Event, go: asyncio.Event | None = None) -> None:
        """Start, announce readiness, serve until ``stop``, end. Raises what the agent's ``start`` raises.

        ``go`` is what an instance waits for that does not begin at once (:data:`tandem.agent.spec.Begin`).
        """
        spec = self.spec
        self._stop_requested = stop
        self._told_to_go = go or asyncio.Event()
        metrics = Metrics()
        registry = None if spec.control is None else Registry(spec.control)
        events, cache = EventLink(spec.nats, spec.name), CacheLink(spec.cache)
        state_dir = private_dir(Path(spec.state_dir))
        errors = ErrorClient(self._id, state_dir / ERROR_SPOOL, None if spec.nats is None else events.publisher)
        relay = ErrorClient(AgentId.of(BRIDGE, spec.machine), state_dir / RELAY_SPOOL, events.publisher)
        tally = Tally()
        report = _counted(errors.report if spec.error_bus else _unreported, tally)
        trail = Trail(Path(spec.trail_file)) if spec.trail_file else None
        observer = CallObserver(metrics, self._id, report, trail, tally)
        trust = None if spec.identity is None else Trust(spec, spec.identity, registry)
        peers = self._peers(registry, observer, trust)
        own_log = logging.getLogger(f"agent.{spec.name}")
        context = AgentContext(
            name=spec.name,
            machine=spec.machine,
            instance=spec.instance,
            state_dir=state_dir,
            side_ports=spec.side_ports,
            starting=self._notifier.starting,
            log=own_log,
            peers=PeerProxies(peers),
            background=Background(own_log, report),
            publish=events.publish,
            cache=cache.client,
            directory=_no_directory if registry is None else registry.list,
            report=report,
            observe=partial(self._observe, events, relay, trust) if spec.fleet else not_an_observer,
            door=self._door,
        )
        issues = partial(_issues_of, events, errors)
        runtime = Runtime(self._class(), context, self._settings, issues, metrics.render)
        server = self._server(runtime, observer, trust)
        metrics.computed(
            "agent_requests_in_flight", "Requests being answered now", {"agent": spec.name, "machine": spec.machine},
            lambda: server.in_flight,
        )  # fmt: skip
        lease = LeaseHolder(registry, spec)
        fence = Fence(state_dir)
        signs = [asyncio.create_task(report_health(runtime, self._notifier, tally), name="health")]
        try:
            errors.start()
            if spec.fleet:
                relay.start()
            if await self._unless_stopped(self._begin(server, runtime, events, fence, trust)):
                signs.append(asyncio.create_task(keep_lease(runtime, lease.refresh), name="lease"))
                await self._stop_requested.wait()
            self._notifier.stopping()
            await server.drain(DRAIN_S)
            await runtime.stop()
            fence.release()
        finally:
            await end(*signs)
            if trust is not None:
                await trust.close()
            await server.close()
            await peers.close()
            await errors.close()
            await relay.close()
            await events.close()
            await cache.close()
            if registry is not None:
                await registry.close()

    async def _begin(
        self, server: Server, runtime: Runtime, events: EventLink, fence: Fence, trust: Trust | None
    ) -> None:
        """Become ready and take up the work, in the order the supervisor wants it (:data:`tandem.agent.spec.Begin`)."""
        spec = self.spec
        await runtime.agent.prepare()
        if spec.begin == "handover":
            self._notifier.standby()
            await self._told_to_go.wait()
        if spec.alone:
            runtime.context.epoch = await fence.take()
        if spec.begin != "standby":
            await self._listen(server, trust)
        await runtime.become_ready()
        if spec.begin == "standby":
            await self._announce(runtime)
            await self._told_to_go.wait()
            await self._listen(server, trust)
        await runtime.take_up(events.subscribe)
        if spec.begin != "standby":
            await self._announce(runtime)

    async def _announce(self, runtime: Runtime) -> None:
        self._notifier.health(await runtime.health())
        self._notifier.ready()

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether ``work`` was done; False when the agent was told to stop first, which pre-empts a start."""
        starting = asyncio.create_task(work, name="start")
        stopping = asyncio.create_task(self._stop_requested.wait(), name="stop")
        try:
            await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                return False
            starting.result()
            return True
        finally:
            for task in (starting, stopping):
                task.cancel()
            await asyncio.gather(starting, stopping, return_exceptions=True)

    def _observe(self, events: EventLink, relay: ErrorClient, trust: Trust | None) -> Observation:
        from tandem.fleet.model import Fleet

        if trust is None:
            raise Unavailable("an observer needs an identity")
        fleet = msgspec.msgpack.decode(self.spec.fleet, type=Fleet)
        return Observation(
            {identity: [*agent.needs, *agent.wants] for identity, agent in fleet.agents.items()},
            events.feed(),
            relay.submit,
            fleet=fleet,
            publisher=events.publisher(),
            connection=events.connection(),
            authenticate=trust.authenticate,
            epoch=trust.epoch,
        )

    def _door(self) -> socket.socket | None:
        """The listening socket of a port that is not for calls; see :meth:`tandem.agent.Agent.door`."""
        spec = self.spec
        return socket.socket(fileno=spec.tcp_fd) if spec.tcp_fd is not None and spec.tcp_endpoint is None else None

    def _peers(self, registry: Registry | None, observer: CallObserver, trust: Trust | None) -> Peers:
        spec = self.spec
        resolver = RegistryResolver(spec.machine, Path(spec.run_dir), spec.directory, registry)
        token = None if trust is None else trust.token
        peers = Peers(resolver, token=token, curve=spec.curve, observer=observer)
        if trust is not None:
            trust.calls_by(peers)
        return peers

    def _server(self, runtime: Runtime, observer: CallObserver, trust: Trust | None) -> Server:
        if trust is None:
            return Server(self._id, runtime.handlers, observer=observer)
        return Server(
            self._id,
            runtime.handlers,
            authenticate=trust.admit,
            local=trust.operator,
            permit=trust.permit,
            observer=observer,
        )

    async def _listen(self, server: Server, trust: Trust | None) -> None:
        spec = self.spec
        if spec.unix_fd is not None:
            await server.listen_unix(socket.socket(fileno=spec.unix_fd))
        if spec.tcp_fd is not None and spec.tcp_endpoint is not None:
            allow = None if trust is None else trust.key_owner
            await server.listen_zmq(endpoint=spec.tcp_endpoint, fd=spec.tcp_fd, keys=spec.curve, allow=allow)
        if trust is not None:
            trust.start(server)


def _issues_of(*links: EventLink | ErrorClient) -> list[Issue]:
    return [issue for link in links for issue in link.issues()]


def _unreported(*_error: object, **_more: object) -> Receipt:
    return Receipt("", False)



def _counted(report: Report, tally: Tally) -> Report:
    def tell(*error: Any, **more: Any) -> Receipt:
        tally.reports += 1
        return report(*error, **more)

    return tell


async def _no_directory() -> list[Lease]:
    raise Unavailable("this fleet runs no registry")
