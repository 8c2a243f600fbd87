"""Errors that may cross a process boundary or reach a person.

Each class has a stable ``code`` that travels on the wire, so a caller on another machine catches the
same class the callee raised. ``hint`` says what to do about it and is shown to people as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

EX_CONFIG = 78
"""Exit status of a process whose configuration is wrong (``sysexits.h``); supervisors do not retry it."""


class TandemError(Exception):
    """Base of every error Tandem raises on purpose.

    ``retryable`` tells whether the same call may succeed later without anybody changing anything.
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str | None = None, details: Mapping[str, Any] | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details: dict[str, Any] = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(TandemError):
    """Something a person wrote is wrong; trying again changes nothing."""

    code = "config"


class InvalidArguments(TandemError):
    """An action was called with arguments that do not fit its signature."""

    code = "invalid_arguments"


class UnknownAction(TandemError):
    """The peer has no action of that name."""

    code = "unknown_action"


class NotFound(TandemError):
    """The thing asked for does not exist."""

    code = "not_found"


class PermissionDenied(TandemError):
    """The caller is not who it must be, or may not do this."""

    code = "permission_denied"


class DeadlineExceeded(TandemError):
    """The time budget of the call ran out."""

    code = "deadline_exceeded"
    retryable = True


class Unreachable(TandemError):
    """The peer cannot be reached: not running, link cut, or its circuit breaker is open."""

    code = "unreachable"
    retryable = True


class Overloaded(TandemError):
    """A bounded queue is full; the caller should slow down."""

    code = "overloaded"
    retryable = True


class Draining(TandemError):
    """The instance is on its way out; another one answers soon."""

    code = "draining"
    retryable = True


class Unavailable(TandemError):
    """The peer answers but lacks what this request needs, for example a model; ``hint`` names the mend."""

    code = "unavailable"
    retryable = True


class TooLarge(TandemError):
    """A message or a value exceeds its limit."""

    code = "too_large"


class Cancelled(TandemError):
    """The other side closed the stream or withdrew the call."""

    code = "cancelled"


class RemoteError(TandemError):
    """An unhandled exception in the callee; ``details['type']`` is its class name."""

    code = "remote"


_BY_CODE: dict[str, type[TandemError]] = {
    cls.code: cls
    for cls in (
        TandemError, ConfigError, InvalidArguments, UnknownAction, NotFound, PermissionDenied, DeadlineExceeded,
        Unreachable, Overloaded, Draining, Unavailable, TooLarge, Cancelled, RemoteError,
    )
}  # fmt: skip


def error_from_wire(
    code: str, message: str, hint: str | None = None, details: Mapping[str, Any] | None = None
) -> TandemError:
    """The error a peer reported, as the class that belongs to ``code`` (``TandemError`` for an unknown one)."""
    return _BY_CODE.get(code, TandemError)(message, hint=hint, details=details)
