"""An engine that may be missing: the agent starts all the same, and its health names the mend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from tandem.core.errors import TandemError, Unavailable
from tandem.core.health import Issue

RECHECK_S = 15.0
"""How often an agent should look again for an engine it lacks."""


class Closable(Protocol):
    async def close(self) -> None: ...


T = TypeVar("T", bound=Closable)


class EngineSlot(Generic[T]):
    """Holds one engine, or why there is none."""

    def __init__(self, opener: Callable[[], Awaitable[T]]):
        self._opener = opener
        self._engine: T | None = None
        self._problem: TandemError | None = None

    @property
    def loaded(self) -> bool:
        return self._engine is not None

    async def load(self) -> None:
        """Try to open the engine; a missing model or library is remembered, not raised."""
        try:
            self._engine, self._problem = await self._opener(), None
        except TandemError as error:
            self._problem = error

    async def look_again(self) -> None:
        """A model fetched or mended meanwhile is taken into use without a restart."""
        if self._problem is not None:
            await self.load()

    def get(self) -> T:
        """The engine. Raises :class:`Unavailable` with the mend as its hint."""
        if self._engine is None:
            problem = self._problem
            raise (
                Unavailable(problem.message, hint=problem.hint)
                if problem
                else Unavailable("the engine is still loading")
            )
        return self._engine

    def issues(self) -> list[Issue]:
        if self._problem is None:
            return []
        return [Issue(self._problem.message, fix=self._problem.hint or "", blocking=True)]

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.close()
