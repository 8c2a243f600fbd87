"""One connection per peer, made when first needed and shared by everybody in the process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import TYPE_CHECKING

from tandem.core import clock
from tandem.core.deadline import Deadline
from tandem.core.errors import ConfigError, DeadlineExceeded, TandemError, Unreachable
from tandem.core.ids import new_id
from tandem.rpc import breaker as circuit
from tandem.rpc.breaker import Breaker, BreakerEvent, BreakerState, CircuitOpen
from tandem.rpc.channel import Channel
from tandem.rpc.envelope import OLDEST_VERSION, PROTOCOL_VERSION, Hello
from tandem.rpc.interfaces import Endpoint, Observer, Resolver
from tandem.rpc.link import Link
from tandem.rpc.transports.memory import MemoryNetwork
from tandem.security.model import CurveKeys

if TYPE_CHECKING:
    from tandem.rpc.transports.zmq import ZmqCaller

CONNECT_S = 10.0
"""Seconds for one attempt to resolve, connect and be welcomed. A caller waits at most its own budget for it; the
attempt itself goes on for those who come later."""

Token = Callable[[str], str]


class Stage(Enum):
    OPEN = auto()
    CLOSED = auto()


class PeerState:
    """What is known of one peer. ``link`` is set exactly while new calls may be sent on it."""

    __slots__ = ("breaker", "connecting", "instance", "link", "name")

    def __init__(self, name: str):
        self.name = name
        self.link: Link | None = None
        self.connecting: asyncio.Task[Link] | None = None
        self.breaker: Breaker = circuit.CLOSED
        self.instance = ""


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
        if peer.connecting is None:
            peer.connecting = asyncio.get_running_loop().create_task(self._connect(peer))
            peer.connecting.add_done_callback(_retrieve)
        attempt = peer.connecting
        done, _ = await asyncio.wait((attempt,), timeout=max(0.0, deadline.remaining()))
        if not done:
            raise DeadlineExceeded(f"no time left to connect to {peer.name}")
        if attempt.cancelled():
            raise Unreachable("this process is closing its connections")
        return attempt.result()

    async def close(self) -> None:
        """End every connection and attempt to connect; new ones are refused."""
        self._stage = Stage.CLOSED
        pending = [state.connecting for state in self._peers.values() if state.connecting is not None]
        for attempt in pending:
            attempt.cancel()
        if pending:
            await asyncio.wait(pending)
        for link in list(self._links):
            link.close()
        if self._zmq is not None:
            await self._zmq.close()

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
            service = str(endpoint.service or peer.name)
            token = self._token(service) if self._token is not None else ""
            hello = Hello(OLDEST_VERSION, PROTOCOL_VERSION, service, self.client, token)
            channel = await self._open(endpoint, link)
            self._links.add(link)
            await link.greet(channel, hello, deadline.remaining())
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

    @staticmethod
    def _probe(peer: PeerState, link: Link) -> None:
        """Make sure that a probe learns something even when its call takes long: a PONG counts as an answer."""
        if peer.breaker.state is BreakerState.HALF_OPEN:
            link.nudge()

    async def _open(self, endpoint: Endpoint, link: Link) -> Channel:
        if endpoint.kind == "unix":
            from tandem.rpc.transports import unix

            return await unix.connect(endpoint.address, link)
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
