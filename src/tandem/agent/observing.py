"""What an agent may see that the fleet file calls an observer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Protocol

from tandem.core.errors import PermissionDenied
from tandem.core.health import Issue
from tandem.errors import ErrorReport, Receipt


class ErrorSource(Protocol):
    """See :class:`tandem.errors.feed.ErrorFeed`."""

    async def follow(self, handle: Callable[[list[ErrorReport]], Awaitable[None]]) -> None: ...

    def stored(self, since: float) -> AsyncIterator[list[ErrorReport]]: ...

    def issues(self) -> Iterable[Issue]: ...


class Observation:
    """Every error report of the fleet, and who leans on whom.

    ``needs`` is identity to identities, as the fleet file said when this agent started. ``relay`` puts a report about
    somebody else on the bus, as it came from a bus of another kind.
    """

    def __init__(
        self,
        needs: Mapping[str, list[str]],
        errors: ErrorSource,
        relay: Callable[[ErrorReport], Receipt],
    ):
        self.needs = needs
        self.errors = errors
        self.relay = relay


def not_an_observer() -> Observation:
    """For all other agents."""
    raise PermissionDenied(
        "only an observer sees the whole fleet", hint="give it `observer: true` in the fleet file"
    )
