"""From an agent that cannot be kept alive to its group, and from there to the operator; pure.

As in Erlang's supervisors, who is over its restart intensity is given to the next level: its group is restarted as a
whole, since what it dies of may sit in a neighbour. Unlike there nothing above is torn down when that does not help:
the agent rests behind its open breaker, is tried again at the slowest pace, and the operator is told once.
``docs/lifecycle.md`` is generated from ``LADDER``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from tandem.supervise.lifecycle import Breaker

CALM_S = 600.0
"""A group that had an alarm within this time is not restarted for another one. Every alarm begins it anew."""


class Level(StrEnum):
    """Who is to deal with it."""

    GROUP = "its group"
    OPERATOR = "the operator"


class Before(StrEnum):
    """What has been done about this agent so far."""

    NOTHING = "nothing yet, or it has been well since"
    GROUP = "its group was restarted"
    OPERATOR = "the operator was told"


class Ground(StrEnum):
    """What its group is like."""

    CALM = "calm: no alarm within ten minutes"
    ALARMED = "alarmed: one within ten minutes"
    BARRED = "not to be restarted"


LADDER: dict[tuple[Before, Ground], Level | None] = {
    (Before.NOTHING, Ground.CALM): Level.GROUP,
    (Before.NOTHING, Ground.ALARMED): Level.OPERATOR,
    (Before.NOTHING, Ground.BARRED): Level.OPERATOR,
    (Before.GROUP, Ground.CALM): Level.OPERATOR,
    (Before.GROUP, Ground.ALARMED): Level.OPERATOR,
    (Before.GROUP, Ground.BARRED): Level.OPERATOR,
    (Before.OPERATOR, Ground.CALM): None,
    (Before.OPERATOR, Ground.ALARMED): None,
    (Before.OPERATOR, Ground.BARRED): None,
}
"""The whole escalation; None: whoever must know knows already."""


class Alarm(Struct, frozen=True):
    """The last alarm of one agent, raised by the death of ``instance``.

    ``at``: monotonic seconds; ``why``: why it went to that level, in words.
    """

    at: float
    instance: str
    group: str
    level: Level
    deaths: int
    why: str = ""


class Book(Struct, frozen=True):
    """Alarms by agent."""

    alarms: Mapping[str, Alarm] = {}

    def is_calm(self, group: str, now: float) -> bool:
        return not any(a.group == group and now - a.at < CALM_S for a in self.alarms.values())


class Trouble(Struct, frozen=True, kw_only=True):
    """An agent that is over its restart intensity. ``was``: its breaker until now.

    ``bar``: why its group cannot be restarted, in words; empty when it can.
    """

    agent: str
    instance: str
    group: str
    deaths: int
    was: Breaker
    bar: str = ""


def escalate(book: Book, trouble: Trouble, now: float) -> tuple[Book, Alarm | None]:
    """Who is to be told of ``trouble`` at ``now`` (monotonic seconds), and the book with that in it."""
    before = _before(book.alarms.get(trouble.agent), trouble.was)
    ground = _ground(book, trouble, now)
    level = LADDER[before, ground]
    if level is None:
        return book, None
    why = "" if level is Level.GROUP else _why(before, ground, trouble)
    alarm = Alarm(now, trouble.instance, trouble.group, level, trouble.deaths, why)
    return replace(book, alarms={**book.alarms, trouble.agent: alarm}), alarm


def _before(last: Alarm | None, was: Breaker) -> Before:
    if last is None or was is Breaker.CLOSED:
        return Before.NOTHING
    return Before.GROUP if last.level is Level.GROUP else Before.OPERATOR


def _ground(book: Book, trouble: Trouble, now: float) -> Ground:
    if trouble.bar:
        return Ground.BARRED
    return Ground.CALM if book.is_calm(trouble.group, now) else Ground.ALARMED


def _why(before: Before, ground: Ground, trouble: Trouble) -> str:
    if before is Before.GROUP:
        return f"restarting its group {trouble.group} did not help"
    if ground is Ground.BARRED:
        return trouble.bar
    return f"its group {trouble.group} had another alarm within {CALM_S / 60:.0f} minutes"
