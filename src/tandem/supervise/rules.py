"""What a cell of the lifecycle's table is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from msgspec import Struct

from tandem.supervise.aftermath import Moment
from tandem.supervise.lifecycle import AgentState, Decision, Phase

Apply = Callable[[AgentState, Any, Moment], Decision]


class Rule(Struct, frozen=True):
    """One cell of the table. ``to`` lists every phase it may lead to; a property test holds it to that."""

    apply: Apply
    does: str
    to: tuple[Phase, ...]


def rule(*to: Phase) -> Callable[[Apply], Rule]:
    """Make a rule of a function; the first line of its docstring is what the manual says."""

    def wrap(function: Apply) -> Rule:
        return Rule(function, (function.__doc__ or "").strip().splitlines()[0], to)

    return wrap
