"""Run agents in memory and virtual time: no process, no socket, no sleep.

::

    @virtual_time
    async def test_timer_rings_after_its_length():
        async with fleet_of(TaskScheduler, Member(AsyncProcessor, machine="pc2")) as fleet:
            await fleet.peer(Scheduler).set_timer(seconds=300)
            await asyncio.sleep(300)            # takes no time
            assert fleet.published(TimerRang)

Time advances only when no work is outstanding (:mod:`tandem.agent.virtual_time`). Calls and events pass through
the same encoding and validation as in a real fleet.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

import msgspec

from tandem.agent import virtual_time as virtual
from tandem.agent.background import Background
from tandem.agent.base import Agent
from tandem.agent.context import AgentContext
from tandem.agent.observer import CallObserver
from tandem.agent.observing import Observation
from tandem.agent.peers import PeerProxies
from tandem.agent.runtime import Runtime, make_settings
from tandem.core import clock
from tandem.core.errors import Unavailable
from tandem.core.health import Issue
from tandem.core.ids import AgentId, new_id
from tandem.core.paths import private_dir
from tandem.errors import ErrorReport, Receipt, Severity
from tandem.errors.report import make_report, understand
from tandem.events import Event
from tandem.registry import Lease
from tandem.rpc import MemoryNetwork, Peers, Server
from tandem.telemetry.metrics import Metrics
from tandem.telemetry.resource import Resource, resource_scope

if TYPE_CHECKING:
    from redis.asyncio import Redis

P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=Event)

DEFAULT_MACHINE = "mainpc"


def virtual_time(test: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Make a coroutine test run on a fresh virtual-time loop."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        result: T = virtual.run(lambda: test(*args, **kwargs))
        return result

    return run


class Member:
    """One agent of a test fleet: its class, and what the fleet file would say about it."""

    def __init__(self, cls: type[Agent], *, name: str = "", machine: str = DEFAULT_MACHINE, **settings: Any):
        self.cls = cls
        self.name = name or cls.__name__
        self.machine = machine
        self.settings = settings


class _Running:
    """A started member."""

    def __init__(self, runtime: Runtime, server: Server, peers: Peers):
        self.runtime = runtime
        self.server = server
        self.peers = peers


class Fleet:
    """Agents that know each other. Use as an async context manager; members start in the order given."""

    def __init__(self, members: list[Member], state: Path | None, cache: Callable[[], Redis] | None, needs: dict[str, list[str]]):
        self._members = {member.name: member for member in members}
        self._state = state
        self._cache = cache
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._network = MemoryNetwork()
        self._running: dict[str, _Running] = {}
        self._handlers: dict[type[Event], list[tuple[str, Callable[[Any], Awaitable[None]]]]] = {}
        self._published: list[Event] = []
        self._reported: list[ErrorReport] = []
        self._followers: dict[str, Callable[[list[ErrorReport]], Awaitable[None]]] = {}
        self._needs = needs
        self._deliveries: set[asyncio.Task[None]] = set()
        self._outside = Peers(self._network, network=self._network)

    async def __aenter__(self) -> Self:
        if self._state is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="tandem-test-")
            self._state = Path(self._temporary.name)
        try:
            for name in self._members:
                await self.start(name)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        await self.close()

    def peer(self, who: type[T], at: str | None = None) -> T:
        """A member, as an outside caller sees it."""
        proxy: T = PeerProxies(self._outside).proxy(who, at)
        return proxy

    def agent(self, cls: type[T], name: str = "") -> T:
        """The running instance itself, to look inside."""
        found = self._running[name or cls.__name__].runtime.agent
        assert isinstance(found, cls)
        return found

    def published(self, event: type[E]) -> list[E]:
        """Every event of that type announced so far."""
        return [item for item in self._published if isinstance(item, event)]

    def reported(self, agent: str = "") -> list[ErrorReport]:
        """Every error reported so far, by one agent or by all."""
        return [report for report in self._reported if agent in ("", report.agent)]

    async def announce(self, event: Event) -> None:
        """Publish from outside."""
        await self._publish(event)

    async def start(self, name: str) -> None:
        """Start a member that is not running; it finds the state it left behind."""
        member = self._members[name]
        with resource_scope(Resource(member.name, member.machine)):
            self._running[name] = await self._launch(member)

    async def stop(self, name: str) -> None:
        """Stop a member in good order."""
        running = self._running.pop(name)
        self._forget_handlers(name)
        await running.server.drain(5)
        await running.runtime.stop()
        await running.server.close()
        await running.peers.close()

    async def kill(self, name: str) -> None:
        """End a member as kill -9 would: nothing of its own clean-up runs."""
        running = self._running.pop(name)
        self._forget_handlers(name)
        await running.server.close()
        await running.runtime.context.background.close()
        await running.peers.close()

    async def close(self) -> None:
        for name in reversed(list(self._running)):
            await self.stop(name)
        for task in list(self._deliveries):
            task.cancel()
        await asyncio.gather(*self._deliveries, return_exceptions=True)
        await self._outside.close()
        if self._temporary is not None:
            self._temporary.cleanup()

    async def _launch(self, member: Member) -> _Running:
        assert self._state is not None
        log = logging.getLogger(f"agent.{member.name}")
        agent = member.cls()
        report = functools.partial(self._report, AgentId.of(member.name, member.machine))
        observer = CallObserver(Metrics(), AgentId.of(member.name, member.machine), report)
        peers = Peers(self._network, network=self._network, observer=observer)
        context = AgentContext(
            name=member.name,
            machine=member.machine,
            instance=new_id(),
            state_dir=private_dir(self._state / member.machine / member.name),
            log=log,
            peers=PeerProxies(peers),
            background=Background(log, report),
            publish=self._publish,
            cache=self._cache or _no_cache,
            directory=self._directory,
            report=report,
            observe=lambda: Observation(
                self._needs,
                _ReportedErrors(self._reported, functools.partial(self._followers.__setitem__, member.name)),
                self._accept,
            ),
        )
        runtime = Runtime(agent, context, make_settings(member.cls, member.settings))
        server = Server(member.name, runtime.handlers, observer=observer)
        await server.listen_memory(self._network, member.name)

        async def subscribe(event: type[Event], handle: Callable[[Any], Awaitable[None]]) -> None:
            self._handlers.setdefault(event, []).append((member.name, handle))

        await runtime.start(subscribe)
        return _Running(runtime, server, peers)

    def _report(
        self,
        origin: AgentId,
        error_type: str | BaseException = "",
        message: str = "",
        severity: str | Mapping[str, Any] = Severity.ERROR,
        context: Mapping[str, Any] | None = None,
        *,
        durable: bool = False,
    ) -> Receipt:
        return self._accept(make_report(origin, understand(error_type, message, severity, context)))

    def _accept(self, report: ErrorReport) -> Receipt:
        # Through the wire's form, so that a test sees what a consumer would see.
        received = msgspec.json.decode(msgspec.json.encode(report), type=ErrorReport)
        self._reported.append(received)
        for name, handle in self._followers.items():
            self._deliver(name, handle([received]))
        return Receipt(report.id, True)

    def _deliver(self, name: str, handling: Awaitable[None]) -> None:
        task = asyncio.ensure_future(handling)
        self._deliveries.add(task)
        task.add_done_callback(functools.partial(self._delivered, name))

    async def _directory(self) -> list[Lease]:
        return [
            Lease(
                agent=running.runtime.context.name,
                machine=running.runtime.context.machine,
                instance=running.runtime.context.instance,
                time=clock.wall(),
                status=running.runtime.status,
            )
            for _, running in sorted(self._running.items())
        ]

    async def _publish(self, event: Event) -> None:
        data = msgspec.msgpack.encode(event)
        self._published.append(event)
        for name, handle in self._handlers.get(type(event), ()):
            received = msgspec.msgpack.decode(data, type=type(event))
            self._deliver(name, handle(received))

    def _delivered(self, name: str, task: asyncio.Future[None]) -> None:
        self._deliveries.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logging.getLogger(f"agent.{name}").error("event handler failed: %s", error, exc_info=error)

    def _forget_handlers(self, name: str) -> None:
        self._followers.pop(name, None)
        for handlers in self._handlers.values():
            handlers[:] = [entry for entry in handlers if entry[0] != name]


class _ReportedErrors:
    """What members reported, for one that observes."""

    def __init__(
        self,
        reported: list[ErrorReport],
        register: Callable[[Callable[[list[ErrorReport]], Awaitable[None]]], None],
    ):
        self._reported = reported
        self._register = register

    async def follow(self, handle: Callable[[list[ErrorReport]], Awaitable[None]]) -> None:
        self._register(handle)
        await handle(list(self._reported))

    async def stored(self, since: float) -> AsyncIterator[list[ErrorReport]]:
        yield [report for report in self._reported if report.time >= since]

    def issues(self) -> Iterable[Issue]:
        return ()


def fleet_of(
    *members: type[Agent] | Member,
    state: Path | None = None,
    cache: Callable[[], Redis] | None = None,
    needs: dict[str, list[str]] | None = None,
) -> Fleet:
    """A fleet of these agents.

    ``state`` keeps their directories after the test's end; ``cache`` makes a cache client; ``needs`` (identities) is
    what a member that observes is told about who leans on whom.
    """
    return Fleet([m if isinstance(m, Member) else Member(m) for m in members], state, cache, needs or {})


def _no_cache() -> Redis:
    raise Unavailable("this test fleet has no cache server", hint="pass cache= to fleet_of")
