"""Who may call what, once it is clear who calls."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tandem.core.errors import PermissionDenied
from tandem.security.model import Principal

OPEN_ACTIONS = frozenset({"health_check", "ping", "describe", "metrics"})
"""Every identity of the fleet may ask these of everybody: they tell how an agent is, not what it knows."""

OPERATOR: Final = "operator"
USER: Final = "user"
"""Words of ``allow:`` that stand for a kind of principal instead of an agent."""


class Guard:
    """The ``allow:`` of one agent. ``allowed`` holds identities ``Name@machine``, :data:`OPERATOR` and :data:`USER`;
    empty lets the whole fleet in. A machine's own node is always let in: it supervises."""

    def __init__(self, service: str, allowed: Iterable[str]) -> None:
        self._service = service
        self._allowed = frozenset(allowed)

    def __call__(self, caller: Principal, action: str) -> None:
        """Raises :class:`PermissionDenied` when ``caller`` may not call ``action``."""
        if not self._allowed or action in OPEN_ACTIONS or caller.kind == "node":
            return
        name = caller.name if caller.kind == "agent" else caller.kind
        if name not in self._allowed:
            raise PermissionDenied(
                f"{caller.name} may not call {action} of {self._service}",
                hint=f"the fleet file says who may: allow of {self._service.partition('@')[0]}",
            )
