"""Which incidents a list shows, and in which order: pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from tandem.errors.incident import LIVE, Incident, State
from tandem.errors.severity import Severity

Wanted = Literal["live", "open", "acknowledged", "snoozed", "resolved", "all"]
"""``live``: open, acknowledged or snoozed."""

Order = Literal["began", "last", "errors", "severity"]
"""First come those that began last, had an error last, count most errors, or are worst."""

_STATES: dict[Wanted, frozenset[State]] = {
    "live": LIVE,
    "open": frozenset({State.OPEN}),
    "acknowledged": frozenset({State.ACKNOWLEDGED}),
    "snoozed": frozenset({State.SNOOZED}),
    "resolved": frozenset({State.RESOLVED}),
    "all": frozenset(State) - {State.MERGED},
}
_FIRST: dict[Order, Callable[[Incident], Any]] = {
    "began": lambda incident: -incident.first,
    "last": lambda incident: -incident.last,
    "errors": lambda incident: (-incident.count, -incident.last),
    "severity": lambda incident: (-incident.severity.rank, -incident.last),
}


MAX_WORDS = 200
"""Characters of :attr:`IncidentQuery.words`."""


class IncidentQuery(Struct, frozen=True, kw_only=True):
    """At most ``limit`` incidents of these states, at least so severe, that contain each of ``words`` in any case: in their
    cause, key, id, types, agents, caretaker or note. The first ``skip`` are left out.

    ``rows``: instead of these the incidents of these ids, in this order, whatever has become of them.
    ``since`` (Unix seconds): count those that began later.
    """

    words: Annotated[str, Meta(max_length=MAX_WORDS)] = ""
    state: Wanted = "live"
    severity: Severity = Severity.DEBUG
    order: Order = "began"
    skip: Annotated[int, Meta(ge=0)] = 0
    limit: Annotated[int, Meta(ge=1)] = 50
    rows: tuple[str, ...] = ()
    since: float | None = None

    @property
    def narrows(self) -> bool:
        """Whether words or a severity leave some out."""
        return bool(self.words.split()) or self.severity is not Severity.DEBUG

    @property
    def takes_ended(self) -> bool:
        """Whether incidents that are over may be among what it asks for."""
        return State.RESOLVED in _STATES[self.state]

    def of_state(self, incident: Incident) -> bool:
        return incident.state in _STATES[self.state]

    def matches(self, incident: Incident) -> bool:
        """Whether words and severity let it through, whatever its state."""
        if incident.severity.rank < self.severity.rank:
            return False
        words = self.words.casefold().split()
        if not words:
            return True
        text = _text(incident)
        return all(word in text for word in words)


def state_of(word: str) -> Wanted | None:
    """The choice of states a person names; None when there is none of that name."""
    return next((wanted for wanted in _STATES if wanted == word.lower()), None)


def ordered(incidents: Iterable[Incident], order: Order) -> list[Incident]:
    """In that order; those that are alike in it always in the same one."""
    return sorted(incidents, key=lambda incident: (_FIRST[order](incident), incident.id))


def _text(incident: Incident) -> str:
    parts = (incident.title(), incident.key, incident.id, incident.by, incident.note, *incident.types, *incident.agents)
    return "\n".join(parts).casefold()
