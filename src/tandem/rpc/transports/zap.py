"""Decides which CURVE keys may connect (ZAP, https://rfc.zeromq.org/spec/27/)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

import zmq
import zmq.utils.z85

from tandem.core.errors import PermissionDenied, TandemError
from tandem.rpc.transports.zmq_socket import LoopSocket, RawSocket

ADDRESS = "inproc://zeromq.zap.01"
DOMAIN = b"tandem"
MAX_PENDING = 256
"""Connections judged at once; one more is refused, and its owner tries again."""
_VERSION = b"1.0"
_ACCEPTED, _DENIED, _FAILED = b"200", b"400", b"500"

Allow = Callable[[bytes], Awaitable[str | None]]
"""From a Z85 public key to the principal it belongs to (empty: any), or None to refuse it. It may take a moment: a
caller that was started just now is known once its lease has arrived."""

Denied = Callable[[str, str, TandemError], None]
"""See :meth:`tandem.rpc.interfaces.Observer.on_denied`."""

_log = logging.getLogger(__name__)


class Gatekeeper:
    """Answers libzmq's question for every connection of one context; open it before any socket binds."""

    def __init__(self, context: zmq.Context[RawSocket], allow: Allow, denied: Denied):
        self._allow = allow
        self._denied = denied
        self._pending: set[asyncio.Task[None]] = set()
        # Not REP, which would judge one connection after the other.
        socket: RawSocket = context.socket(zmq.ROUTER)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(ADDRESS)
        self._socket = LoopSocket(socket, self._receive)

    def close(self) -> None:
        for task in self._pending:
            task.cancel()
        self._socket.close()

    def _receive(self) -> None:
        route, _, *request = self._socket.socket.recv_multipart(zmq.NOBLOCK)
        # version, request id, domain, address, identity, mechanism, key
        if len(request) != 7 or request[0] != _VERSION or request[5] != b"CURVE":
            self._answer(route, request, None, _DENIED)
        elif len(self._pending) >= MAX_PENDING:
            self._answer(route, request, None, _FAILED)
        else:
            task = asyncio.get_running_loop().create_task(self._judge(route, request))
            self._pending.add(task)
            task.add_done_callback(self._pending.discard)

    async def _judge(self, route: bytes, request: list[bytes]) -> None:
        try:
            owner = await self._allow(zmq.utils.z85.encode(request[6]))
        except Exception:
            _log.exception("the allow list of CURVE keys failed; the connection is refused")
            self._answer(route, request, None, _FAILED)
            return
        if owner is None:
            where = request[3].decode("utf-8", "replace")
            self._denied("", "CONNECT", PermissionDenied(f"a connection from {where} with an unknown key"))
        self._answer(route, request, owner, _DENIED if owner is None else _ACCEPTED)

    def _answer(self, route: bytes, request: list[bytes], owner: str | None, status: bytes) -> None:
        socket = self._socket.socket
        if socket.closed:
            return
        sequence = request[1] if len(request) > 1 else b""
        answer = [route, b"", _VERSION, sequence, status, b"", (owner or "").encode(), b""]
        socket.send_multipart(answer, zmq.NOBLOCK)
        self._socket.drain()
