"""Time budgets.

On the wire a budget is *remaining milliseconds*, because two computers' clocks never agree; on receipt
it becomes a monotonic deadline. A handler's own calls inherit what is left through a context variable.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec import Struct

from tandem.core import clock
from tandem.core.errors import DeadlineExceeded

DEFAULT_BUDGET_S = 5.0
"""Budget of a call whose caller set none and has none left over from its own caller."""


class Deadline(Struct, frozen=True):
    """A point on the monotonic clock (seconds)."""

    at: float

    @classmethod
    def after(cls, seconds: float) -> Deadline:
        return cls(clock.monotonic() + seconds)

    def remaining(self) -> float:
        """Seconds left; negative once it has passed."""
        return self.at - clock.monotonic()

    def remaining_ms(self) -> int:
        """Whole milliseconds left, at least 0, as they travel on the wire."""
        return max(0, int(self.remaining() * 1000))

    def require(self, what: str) -> float:
        """Seconds left, or :class:`DeadlineExceeded` naming ``what`` when there are none."""
        left = self.remaining()
        if left <= 0:
            raise DeadlineExceeded(f"no time left for {what}")
        return left


_current: ContextVar[Deadline | None] = ContextVar("tandem_deadline", default=None)


def current_deadline() -> Deadline | None:
    """The deadline of the request being handled, if any."""
    return _current.get()


def effective_deadline(timeout: float | None) -> Deadline:
    """The earlier of ``timeout`` seconds from now and the inherited deadline; the default budget without either."""
    inherited = _current.get()
    if timeout is None:
        return inherited or Deadline.after(DEFAULT_BUDGET_S)
    own = Deadline.after(timeout)
    return own if inherited is None or own.at < inherited.at else inherited


def enter_deadline(deadline: Deadline | None) -> None:
    """Make ``deadline`` the inherited one for the rest of the running task; :func:`deadline_scope` for a block."""
    _current.set(deadline)


@contextmanager
def deadline_scope(deadline: Deadline | None) -> Iterator[None]:
    """Make ``deadline`` the inherited one within the block."""
    token = _current.set(deadline)
    try:
        yield
    finally:
        _current.reset(token)
