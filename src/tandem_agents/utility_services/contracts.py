"""Small helpers of MainPC."""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from tandem.agent import action, contract


class ResourceStats(Struct, frozen=True, kw_only=True):
    """``model`` answers; ``idle_s`` is how long nobody used it, None while it is not loaded."""

    model: str
    idle_s: float | None
    requests: int


@contract("TinyLlamaServiceEnhanced")
class QuickModel(Protocol):
    """Short completions by the smallest language model there is."""

    async def generate(self, prompt: str, max_tokens: int = 64) -> str:
        """A short completion by the smallest model there is."""
        ...

    @action(idempotent=True)
    async def ensure_loaded(self) -> str:
        """Warm it up; returns its id."""
        ...

    @action(idempotent=True)
    async def request_unload(self) -> int:
        """Free its memory; returns how many models were unloaded, 0 or 1."""
        ...

    @action(idempotent=True)
    async def resource_stats(self) -> ResourceStats:
        """Whether it is loaded, and how much it was used."""
        ...
