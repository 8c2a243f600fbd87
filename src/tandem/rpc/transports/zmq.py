"""Frames between machines: ROUTER at the callee, one DEALER per peer at the caller, CURVE on the wire.

libzmq would reconnect a DEALER by itself, but a new connection is a new, unauthenticated session to the callee;
so reconnecting is switched off and left to the pool, which greets anew. Lost connections are learnt from socket
monitors on both sides, since a ROUTER does not say that a peer went away.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections import deque

import zmq

from tandem.core.errors import ConfigError, PermissionDenied, TandemError, Unreachable
from tandem.rpc.channel import Acceptor, Gate, KeysDiffer, Receiver
from tandem.rpc.interfaces import Endpoint
from tandem.rpc.transports.zap import DOMAIN, Allow, Denied, Gatekeeper
from tandem.rpc.transports.zmq_socket import LoopSocket, Monitor, RawSocket, configure
from tandem.security.model import CurveKeys

QUEUE_LIMIT = 32 * 1024 * 1024
"""Bytes kept for a caller that does not read, on top of libzmq's own queue; beyond that it is dropped."""

RETRY_S = 0.005
"""A ROUTER does not tell when one of its callers has room again, so blocked ones are tried at this pace."""

CONNECT_TIMEOUT_MS = 3000

NEVER_RECONNECT_MS = 24 * 3600 * 1000
"""Longer than any DEALER of ours lives. Not -1, which means "never" too but lets libzmq 4.3 throw away, at the
disconnect, messages that have arrived and are not yet read."""

_FAILED_HANDSHAKE = (
    zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
    | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
    | zmq.EVENT_HANDSHAKE_FAILED_AUTH
)
_NOT_CONNECTED = zmq.EVENT_CLOSED | zmq.EVENT_CONNECT_RETRIED


class RouterChannel:
    """One caller of a ROUTER, known by its routing id."""

    uid = None

    def __init__(self, listener: ZmqListener, route: bytes, identity: str):
        self.route = route
        self.identity = identity
        self.receiver: Receiver | None = None
        self.queue: deque[bytes] = deque()
        self.queued = 0
        self._listener = listener
        self._gate = Gate()

    @property
    def congested(self) -> bool:
        return self._gate.shut

    def send(self, frame: bytes) -> None:
        if self.receiver is not None:
            self.queue.append(frame)
            self.queued += len(frame)
            self._listener.has_frames(self)

    async def wait(self) -> None:
        await self._gate.wait()

    def close(self) -> None:
        self._listener.forget(self, Unreachable("connection closed"))

    def blocked(self) -> None:
        self._gate.close()

    def unblocked(self) -> None:
        self._gate.open()

    def lose(self, reason: TandemError) -> None:
        """Tell the receiver, in a later turn of the loop, that nothing more will come."""
        receiver, self.receiver = self.receiver, None
        self._gate.open()
        if receiver is not None:
            asyncio.get_running_loop().call_soon(receiver.channel_lost, reason)


class ZmqListener:
    """A ROUTER, its monitor and its gatekeeper, in a context of their own."""

    def __init__(self, accept: Acceptor, keys: CurveKeys | None, allow: Allow | None, denied: Denied):
        self._loop = asyncio.get_running_loop()
        self._accept = accept
        self._context: zmq.Context[RawSocket] = zmq.Context()
        self._gatekeeper = (
            Gatekeeper(self._context, allow, denied) if keys is not None and allow is not None else None
        )
        socket: RawSocket = self._context.socket(zmq.ROUTER)
        configure(socket)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        if keys is not None:
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.CURVE_PUBLICKEY, keys.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, keys.secret)
        if self._gatekeeper is not None:
            socket.setsockopt(zmq.ZAP_DOMAIN, DOMAIN)
        self._channels: dict[bytes, RouterChannel] = {}
        self._by_fd: dict[int, RouterChannel] = {}
        self._unsent: dict[RouterChannel, None] = {}
        self._flush_handle: asyncio.Handle | None = None
        self.endpoint = ""
        self._denied = denied
        self._monitor = Monitor(
            socket, zmq.EVENT_DISCONNECTED | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL, self._happened
        )
        self._router = LoopSocket(socket, self._receive)

    @classmethod
    async def open(
        cls,
        endpoint: str,
        accept: Acceptor,
        *,
        fd: int | None,
        keys: CurveKeys | None,
        allow: Allow | None,
        denied: Denied,
    ) -> ZmqListener:
        if keys is None and not is_loopback(endpoint):
            raise ConfigError(f"{endpoint} would be open to the network without CURVE keys")
        listener = cls(accept, keys, allow, denied)
        socket = listener._router.socket
        try:
            if fd is not None:
                # libzmq's thread would block in accept() when another process took the connection first.
                os.set_blocking(fd, False)
                socket.setsockopt(zmq.USE_FD, fd)
            socket.bind(endpoint)
        except (zmq.ZMQError, OSError) as error:
            await listener.close()
            raise ConfigError(f"cannot listen at {endpoint}: {error}") from error
        listener.endpoint = socket.getsockopt_string(zmq.LAST_ENDPOINT)
        return listener

    async def stop_accepting(self) -> None:
        """Nothing: to libzmq a listener owns the connections it accepted, so unbinding would end running calls.

        Who connects meanwhile is told ``Draining`` by the server and tries again, until it reaches the next instance
        behind the same listening descriptor or this one is closed.
        """

    async def close(self) -> None:
        self._flush()
        for channel in list(self._channels.values()):
            self.forget(channel, Unreachable("connection closed"))
        self._monitor.close()
        self._router.close()
        if self._gatekeeper is not None:
            self._gatekeeper.close()
        # term() blocks while last frames linger.
        await self._loop.run_in_executor(None, self._context.term)

    def has_frames(self, channel: RouterChannel) -> None:
        """Send the channel's queue at the end of this turn of the loop."""
        self._unsent[channel] = None
        if self._flush_handle is None:
            self._flush_handle = self._loop.call_soon(self._flush)

    def forget(self, channel: RouterChannel, reason: TandemError) -> None:
        """The channel is closed; a later message from there has to begin with HELLO again."""
        if self._channels.get(channel.route) is channel:
            self._send_queue(channel)
            del self._channels[channel.route]
        self._unsent.pop(channel, None)
        channel.queue.clear()
        channel.lose(reason)

    def _flush(self) -> None:
        self._flush_handle = None
        if self._router.socket.closed:
            return
        unsent, self._unsent = self._unsent, {}
        blocked = [channel for channel in unsent if not self._send_queue(channel)]
        for channel in blocked:
            if channel.queued > QUEUE_LIMIT:
                self.forget(channel, Unreachable("the caller does not read its answers"))
            else:
                channel.blocked()
                self._unsent[channel] = None
        if self._unsent and self._flush_handle is None:
            self._flush_handle = self._loop.call_later(RETRY_S, self._flush)
        self._router.drain()

    def _send_queue(self, channel: RouterChannel) -> bool:
        """Send what the channel has; False when it has no room for all of it."""
        socket, queue = self._router.socket, channel.queue
        while queue:
            try:
                socket.send(channel.route, zmq.SNDMORE | zmq.NOBLOCK)
                socket.send(queue[0], zmq.NOBLOCK)
            except zmq.Again:
                return False
            except zmq.ZMQError as error:
                queue.clear()
                channel.lose(Unreachable(f"connection lost: {error}"))
                return True
            channel.queued -= len(queue.popleft())
        channel.unblocked()
        return True

    def _receive(self) -> None:
        socket = self._router.socket
        route = socket.recv(zmq.NOBLOCK)
        frame = socket.recv(zmq.NOBLOCK, copy=False)
        more = frame.more
        if more:
            while socket.getsockopt(zmq.RCVMORE):
                socket.recv(zmq.NOBLOCK)
        channel = self._channels.get(route)
        if channel is None:
            channel = self._greet(route, frame)
        if more or (self._gatekeeper is not None and _user_of(frame) != channel.identity):
            # A routing id is free again once its connection is gone; whoever takes it is somebody else.
            self.forget(channel, Unreachable("the connection broke the protocol"))
        elif channel.receiver is not None:
            channel.receiver.frame_received(frame.buffer)

    def _greet(self, route: bytes, frame: zmq.Frame) -> RouterChannel:
        # A descriptor is reused as soon as it is closed: the old connection's end must be known before its heir begins.
        self._monitor.drain()
        identity = _user_of(frame) if self._gatekeeper is not None else ""
        channel = RouterChannel(self, route, identity)
        self._channels[route] = channel
        self._by_fd[int(frame.get(zmq.SRCFD))] = channel
        channel.receiver = self._accept(channel)
        return channel

    def _happened(self, event: int, value: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL:
            # Such a connection never reaches the gatekeeper, and libzmq does not say where it came from.
            how = "without CURVE" if value == zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH else "with a broken handshake"
            self._denied("", "CONNECT", PermissionDenied(f"a connection {how}"))
            return
        channel = self._by_fd.pop(value, None)
        if channel is not None:
            channel.queue.clear()
            self.forget(channel, Unreachable("connection lost"))


class DealerChannel:
    """The caller's connection to one ROUTER."""

    identity = ""
    uid = None

    def __init__(self, socket: RawSocket, receiver: Receiver):
        self._loop = asyncio.get_running_loop()
        self._receiver: Receiver | None = receiver
        self._queue: deque[bytes] = deque()
        self._gate = Gate()
        self._flush_handle: asyncio.Handle | None = None
        self.connected: asyncio.Future[None] = self._loop.create_future()
        self._monitor = Monitor(
            socket,
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | _FAILED_HANDSHAKE | _NOT_CONNECTED,
            self._happened,
        )
        self._dealer = LoopSocket(socket, self._receive, self._flush)

    @property
    def congested(self) -> bool:
        return self._gate.shut

    def send(self, frame: bytes) -> None:
        if self._receiver is not None:
            self._queue.append(frame)
            if self._flush_handle is None:
                self._flush_handle = self._loop.call_soon(self._flush)

    async def wait(self) -> None:
        await self._gate.wait()

    def close(self) -> None:
        self._flush()
        self._lose(Unreachable("connection closed"))

    def _flush(self) -> None:
        if self._flush_handle is not None:
            self._flush_handle.cancel()
            self._flush_handle = None
        socket, queue = self._dealer.socket, self._queue
        if socket.closed:
            return
        while queue:
            try:
                socket.send(queue[0], zmq.NOBLOCK)
            except zmq.Again:
                self._gate.close()
                self._dealer.want_room()
                break
            queue.popleft()
        else:
            self._gate.open()
        self._dealer.drain()

    def _receive(self) -> None:
        frame = self._dealer.socket.recv(zmq.NOBLOCK, copy=False)
        if self._receiver is not None:
            self._receiver.frame_received(frame.buffer)

    def _happened(self, event: int, value: int) -> None:
        if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
            if not self.connected.done():
                self.connected.set_result(None)
        elif event & _FAILED_HANDSHAKE:
            self._lose(
                KeysDiffer("the encrypted connection was refused: unknown key, or not the peer's key")
            )
        elif event & _NOT_CONNECTED:
            self._lose(Unreachable("connection refused"))
        else:
            # What the peer sent before it hung up is still to be read, among it perhaps our answers.
            self._dealer.drain_input()
            self._lose(Unreachable("connection lost"))

    def _lose(self, reason: TandemError) -> None:
        receiver, self._receiver = self._receiver, None
        if receiver is None:
            return
        self._queue.clear()
        self._gate.open()
        if not self.connected.done():
            self.connected.set_exception(reason)
            self.connected.exception()  # nobody may be waiting for it any more
        self._monitor.close()
        self._dealer.close()
        self._loop.call_soon(receiver.channel_lost, reason)


class ZmqCaller:
    """Makes connections to other machines, in one context per process."""

    def __init__(self, keys: CurveKeys | None):
        self._keys = keys
        self._context: zmq.Context[RawSocket] = zmq.Context()

    async def connect(self, endpoint: Endpoint, receiver: Receiver) -> DealerChannel:
        """Raises :class:`~tandem.core.errors.Unreachable`, or ``ConfigError`` when keys are missing."""
        channel = DealerChannel(self._socket(endpoint), receiver)
        try:
            channel._dealer.socket.connect(endpoint.address)
            await channel.connected
        except zmq.ZMQError as error:
            channel.close()
            raise ConfigError(f"cannot connect to {endpoint.address}: {error}") from error
        except asyncio.CancelledError:
            channel.close()
            raise
        return channel

    async def close(self) -> None:
        """Release the context, once the channels are closed."""
        # term() blocks while last frames linger.
        await asyncio.get_running_loop().run_in_executor(None, self._context.term)

    def _socket(self, endpoint: Endpoint) -> RawSocket:
        if not endpoint.curve_public and not is_loopback(endpoint.address):
            raise ConfigError(
                f"the CURVE key of {endpoint.address} is not known", hint="plain text never leaves a machine"
            )
        if endpoint.curve_public and self._keys is None:
            raise ConfigError(f"{endpoint.address} speaks CURVE only, and this process has no keys")
        socket: RawSocket = self._context.socket(zmq.DEALER)
        configure(socket)
        socket.setsockopt(zmq.RECONNECT_IVL, NEVER_RECONNECT_MS)
        socket.setsockopt(zmq.CONNECT_TIMEOUT, CONNECT_TIMEOUT_MS)
        if endpoint.curve_public and self._keys is not None:
            socket.setsockopt(zmq.CURVE_SERVERKEY, endpoint.curve_public)
            socket.setsockopt(zmq.CURVE_PUBLICKEY, self._keys.public)
            socket.setsockopt(zmq.CURVE_SECRETKEY, self._keys.secret)
        return socket


def is_loopback(endpoint: str) -> bool:
    """Whether ``tcp://host:port`` stays on this machine."""
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _user_of(frame: zmq.Frame) -> str:
    """Whom the gatekeeper knows the sender as."""
    try:
        return str(frame.get("User-Id"))
    except zmq.ZMQError:
        return ""
