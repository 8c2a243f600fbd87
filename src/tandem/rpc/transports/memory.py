"""Frames within one process: for tests, and exact under virtual time."""

from __future__ import annotations

import asyncio

from tandem.core.deadline import Deadline
from tandem.core.errors import ConfigError, TandemError, Unreachable
from tandem.rpc.channel import Acceptor, Receiver
from tandem.rpc.interfaces import Endpoint


class MemoryChannel:
    """One of two ends; a frame arrives in a later turn of the event loop, as from a real peer."""

    identity = ""
    uid = None
    congested = False

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._other: MemoryChannel | None = None
        self._receiver: Receiver | None = None

    def join(self, other: MemoryChannel) -> None:
        self._other, other._other = other, self

    def attach(self, receiver: Receiver) -> None:
        """Deliver what arrives to ``receiver``."""
        self._receiver = receiver

    def send(self, frame: bytes) -> None:
        if self._other is not None:
            self._loop.call_soon(self._other._deliver, frame)

    async def wait(self) -> None:
        """Never congested."""

    def close(self) -> None:
        other, self._other = self._other, None
        if other is not None:
            self._loop.call_soon(self._lose, Unreachable("connection closed"))
            self._loop.call_soon(other._lose, Unreachable("connection closed by the peer"))

    def _deliver(self, frame: bytes) -> None:
        if self._receiver is not None:
            self._receiver.frame_received(frame)

    def _lose(self, reason: TandemError) -> None:
        self._other = None
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.channel_lost(reason)


class MemoryListener:
    """One address of the network, until it is closed."""

    def __init__(self, network: MemoryNetwork, address: str):
        self._network = network
        self._address = address

    async def stop_accepting(self) -> None:
        self._network.forget(self._address, self)

    async def close(self) -> None:
        self._network.forget(self._address, self)


class MemoryNetwork:
    """The addresses of one test. Also a resolver: every peer answers at the address equal to its name."""

    def __init__(self) -> None:
        self._acceptors: dict[str, tuple[MemoryListener, Acceptor]] = {}

    def listen(self, address: str, accept: Acceptor) -> MemoryListener:
        """Raises :class:`~tandem.core.errors.ConfigError` when the address is taken."""
        if address in self._acceptors:
            raise ConfigError(f"somebody already answers at {address}")
        listener = MemoryListener(self, address)
        self._acceptors[address] = (listener, accept)
        return listener

    def forget(self, address: str, listener: MemoryListener) -> None:
        """Stop answering at ``address`` if it is still ``listener`` that does."""
        if self._acceptors.get(address, (None,))[0] is listener:
            del self._acceptors[address]

    def connect(self, address: str, receiver: Receiver) -> MemoryChannel:
        """Raises :class:`~tandem.core.errors.Unreachable` when nobody answers there."""
        found = self._acceptors.get(address)
        if found is None:
            raise Unreachable(f"nobody answers at {address}")
        ours, theirs = MemoryChannel(), MemoryChannel()
        ours.join(theirs)
        ours.attach(receiver)
        theirs.attach(found[1](theirs))
        return ours

    async def resolve(self, peer: str, deadline: Deadline) -> Endpoint:
        """The endpoint named like the peer, or like its bare name."""
        name = peer if peer in self._acceptors else peer.partition("@")[0]
        return Endpoint("memory", name)
