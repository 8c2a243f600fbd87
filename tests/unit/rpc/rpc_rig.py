"""One service and its callers over one transport, as the contract suite needs them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, Literal, Protocol

import pytest
from msgspec import Struct

from tandem.core import deadline
from tandem.core.deadline import Deadline, current_deadline
from tandem.core.errors import NotFound, Overloaded, PermissionDenied, TandemError, Unavailable
from tandem.rpc import (
    Endpoint,
    Limits,
    MemoryNetwork,
    Peers,
    Server,
    Silent,
    call_signature,
    current_principal,
    handlers_from,
)
from tandem.rpc.channel import Channel
from tandem.rpc.envelope import decode
from tandem.security import CurveKeys, Principal

SERVICE = "Echo@here"
BOUND_S = 60.0
"""Generous bound for waiting on a condition, and for a call that is to succeed."""


@pytest.fixture(autouse=True)
def patient_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls that name no budget are to succeed, however busy the computer is."""
    monkeypatch.setattr(deadline, "DEFAULT_BUDGET_S", BOUND_S)


async def until(condition: Callable[[], Any]) -> None:
    """Return once ``condition()`` holds."""
    async with asyncio.timeout(BOUND_S):
        while not condition():  # noqa: ASYNC110 (any condition, not one event)
            await asyncio.sleep(0.005)


class Note(Struct):
    text: str
    tags: list[str] = []


class Echo:
    """The service of the suite; it records what happens to its calls."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.budgets: list[float | None] = []
        self.release = asyncio.Event()
        self.fail_first = 0

    async def echo(self, note: Note, times: int = 1) -> list[Note]:
        return [note] * times

    async def blob(self, data: bytes) -> bytes:
        return data

    async def size_of(self, data: bytes) -> int:
        return len(data)

    async def make(self, size: int) -> bytes:
        return bytes(size)

    async def add(self, name: str) -> int:
        """Not idempotent: counts how often it ran."""
        self.seen.append(name)
        return len(self.seen)

    async def hold(self, name: str) -> str:
        """Waits until released, and notes how it ended."""
        self.seen.append(f"{name} began")
        budget = current_deadline()
        self.budgets.append(budget.remaining() if budget else None)
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.seen.append(f"{name} cancelled")
            raise
        self.seen.append(f"{name} ended")
        return name

    hold_once = hold

    async def deny(self) -> None:
        raise Unavailable("no model", hint="fetch one", details={"model": "tiny", "bytes": 5})

    async def crash(self) -> None:
        raise ZeroDivisionError("by zero")

    async def lie(self) -> Any:
        return "not a number"

    async def unencodable(self) -> Any:
        return object()

    async def who(self) -> str:
        principal = current_principal()
        return principal.name if principal else "nobody"

    async def flaky(self) -> int:
        """Overloaded the first times."""
        self.seen.append("flaky")
        if len(self.seen) <= self.fail_first:
            raise Overloaded("later")
        return len(self.seen)

    async def count(self, to: int, fail_at: int = -1) -> AsyncIterator[int]:
        try:
            for number in range(to):
                if number == fail_at:
                    raise Unavailable("gave up")
                self.seen.append(f"made {number}")
                yield number
        finally:
            self.seen.append("count closed")

    async def chunks(self, size: int, number: int = 1) -> AsyncIterator[bytes]:
        for _ in range(number):
            yield bytes(size)

    async def ticks(self) -> AsyncIterator[str]:
        """One item, then silence."""
        try:
            yield "first"
            await asyncio.Event().wait()
        finally:
            self.seen.append("ticks closed")


METHODS = {
    "echo": True, "blob": True, "size_of": True, "make": True, "add": False, "hold": True, "hold_once": False, "deny": True,
    "crash": True, "lie": True, "unencodable": True, "who": True, "flaky": False, "count": False, "chunks": True,
    "ticks": False,
}  # fmt: skip

ECHO = call_signature(Echo.echo, idempotent=True)
ADD = call_signature(Echo.add)
COUNT = call_signature(Echo.count)


class Watcher(Silent):
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, BaseException | None]] = []
        self.unhandled: list[tuple[str, BaseException]] = []
        self.breakers: list[str] = []
        self.denied: list[tuple[str, str]] = []

    def on_server_call(self, action: str, started: float, ended: float, error: BaseException | None) -> None:
        assert ended >= started
        self.calls.append((action, error))

    def on_unhandled_error(self, action: str, error: BaseException) -> None:
        self.unhandled.append((action, error))

    def on_denied(self, who: str, action: str, error: TandemError) -> None:
        self.denied.append((who, action))

    def on_breaker(self, peer: str, state: Any) -> None:
        self.breakers.append(state.value)


def authenticate(token: str) -> Principal:
    """Tokens of the suite: ``name[+scope]@audience``."""
    name, _, audience = token.partition("@")
    if audience != SERVICE:
        raise PermissionDenied(f"token for {audience!r}")
    name, _, scope = name.partition("+")
    return Principal(name, "agent", (scope,) if scope else ())


class At:
    """Resolves every name to one address of the service."""

    def __init__(self, kind: Literal["unix", "zmq"], address: str, curve_public: bytes = b""):
        self._endpoint = Endpoint(kind, address, curve_public=curve_public, service=SERVICE)

    async def resolve(self, peer: str, deadline: Deadline) -> Endpoint:
        return self._endpoint


class Collector:
    """A bare receiver that keeps what arrives."""

    def __init__(self) -> None:
        self.frames: list[object] = []
        self.lost: list[BaseException] = []

    def frame_received(self, frame: bytes | memoryview) -> None:
        self.frames.append(decode(bytes(frame)))

    def channel_lost(self, reason: BaseException) -> None:
        self.lost.append(reason)


class Transport(Protocol):
    """Where the service answers; the address outlives each server, as the keeper's sockets do."""

    keys: CurveKeys | None

    async def listen(self, server: Server) -> None: ...
    def endpoint(self) -> Endpoint: ...
    def close(self) -> None: ...


class MemoryTransport:
    keys = None

    def __init__(self) -> None:
        self.network = MemoryNetwork()

    async def listen(self, server: Server) -> None:
        await server.listen_memory(self.network, "Echo")

    def endpoint(self) -> Endpoint:
        return Endpoint("memory", "Echo", service=SERVICE)

    def close(self) -> None:
        pass


class UnixTransport:
    keys = None

    def __init__(self, directory: Path) -> None:
        self.path = directory / "echo.sock"
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(self.path))
        self.listening.listen(64)

    async def listen(self, server: Server) -> None:
        await server.listen_unix(self.listening.dup())

    def endpoint(self) -> Endpoint:
        return Endpoint("unix", str(self.path), service=SERVICE)

    def close(self) -> None:
        self.listening.close()


class ZmqTransport:
    """``encrypted`` with CURVE keys and an allow list, or plain on loopback."""

    def __init__(self, encrypted: bool) -> None:
        import zmq

        self.listening = socket.socket()
        self.listening.bind(("127.0.0.1", 0))
        self.listening.listen(64)
        self.address = f"tcp://127.0.0.1:{self.listening.getsockname()[1]}"
        self.server_keys = CurveKeys(*zmq.curve_keypair()) if encrypted else None
        self.keys = CurveKeys(*zmq.curve_keypair()) if encrypted else None
        self.owner = ""

    async def allow(self, public: bytes) -> str | None:
        return self.owner if self.keys is not None and public == self.keys.public else None

    async def listen(self, server: Server) -> None:
        fd = self.listening.dup().detach()
        await server.listen_zmq(endpoint=self.address, fd=fd, keys=self.server_keys, allow=self.allow)

    def endpoint(self) -> Endpoint:
        public = self.server_keys.public if self.server_keys else b""
        return Endpoint("zmq", self.address, curve_public=public, service=SERVICE)

    def close(self) -> None:
        self.listening.close()


class Rig:
    """Servers and callers of one test; closes them all."""

    def __init__(self, transport: Transport):
        self.transport = transport
        self.echo = Echo()
        self.watcher = Watcher()
        self.instance = ""
        self._servers: list[Server] = []
        self._peers: list[Peers] = []
        self._channels: list[Channel] = []

    async def resolve(self, peer: str, deadline: Deadline) -> Endpoint:
        if peer.partition("@")[0] != "Echo":
            raise NotFound(f"no {peer}")
        endpoint = self.transport.endpoint()
        return Endpoint(
            endpoint.kind, endpoint.address, self.instance, endpoint.curve_public, endpoint.service
        )

    async def serve(
        self, echo: Echo | None = None, *, auth: bool = False, limits: Limits | None = None
    ) -> Server:
        server = Server(
            SERVICE,
            handlers_from(echo or self.echo, METHODS),
            authenticate=authenticate if auth else None,
            observer=self.watcher,
            limits=limits,
        )
        await self.transport.listen(server)
        self._servers.append(server)
        return server

    def peers(self, token: Callable[[str], str] | None = None) -> Peers:
        network = self.transport.network if isinstance(self.transport, MemoryTransport) else None
        peers = Peers(self, token=token, curve=self.transport.keys, observer=self.watcher, network=network)
        self._peers.append(peers)
        return peers

    async def connect(self, receiver: Any) -> Channel:
        """A bare channel to the service, to speak the protocol by hand."""
        endpoint = self.transport.endpoint()
        channel: Channel
        if isinstance(self.transport, MemoryTransport):
            channel = self.transport.network.connect(endpoint.address, receiver)
        elif endpoint.kind == "unix":
            from tandem.rpc.transports import unix

            channel = await unix.connect(endpoint.address, receiver)
        else:
            from tandem.rpc.transports.zmq import ZmqCaller

            caller = ZmqCaller(self.transport.keys)
            channel = await caller.connect(endpoint, receiver)
        self._channels.append(channel)
        return channel

    async def close(self) -> None:
        self.echo.release.set()
        for channel in self._channels:
            channel.close()
        for peers in self._peers:
            await peers.close()
        for server in self._servers:
            await server.close()
        self.transport.close()


async def cut(peers: Peers) -> None:
    """Break every connection of a caller, as a lost link does, and return once the caller knows."""
    links = set(peers._pool._links)
    for link in links:
        assert link._channel is not None
        link._channel.close()
    await until(lambda: not links & peers._pool._links)
