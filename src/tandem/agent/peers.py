"""Peers as objects: a method call becomes a request, typed by the contract."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from tandem.agent.contract import agent_of
from tandem.agent.declare import is_idempotent
from tandem.rpc import Peers, call_signature


class PeerProxies:
    """Makes and remembers one proxy per peer and contract."""

    def __init__(self, peers: Peers):
        self._peers = peers
        self._made: dict[tuple[type | str, str | None], Any] = {}

    def proxy(self, who: type | str, at: str | None = None) -> Any:
        """See :meth:`tandem.agent.Agent.peer`."""
        known = self._made.get((who, at))
        if known is None:
            known = UntypedPeer(self._peers, at or who) if isinstance(who, str) else _typed(self._peers, who, at)
            self._made[who, at] = known
        return known


class TypedPeer:
    """Has the contract's methods; the first use of each builds its call once."""

    def __init__(self, peers: Peers, contract: type, peer: str):
        self._peers = peers
        self._contract = contract
        self._peer = peer

    def __getattr__(self, name: str) -> Callable[..., Any]:
        function = getattr(self._contract, name, None)
        if name.startswith("_") or not callable(function):
            raise AttributeError(f"{self._contract.__name__} has no action {name!r}")
        signature = call_signature(function, name, is_idempotent(function))
        peers, peer = self._peers, self._peer
        carry = peers.iterate if signature.stream else peers.invoke

        def call(*args: Any, **kwargs: Any) -> Any:
            return carry(peer, signature, args, kwargs)

        # Later look-ups find the function itself and never come here again.
        self.__dict__[name] = call
        return call

    def __repr__(self) -> str:
        return f"<peer {self._peer} as {self._contract.__name__}>"


class UntypedPeer:
    """A peer without a contract: arguments by keyword, results as plain values."""

    def __init__(self, peers: Peers, peer: str):
        self._peers = peers
        self._peer = peer

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(**arguments: Any) -> Awaitable[Any]:
            return self._peers.call(self._peer, name, arguments)

        return call

    def stream(self, action: str, **arguments: Any) -> AsyncIterator[Any]:
        """Call an action that answers with a stream."""
        return self._peers.stream(self._peer, action, arguments)

    def __repr__(self) -> str:
        return f"<peer {self._peer}>"


def _typed(peers: Peers, contract: type, at: str | None) -> TypedPeer:
    own = agent_of(contract)
    # ``at`` may name a machine only: "the same agent, over there".
    peer = own if at is None else (own + at if at.startswith("@") else at)
    return TypedPeer(peers, contract, peer)
