"""MainPC's gateway to memory, and the running conversation."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from tandem.agent import action, contract


class GatewayStatus(Struct, frozen=True, kw_only=True):
    """``waiting`` changes are on MainPC's disk until the store takes them; ``refused`` ones it did not take."""

    waiting: int
    refused: int
    away: str


@contract("MemoryClient")
class MemoryGateway(Protocol):
    """Besides every action of ``MemoryStore``."""

    @action(idempotent=True)
    async def status(self) -> GatewayStatus:
        """What waits for the store, and why."""
        ...

    @action(idempotent=True)
    async def reset_circuit_breaker(self) -> GatewayStatus:
        """Try to reach the store now, and hand over what waits."""
        ...


UNANSWERED = "unanswered"
"""Intent of a turn in which all that could be said was why there is no answer."""


class Interaction(Struct, frozen=True, kw_only=True):
    """One turn: what a person said and what was answered. ``at`` is Unix seconds."""

    said: str
    answer: str
    intent: str = ""
    turn: str = ""
    user: str = "you"
    at: float = 0.0


class Session(Struct, frozen=True, kw_only=True):
    """A conversation. ``memory`` is the id of its entry in the memory store."""

    name: str
    memory: str
    opened: float
    last: float
    turns: int


@contract("SessionMemoryAgent")
class Conversations(Protocol):
    """What was said lately, session by session."""

    @action(idempotent=True)
    async def create_session(self, name: str = "main") -> Session:
        """The open session of that name, new when there is none or it has gone stale."""
        ...

    async def add_interaction(self, session: str, interaction: Interaction) -> Session:
        """Append a turn; on disk when this returns."""
        ...

    @action(idempotent=True)
    async def get_context(self, session: str = "main", budget_tokens: int = 800) -> list[Interaction]:
        """The newest turns that fit into the budget, oldest first; a token is taken as four characters."""
        ...

    @action(idempotent=True)
    async def search_interactions(
        self, query: str, session: str = "", limit: int = 10
    ) -> list[Interaction]:
        """Turns that share words with the query, best first; of one session or of all."""
        ...

    async def forget_mentions(self, what: str) -> int:
        """Forget every turn that has all meaningful words of ``what``, and summaries of old ones that have.

        Returns how many went.
        """
        ...

    async def delete_session(self, session: str) -> int:
        """Forget it; returns how many memories went."""
        ...
