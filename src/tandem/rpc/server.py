"""Answers calls on any number of listeners."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tandem.core.errors import PermissionDenied
from tandem.core.ids import new_id
from tandem.rpc.calls import base_context, draining
from tandem.rpc.channel import Channel
from tandem.rpc.handlers import Handler, prepare
from tandem.rpc.interfaces import Limits, Observer, Silent
from tandem.rpc.remembered import CallMemory
from tandem.rpc.session import Authenticate, Permit, Session, Shared
from tandem.rpc.transports.memory import MemoryNetwork
from tandem.security.model import CurveKeys, Principal

if TYPE_CHECKING:
    from tandem.rpc.transports.zap import Allow


class Listener(Protocol):
    """Accepts connections until told otherwise."""

    async def stop_accepting(self) -> None:
        """New callers are no longer taken if the transport can do that; those connected stay."""
        ...

    async def close(self) -> None:
        """Release everything."""
        ...


class Server:
    """One service's actions, answered on every listener it is given.

    A task per call; the caller's remaining budget becomes the handler's deadline and cancels it when it passes.
    ``authenticate`` turns the token of a HELLO into a principal or raises ``PermissionDenied``; without it callers
    are anonymous, which suits tests only. ``local`` does the same for a caller on a unix socket that has no token,
    from the user id the kernel reports (SO_PEERCRED), and raises likewise. ``permit`` is asked before each call and
    raises ``PermissionDenied`` when the principal it is made for may not. Handlers may find the caller with
    :func:`tandem.rpc.current_principal`.
    """

    def __init__(
        self,
        service: str,
        handlers: Mapping[str, Handler],
        *,
        authenticate: Authenticate | None = None,
        local: Callable[[int], Principal] | None = None,
        permit: Permit | None = None,
        observer: Observer | None = None,
        limits: Limits | None = None,
    ):
        limits = limits or Limits()
        self._shared = Shared(
            service=str(service),
            # Never reused: callers take it as the promise that earlier call ids are still remembered.
            instance=new_id(),
            actions={name: prepare(handler) for name, handler in handlers.items()},
            authenticate=authenticate,
            local=local,
            permit=permit,
            observer=observer or Silent(),
            limits=limits,
            context=base_context(),
            memory=CallMemory(limits.remembered_calls, limits.remembered_bytes, limits.remembered_s),
        )
        self._sessions: set[Session] = set()
        self._listeners: list[Listener] = []
        self._left = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Calls and streams being worked on."""
        return self._shared.in_flight

    @property
    def connections(self) -> int:
        """Connections held."""
        return sum(session.connected for session in self._sessions)

    async def listen_memory(self, network: MemoryNetwork, address: str) -> None:
        """Answer under ``address`` within this process; raises ``ConfigError`` when it is taken."""
        self._listeners.append(network.listen(address, self._accept))

    async def listen_unix(self, where: socket.socket | Path | str) -> None:
        """Answer on a stream socket: a listening one that somebody else keeps, or a path of our own (mode 0600).

        Raises :class:`~tandem.core.errors.ConfigError` when the path is too long or in use.
        """
        from tandem.rpc.transports.unix import UnixListener

        self._listeners.append(await UnixListener.open(where, self._accept))

    async def listen_zmq(
        self,
        *,
        endpoint: str,
        fd: int | None = None,
        keys: CurveKeys | None,
        allow: Allow | None = None,
    ) -> str:
        """Answer on a ROUTER socket at ``endpoint`` (``tcp://host:port``) and return the endpoint bound.

        A listening descriptor ``fd`` of that address becomes ours and is used instead of binding anew.

        ``allow`` finds the principal a caller's Z85 public key belongs to (empty: any), or None to refuse it;
        without ``allow`` every holder of our public key is let in and only its token counts. Raises
        :class:`~tandem.core.errors.ConfigError` without ``keys`` on anything but loopback, or when the port is taken.
        """
        from tandem.rpc.transports.zmq import ZmqListener

        denied = self._shared.observer.on_denied
        listener = await ZmqListener.open(endpoint, self._accept, fd=fd, keys=keys, allow=allow, denied=denied)
        self._listeners.append(listener)
        return listener.endpoint

    def disconnect(self, revoked: Callable[[Principal], bool]) -> int:
        """End the connections and running calls of every principal ``revoked`` is true for; returns how many."""
        affected = [s for s in self._sessions if s.principal is not None and revoked(s.principal)]
        for session in affected:
            session.expel(PermissionDenied("the caller's identity was revoked"))
        return len(affected)

    async def drain(self, grace_s: float) -> None:
        """Take no more calls and let the running ones finish, for at most ``grace_s`` seconds.

        Callers are told to go elsewhere; streams without a deadline are ended, since they would never finish. Returns
        when every caller has hung up: only they know that no call of theirs is still on its way to us.
        """
        self._shared.accepting = False
        await asyncio.gather(*(listener.stop_accepting() for listener in self._listeners))
        for session in list(self._sessions):
            session.drain()
        try:
            async with asyncio.timeout(grace_s):
                while any(session.in_use for session in self._sessions):
                    self._left.clear()
                    await self._left.wait()
        except TimeoutError:
            pass

    async def close(self) -> None:
        """End running calls with ``Draining`` and release every connection and listener."""
        self._shared.accepting = False
        await asyncio.gather(*(listener.stop_accepting() for listener in self._listeners))
        stopped = [call.finished() for session in self._sessions for call in session.calls]
        for session in list(self._sessions):
            session.stop_calls(draining(self._shared.service))
        await asyncio.gather(*stopped)
        for session in list(self._sessions):
            session.close()
        await asyncio.gather(*(listener.close() for listener in self._listeners))
        self._listeners.clear()

    def _accept(self, channel: Channel) -> Session:
        session = Session(self._shared, channel, self._forget)
        self._sessions.add(session)
        return session

    def _forget(self, session: Session) -> None:
        self._sessions.discard(session)
        self._left.set()
