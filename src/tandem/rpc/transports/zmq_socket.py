"""ZeroMQ sockets on any asyncio loop, without ``zmq.asyncio``.

A ZeroMQ socket offers one descriptor that becomes readable when *something* changed, once; afterwards EVENTS
must be asked until nothing is left, and again after every send, which may swallow the signal
(http://api.zeromq.org/4-3:zmq-getsockopt, ZMQ_FD). ``zmq.asyncio`` spends several futures and loop turns on each
message for this; a callback that drains the socket costs none.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import zmq
from zmq.utils.monitor import recv_monitor_message

from tandem.rpc.envelope import FRAME_LIMIT

BATCH = 64
"""Messages taken before other work of the loop gets its turn."""

HEARTBEAT_MS = 1000
HEARTBEAT_TIMEOUT_MS = 3000
"""A cut cable is noticed within this time; libzmq's own thread beats, so a busy interpreter is not taken for dead."""

HIGH_WATER = 512
"""Messages queued per connection and direction, above the calls one connection may have in flight."""

LINGER_MS = 200
"""Time for a last BYE to leave."""

HANDSHAKE_MS = 5000
"""For greeting and CURVE handshake. Strangers hold no descriptor for longer; libzmq's own 30 s would let them hold many."""

RawSocket = zmq.Socket[bytes]
MonitorEvent = Callable[[int, int], None]

_monitors = itertools.count()


def configure(socket: RawSocket) -> None:
    """Limits and heartbeats that both ends share."""
    socket.setsockopt(zmq.MAXMSGSIZE, FRAME_LIMIT)
    socket.setsockopt(zmq.SNDHWM, HIGH_WATER)
    socket.setsockopt(zmq.RCVHWM, HIGH_WATER)
    socket.setsockopt(zmq.HEARTBEAT_IVL, HEARTBEAT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.HEARTBEAT_TTL, HEARTBEAT_TIMEOUT_MS)
    socket.setsockopt(zmq.LINGER, LINGER_MS)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)


class LoopSocket:
    """Calls ``receive`` once per waiting message, and ``writable`` when it was asked to wait for room."""

    def __init__(
        self, socket: RawSocket, receive: Callable[[], None], writable: Callable[[], None] | None = None
    ):
        self.socket = socket
        self._loop = asyncio.get_running_loop()
        self._receive = receive
        self._writable = writable
        self._wants = zmq.POLLIN
        self._handle: asyncio.Handle | None = None
        self._fd = int(socket.getsockopt(zmq.FD))
        self._loop.add_reader(self._fd, self.drain)
        # What happened before the descriptor was watched gives no signal any more.
        self._handle = self._loop.call_soon(self.drain)

    def drain(self) -> None:
        """Handle everything that waits; must follow every send."""
        self._handle = None
        for _ in range(BATCH):
            if self.socket.closed:
                return
            events = int(self.socket.getsockopt(zmq.EVENTS)) & self._wants
            if not events:
                return
            if events & zmq.POLLOUT and self._writable is not None:
                self._wants = zmq.POLLIN
                self._writable()
            if events & zmq.POLLIN:
                self._receive()
        self._handle = self._loop.call_soon(self.drain)

    def drain_input(self) -> None:
        """Receive everything that has arrived, however much it is."""
        while not self.socket.closed and int(self.socket.getsockopt(zmq.EVENTS)) & zmq.POLLIN:
            self._receive()

    def want_room(self) -> None:
        """Call ``writable`` once there is room."""
        self._wants = zmq.POLLIN | zmq.POLLOUT

    def close(self) -> None:
        """Stop watching and close the socket; what is queued lingers for a moment."""
        if self.socket.closed:
            return
        if self._handle is not None:
            self._handle.cancel()
        self._loop.remove_reader(self._fd)
        self.socket.close()


class Monitor:
    """Tells what happens to a socket's connections: ``happened(event, value)``."""

    def __init__(self, socket: RawSocket, events: int, happened: MonitorEvent):
        self._socket = socket
        self._happened = happened
        address = f"inproc://monitor-{next(_monitors)}"
        socket.monitor(address, events)
        pair: RawSocket = socket.context.socket(zmq.PAIR)
        pair.setsockopt(zmq.LINGER, 0)
        pair.connect(address)
        self._pair = LoopSocket(pair, self._receive)

    def drain(self) -> None:
        """Handle what has happened so far, now."""
        self._pair.drain()

    def close(self) -> None:
        # libzmq's I/O thread sends monitor events with a blocking send: a monitor without a reader stops that thread,
        # and with it every socket of the context. So the source is switched off first.
        self._socket.monitor(None, 0)
        self._pair.close()

    def _receive(self) -> None:
        message = recv_monitor_message(self._pair.socket, zmq.NOBLOCK)
        self._happened(message["event"], message["value"])
