"""Contracts: the interface by which one agent knows another.

A contract is a ``Protocol`` whose methods have the signatures of the peer's actions. Callers import the
contract, never the agent: it carries the types that validate arguments and results at both ends, and
editors and the type checker see real methods::

    @contract("NLUAgent")
    class NLU(Protocol):
        async def analyze(self, text: str, language: str = "en") -> Analysis: ...
        def partials(self) -> AsyncIterator[Partial]: ...   # an async generator is a stream
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

_ATTRIBUTE = "__tandem_agent__"


def contract(agent: str) -> Callable[[type[T]], type[T]]:
    """Declare a Protocol as the interface of the agent called ``agent``."""

    def declare(cls: type[T]) -> type[T]:
        setattr(cls, _ATTRIBUTE, agent)
        return cls

    return declare


def agent_of(cls: type) -> str:
    """The name of the agent a contract belongs to.

    Raises ``TypeError`` for a class that is no contract.
    """
    name = cls.__dict__.get(_ATTRIBUTE)
    if not isinstance(name, str):
        raise TypeError(f"{cls.__qualname__} is not a contract: decorate it with @contract('AgentName')")
    return name
