"""Decides which CURVE keys may connect (ZAP, https://rfc.zeromq.org/spec/27/)."""

from __future__ import annotations

import logging
from collections.abc import Callable

import zmq
import zmq.utils.z85

from tandem.rpc.transports.zmq_socket import LoopSocket, RawSocket

ADDRESS = "inproc://zeromq.zap.01"
DOMAIN = b"tandem"
_VERSION = b"1.0"
_ACCEPTED, _DENIED, _FAILED = b"200", b"400", b"500"

Allow = Callable[[bytes], str | None]
"""From a Z85 public key to the principal it belongs to (empty: any), or None to refuse it."""

_log = logging.getLogger(__name__)


class Gatekeeper:
    """Answers libzmq's question for every connection of one context; open it before any socket binds."""

    def __init__(self, context: zmq.Context[RawSocket], allow: Allow):
        self._allow = allow
        socket: RawSocket = context.socket(zmq.REP)
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind(ADDRESS)
        self._socket = LoopSocket(socket, self._receive)

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> None:
        socket = self._socket.socket
        request = socket.recv_multipart(zmq.NOBLOCK)
        owner, status = self._judge(request)
        user = (owner or "").encode()
        sequence = request[1] if len(request) > 1 else b""
        socket.send_multipart([_VERSION, sequence, status, b"", user, b""], zmq.NOBLOCK)

    def _judge(self, request: list[bytes]) -> tuple[str | None, bytes]:
        # version, request id, domain, address, identity, mechanism, key
        if len(request) != 7 or request[0] != _VERSION or request[5] != b"CURVE":
            return None, _DENIED
        try:
            owner = self._allow(zmq.utils.z85.encode(request[6]))
        except Exception:
            _log.exception("the allow list of CURVE keys failed; the connection is refused")
            return None, _FAILED
        return owner, _DENIED if owner is None else _ACCEPTED
