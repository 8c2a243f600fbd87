"""What an agent may see that the fleet file calls an observer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Protocol

from tandem.core.errors import PermissionDenied
from tandem.core.health import Issue
from tandem.errors import ErrorReport, Receipt

if TYPE_CHECKING:
    from tandem.events import Connection, Publisher
    from tandem.fleet.model import Fleet
    from tandem.security import Principal


class ErrorSource(Protocol):
    """See :class:`tandem.errors.feed.ErrorFeed`."""

    async def follow(self, handle: Callable[[list[ErrorReport]], Awaitable[None]]) -> None: ...

    def stored(self, since: float) -> AsyncIterator[list[ErrorReport]]: ...

    def issues(self) -> Iterable[Issue]: ...


def _nobody(_token: str) -> Principal:
    raise PermissionDenied("nobody can be recognised here")


class Observation:
    """Every error report of the fleet, who leans on whom, and the ways to see and hear the rest.

    ``needs`` is identity to identities, as the fleet file said when this agent started; ``fleet`` is all it said.
    ``relay`` puts a report about somebody else on the bus, as it came from a bus of another kind. ``connection`` and
    ``publisher`` reach this machine's event server with an observer's rights. ``authenticate`` says whose token it is
    (audience: this agent), or raises :class:`PermissionDenied`; ``epoch`` of a person rises when they are revoked. In a test fleet there are only errors and needs.
    """

    def __init__(
        self,
        needs: Mapping[str, list[str]],
        errors: ErrorSource,
        relay: Callable[[ErrorReport], Receipt],
        *,
        fleet: Fleet | None = None,
        connection: Connection | None = None,
        publisher: Publisher | None = None,
        authenticate: Callable[[str], Principal] = _nobody,
        epoch: Callable[[str], int] = lambda _name: 0,
    ):
        self.needs = needs
        self.errors = errors
        self.relay = relay
        self.fleet = fleet
        self.connection = connection
        self.publisher = publisher
        self.authenticate = authenticate
        self.epoch = epoch


def not_an_observer() -> Observation:
    """For all other agents."""
    raise PermissionDenied(
        "only an observer sees the whole fleet", hint="give it `observer: true` in the fleet file"
    )
