"""What an agent class declares: its actions, subscriptions and timers.

The decorators only mark methods; :func:`declarations` reads the marks of a class once.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import lru_cache
from typing import Any, TypeVar, overload

from msgspec import Struct

from tandem.core.errors import ConfigError
from tandem.events import Event

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__tandem_marks__"

RESERVED = frozenset({"start", "stop", "check", "peer", "publish", "spawn", "cache", "directory", "report_error", "observe"})
"""Names the platform or the base class uses."""


class ActionMark(Struct, frozen=True):
    """The method answers calls of the action ``name``. ``idempotent`` allows callers to retry it blindly."""

    name: str
    method: str
    idempotent: bool = False


class EventMark(Struct, frozen=True):
    """The method handles events of one type."""

    event: type[Event]


class TimerMark(Struct, frozen=True):
    """The method runs every ``period_s`` seconds, first after one period; runs never overlap."""

    period_s: float


Mark = ActionMark | EventMark | TimerMark


class Declarations(Struct, frozen=True):
    """Marks of a class: actions by their names, the others with the name of their method."""

    actions: dict[str, ActionMark]
    subscriptions: list[tuple[str, EventMark]]
    timers: list[tuple[str, TimerMark]]


def _add_mark(func: F, mark: Mark) -> F:
    func.__dict__.setdefault(_MARK, []).append(mark)
    return func


@overload
def action(func: F) -> F: ...
@overload
def action(*, idempotent: bool = False, name: str = "") -> Callable[[F], F]: ...
def action(
    func: F | None = None, *, idempotent: bool = False, name: str = ""
) -> F | Callable[[F], F]:
    """Answer calls by this coroutine method, or stream by this async generator method.

    ``name`` is what callers say when it cannot be the method's own name, which ``start``, ``stop`` and ``check`` are
    not free to be.
    """

    def mark(inner: F) -> F:
        return _add_mark(inner, ActionMark(name or inner.__name__, inner.__name__, idempotent))

    return mark if func is None else mark(func)


def on(event: type[Event]) -> Callable[[F], F]:
    """Handle every event of this type, whichever machine announced it; at least once, so make it idempotent."""
    return lambda func: _add_mark(func, EventMark(event))


def every(
    *, seconds: float = 0, minutes: float = 0, hours: float = 0
) -> Callable[[Callable[[Any], Awaitable[None]]], Callable[[Any], Awaitable[None]]]:
    """Run this coroutine method periodically.

    Raises ``ValueError`` when the period is not positive.
    """
    period = timedelta(seconds=seconds, minutes=minutes, hours=hours).total_seconds()
    if period <= 0:
        raise ValueError("@every needs a positive period, for example @every(minutes=5)")
    return lambda func: _add_mark(func, TimerMark(period))


def is_idempotent(func: Callable[..., Any]) -> bool:
    """Whether a method (of an agent or of a contract) is marked ``@action(idempotent=True)``."""
    return any(isinstance(mark, ActionMark) and mark.idempotent for mark in getattr(func, _MARK, ()))


def declarations(cls: type) -> Declarations:
    """Everything ``cls`` and its bases declare; an overriding method keeps the marks it repeats, not inherited ones.

    Raises :class:`ConfigError` when an action takes the place of a method the platform calls.
    """
    return _declared_by(cls)


@lru_cache(maxsize=1024)
def _declared_by(cls: type[Any]) -> Declarations:
    found = Declarations({}, [], [])
    for name, member in inspect.getmembers(cls, callable):
        for mark in getattr(member, _MARK, ()):
            match mark:
                case ActionMark() if name in RESERVED:
                    raise ConfigError(
                        f"{cls.__name__}.{name} is called by the platform and cannot be an action",
                        hint=f'name the method otherwise and mark it @action(name="{name}")',
                    )
                case ActionMark():
                    found.actions[mark.name] = mark
                case EventMark():
                    found.subscriptions.append((name, mark))
                case TimerMark():
                    found.timers.append((name, mark))
    return found
