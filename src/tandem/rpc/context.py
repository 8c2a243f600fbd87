"""What a handler may know about the call it serves."""

from __future__ import annotations

from contextvars import ContextVar

from tandem.security.model import Principal

principal_var: ContextVar[Principal | None] = ContextVar("tandem_principal", default=None)


def current_principal() -> Principal | None:
    """Who calls the action being handled; None outside of a call and on a server without authentication."""
    return principal_var.get()
