"""One connection per peer, made when first needed and shared by everybody in the process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from enum import Enum, auto
from typing import TYPE_CHECKING

from tandem.core import clock
from tandem.core.deadline import Deadline
from tandem.core.errors import ConfigError, DeadlineExceeded, TandemError, Unreachable
from tandem.core.ids import new_id
from tandem.core.tasks import end
from tandem.rpc import breaker as circuit
from tandem.rpc.breaker import Breaker, BreakerEvent, BreakerState, CircuitOpen
from tandem.rpc.channel import Channel, KeysDiffer
from tandem.rpc.envelope import OLDEST_VERSION, PROTOCOL_VERSION, Hello
from tandem.rpc.interfaces import Endpoint, LinkCut, Observer, Resolver
from tandem.rpc.link import Link
from tandem.rpc.transports.memory import MemoryNetwork
from tandem.security.model import CurveKeys

if TYPE_CHECKING:
    from tandem.rpc.transports.zmq import ZmqCaller

CONNECT_S = 10.0
"""Seconds for one attempt to resolve, connect and be welcomed. A caller waits at most its own budget for it; the
attempt itself goes on for those who come later."""

LOOK_FOR_S = 1.0
"""Seconds between looks for a peer of another machine that is left alone: it is away because the link is, as a rule,
and nobody should wait out the breaker's pause once the link is back."""

LOOK_AGAIN_S = 0.5
"""Seconds between looks whether the link to a peer that is being connected to is still up."""

Token = Callable[[str], str]


class Stage(Enum):
    """Whether new connections may be made."""

    OPEN = auto()
    CLOSED = auto()


class PeerState:
    """What is known of one peer. ``link`` is set exactly while new calls may be sent on it, ``search`` while it is left
    alone and looked for; ``distant`` tells that it is on another machine, ``sought`` that it may come back by itself."""

    __slots__ = ("breaker", "connecting", "distant", "instance", "link", "name", "search", "sought")

    def __init__(self, name: str):
        self.name = name
        self.link: Link | None = None
        self.connecting: asyncio.Task[Link] | None = None
        self.breaker: Breaker = circuit.CLOSED
        self.instance = ""
        self.distant = False
        self.sought = False
        self.search: asyncio.Task[None] | None = None


class Pool:
    """Owns the links of one process."""

    def __init__(
        self,
        resolver: Resolver,
        *,
        token: Token | None,
        curve: CurveKeys | None,
        observer: Observer,
        network: MemoryNetwork | None,
    ):
        self.client = new_id()
        """Names this pool in every HELLO; together with a call id it identifies one call for ever."""
        self._resolver = resolver
        self._token = token
        self._curve = curve
        self._observer = observer
        self._network = network
        self._peers: dict[str, PeerState] = {}
        self._links: set[Link] = set()
        self._zmq: ZmqCaller | None = None
        self._stage = Stage.OPEN

    def peer(self, name: str) -> PeerState:
        """The state of a peer, made when it is first asked for."""
        state = self._peers.get(name)
        if state is None:
            state = self._peers[name] = PeerState(name)
        return state

    async def acquire(self, peer: PeerState, deadline: Deadline) -> Link:
        """An open link to the peer.

        Raises :class:`~tandem.core.errors.Unreachable` (breaker open, nobody answers), ``NotFound``, what the peer
        refused us with, or ``DeadlineExceeded``.
        """
        if self._stage is Stage.CLOSED:
            raise Unreachable("this process is closing its connections")
        await self._pass_breaker(peer, deadline)
        if peer.link is not None:
            self._probe(peer, peer.link)
            return peer.link
        attempt = self._attempt(peer)
        done, _ = await asyncio.wait((attempt,), timeout=max(0.0, deadline.remaining()))
        if not done:
            raise DeadlineExceeded(f"no time left to connect to {peer.name}")
        if attempt.cancelled():
            raise Unreachable("this process is closing its connections")
        return attempt.result()

    async def close(self) -> None:
        """End every connection and attempt to connect; new ones are refused."""
        self._stage = Stage.CLOSED
        states = self._peers.values()
        pending: list[asyncio.Task[Link] | asyncio.Task[None]]
        pending = [state.connecting for state in states if state.connecting is not None]
        pending += [state.search for state in states if state.search is not None]
        for attempt in pending:
            attempt.cancel()
        if pending:
            await asyncio.wait(pending)
        for link in list(self._links):
            link.close()
        if self._zmq is not None:
            await self._zmq.close()

    def disconnect(self, distrusted: Callable[[str], bool]) -> None:
        """End the connections to every service that ``distrusted`` is true for."""
        for link in list(self._links):
            if distrusted(link.service):
                link.close()

    def link_draining(self, link: Link) -> None:
        self._retire(link)

    def link_ended(self, link: Link, waiting: int) -> None:
        self._retire(link)
        self._links.discard(link)
        if waiting:
            self._tell(self.peer(link.peer), BreakerEvent.FAILED)

    def link_silent(self, link: Link) -> None:
        self._tell(self.peer(link.peer), BreakerEvent.FAILED)

    def link_answered(self, link: Link) -> None:
        self._tell(self.peer(link.peer), BreakerEvent.SUCCEEDED)

    def _retire(self, link: Link) -> None:
        state = self._peers.get(link.peer)
        if state is not None and state.link is link:
            state.link = None

    def _tell(self, peer: PeerState, event: BreakerEvent) -> None:
        self._set(peer, circuit.advance(peer.breaker, event, clock.monotonic()))

    def _set(self, peer: PeerState, breaker: Breaker) -> None:
        before, peer.breaker = peer.breaker, breaker
        if before.state is not breaker.state:
            self._observer.on_breaker(peer.name, breaker.state)
        if breaker.state is BreakerState.OPEN and peer.sought and peer.search is None:
            peer.search = asyncio.get_running_loop().create_task(self._look_for(peer))

    async def _look_for(self, peer: PeerState) -> None:
        """Close the breaker as soon as the peer says anything."""
        try:
            while peer.breaker.state is not BreakerState.CLOSED:
                await asyncio.sleep(LOOK_FOR_S)
                with contextlib.suppress(Unreachable):
                    link = peer.link
                    if link is None:
                        link = await asyncio.shield(self._attempt(peer))
                    link.nudge()
        except TandemError:
            # It is there and does not want us, or nobody has the name any more: that is for callers to hear.
            pass
        finally:
            peer.search = None

    def _attempt(self, peer: PeerState) -> asyncio.Task[Link]:
        """The attempt to connect that is under way, or a new one."""
        if peer.connecting is None:
            peer.connecting = asyncio.get_running_loop().create_task(self._connect(peer))
            peer.connecting.add_done_callback(_retrieve)
        return peer.connecting

    async def _pass_breaker(self, peer: PeerState, deadline: Deadline) -> None:
        if self._admitted(peer):
            return
        if peer.breaker.state is BreakerState.OPEN:
            endpoint = await self._resolver.resolve(peer.name, deadline)
            if endpoint.instance != peer.instance:
                self._tell(peer, BreakerEvent.REPLACED)
                if self._admitted(peer):
                    return
        left = max(0.0, peer.breaker.probe_at - clock.monotonic())
        raise CircuitOpen(
            f"{peer.name} failed too often and is left alone",
            hint=f"next try in {left:.0f} s, or as soon as it is started anew",
            details={"breaker": peer.breaker.state.value},
        )

    def _admitted(self, peer: PeerState) -> bool:
        breaker, through = circuit.admit(peer.breaker, clock.monotonic())
        self._set(peer, breaker)
        return through

    async def _connect(self, peer: PeerState) -> Link:
        deadline = Deadline.after(CONNECT_S)
        link = Link(peer.name, self)
        try:
            endpoint = await self._resolver.resolve(peer.name, deadline)
            peer.instance = endpoint.instance
            peer.distant = endpoint.kind == "zmq"
            peer.sought = endpoint.kind != "memory"
            link.service = service = str(endpoint.service or peer.name)
            token = self._token(service) if self._token is not None else ""
            hello = Hello(OLDEST_VERSION, PROTOCOL_VERSION, service, self.client, token)
            if peer.distant:
                await self._unless_cut(peer, self._greet(endpoint, link, hello, deadline))
            else:
                await self._greet(endpoint, link, hello, deadline)
        except KeysDiffer:
            self._tell(peer, BreakerEvent.ABANDONED)
            raise
        except Unreachable:
            self._tell(peer, BreakerEvent.FAILED)
            raise
        except (TandemError, asyncio.CancelledError):
            self._tell(peer, BreakerEvent.ABANDONED)
            raise
        finally:
            peer.connecting = None
        if link.usable:
            peer.link = link
            self._probe(peer, link)
        return link

    async def _greet(self, endpoint: Endpoint, link: Link, hello: Hello, deadline: Deadline) -> None:
        channel = await self._open(endpoint, link)
        self._links.add(link)
        await link.greet(channel, hello, deadline.remaining())

    async def _unless_cut(self, peer: PeerState, connecting: Coroutine[None, None, None]) -> None:
        """Await ``connecting``, unless the link is cut as far as the resolver knows: into a cut one can only wait."""
        task = asyncio.ensure_future(connecting)
        try:
            while not (await asyncio.wait((task,), timeout=LOOK_AGAIN_S))[0]:
                try:
                    await self._resolver.resolve(peer.name, Deadline.after(LOOK_AGAIN_S))
                except LinkCut:
                    raise
                except TandemError:
                    continue  # it may be restarting behind its open door
            task.result()
        finally:
            await end(task)

    @staticmethod
    def _probe(peer: PeerState, link: Link) -> None:
        """Make sure that a probe learns something even when its call takes long: a PONG counts as an answer."""
        if peer.breaker.state is BreakerState.HALF_OPEN:
            link.nudge()

    async def _open(self, endpoint: Endpoint, link: Link) -> Channel:
        if endpoint.kind == "unix":
            from tandem.rpc.transports import unix

            try:
                return await unix.connect(endpoint.address, link)
            except Unreachable as error:
                # While anybody wants it to run, its socket is there, even when it is not.
                if isinstance(error.__cause__, FileNotFoundError):
                    raise Unreachable(f"{link.peer} is not running", hint=f"tandem start {link.peer}") from error
                raise
        if endpoint.kind == "zmq":
            if self._zmq is None:
                # Imported late: an agent that calls no other machine pays nothing for ZeroMQ and its threads.
                from tandem.rpc.transports.zmq import ZmqCaller

                self._zmq = ZmqCaller(self._curve)
            return await self._zmq.connect(endpoint, link)
        if self._network is None:
            raise ConfigError("a memory endpoint needs the network it belongs to")
        return self._network.connect(endpoint.address, link)


def _retrieve(task: asyncio.Task[Link]) -> None:
    """An attempt nobody waits for any more may fail without a complaint from the event loop."""
    if not task.cancelled():
        task.exception()
