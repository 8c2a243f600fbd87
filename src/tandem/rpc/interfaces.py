"""What RPC needs from others, and the plain types it shares with them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

from msgspec import Struct

from tandem.core.deadline import Deadline
from tandem.core.errors import TandemError, Unreachable

if TYPE_CHECKING:
    from tandem.rpc.breaker import BreakerState

TransportKind = Literal["memory", "unix", "zmq"]


class Endpoint(Struct, frozen=True):
    """Where one instance of a peer answers.

    ``address`` is a name (memory), a socket path (unix) or ``tcp://host:port`` (zmq); ``curve_public`` the peer's
    Z85 key (40 bytes), required between machines; ``instance`` the registry's name for the running process, or what
    tells a socket file from the next under its path;
    ``service`` the peer's full identity (``Name@machine``), for which the caller's token is made out. Without it that
    is the name the caller used.
    """

    kind: TransportKind
    address: str
    instance: str = ""
    curve_public: bytes = b""
    service: str = ""

    @classmethod
    def of_socket(cls, path: Path, service: str) -> Endpoint:
        """A neighbour's. While its socket cannot be seen the instance is empty; started after a stop it has a new one."""
        try:
            found = path.stat()
        except OSError:
            instance = ""
        else:
            instance = f"{found.st_ino}-{found.st_ctime_ns}"
        return cls("unix", str(path), instance, service=service)


class LinkCut(Unreachable):
    """The peer's whole machine is known to be out of reach."""


class Resolver(Protocol):
    """Finds peers by name (``Name`` or ``Name@machine``)."""

    async def resolve(self, peer: str, deadline: Deadline) -> Endpoint:
        """Raises :class:`~tandem.core.errors.NotFound` or :class:`~tandem.core.errors.Unreachable`, :class:`LinkCut` among them."""
        ...


class Observer(Protocol):
    """Told about calls and faults; its methods must neither block nor raise. Times are monotonic seconds."""

    def on_server_call(self, action: str, started: float, ended: float, error: BaseException | None) -> None:
        """A call was answered, or a stream ended."""
        ...

    def on_unhandled_error(self, action: str, error: BaseException) -> None:
        """An action raised something that is not a :class:`~tandem.core.errors.TandemError`."""
        ...

    def on_denied(self, who: str, action: str, error: TandemError) -> None:
        """Somebody was refused: a connection (``action`` is ``CONNECT`` or ``HELLO``) or one call. ``who`` is empty
        where nothing is proven."""
        ...

    def on_breaker(self, peer: str, state: BreakerState) -> None:
        """A peer's circuit breaker changed its state."""
        ...


class Silent:
    """An observer that looks away; derive from it to watch only some things."""

    def on_server_call(self, action: str, started: float, ended: float, error: BaseException | None) -> None:
        """Nothing to tell."""

    def on_unhandled_error(self, action: str, error: BaseException) -> None:
        """Nothing to tell."""

    def on_denied(self, who: str, action: str, error: TandemError) -> None:
        """Nothing to tell."""

    def on_breaker(self, peer: str, state: BreakerState) -> None:
        """Nothing to tell."""


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds of one server."""

    in_flight: int = 1024
    """Calls running at once; one more is answered with ``Overloaded``."""

    in_flight_per_connection: int = 256
    """Of which one connection may have this many."""

    remembered_calls: int = 4096
    """Results of non-idempotent calls kept for duplicates."""

    remembered_bytes: int = 16 * 1024 * 1024
    """Bytes of those results altogether."""

    remembered_s: float = 120.0
    """Seconds they are kept; far above any caller's time budget."""

    hello_s: float = 5.0
    """Seconds a connection may take to say HELLO."""

    connection_age_s: float = 6 * 3600.0
    """Seconds after which a connection is asked to reconnect, which presents a fresh token."""

    max_credit: int = 4096
    """Stream items a caller may ask to have on the way."""
