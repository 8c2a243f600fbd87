"""What a flood of related errors becomes: one thing to look at, with its probable cause in words."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from msgspec import Struct

from tandem.core.ids import AgentId
from tandem.errors.report import DEATHS, ErrorReport
from tandem.errors.severity import Severity

MAX_LISTED = 200
"""Agents, aliases and types an incident lists; counts go on beyond."""

MAX_TRACES = 50
NAMED = 3
"""Agents named in a title."""

SKEW_S = 5.0
"""What another hub did so long before our first report of an incident may be about it: clocks and links differ."""

RootKind = Literal["died", "unreachable", "machine", "error"]
Verb = Literal["ack", "snooze", "resolve", "reopen"]


class State(StrEnum):
    """``snoozed`` becomes open again at its time; ``merged`` was found to be a part of another incident."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    SNOOZED = "snoozed"
    RESOLVED = "resolved"
    MERGED = "merged"


LIVE = frozenset({State.OPEN, State.ACKNOWLEDGED, State.SNOOZED})
"""States in which further errors belong to the incident."""


_DECIDED = {"ack": State.ACKNOWLEDGED, "snooze": State.SNOOZED, "resolve": State.RESOLVED, "reopen": State.OPEN}


class Judgement(Struct, frozen=True, kw_only=True):
    """What a person decided, at Unix time ``at``, about the incident of ``key`` whose first error was at ``since``.

    ``until``: Unix seconds, for ``snooze``.
    """

    key: str
    verb: Verb
    by: str
    at: float
    since: float = 0.0
    until: float | None = None
    note: str = ""


class Root(Struct):
    """The probable cause: what happened to ``agent`` (an identity; a machine's name for ``machine``), at Unix ``time``."""

    kind: RootKind
    agent: str
    type: str
    message: str
    time: float


class Incident(Struct, kw_only=True):
    """Times are Unix seconds. ``key`` names the cause and is the same on every hub and after every recurrence.

    ``aliases`` are further keys whose errors belong here. ``count`` includes the ``suppressed`` ones, which a flood
    rule kept from being stored one by one. ``agents`` and ``types`` count errors. ``first_effect``: when the first
    agent other than the cause was hit. ``escalated`` names the broken rule. ``critical_since``: when it became critical.
    """

    id: str
    key: str
    root: Root
    severity: Severity
    first: float
    last: float
    state: State = State.OPEN
    count: int = 0
    suppressed: int = 0
    agents: dict[str, int] = {}
    types: dict[str, int] = {}
    aliases: list[str] = []
    traces: list[str] = []
    first_effect: float | None = None
    escalated: str = ""
    critical_since: float | None = None
    until: float | None = None
    by: str = ""
    note: str = ""
    changed: float = 0.0
    merged_into: str = ""
    latest: ErrorReport | None = None

    @property
    def keys(self) -> list[str]:
        return [self.key, *self.aliases]

    @property
    def affected(self) -> list[str]:
        """Agents hit by it, other than the cause."""
        return [agent for agent in self.agents if agent != self.root.agent]

    def add(self, report: ErrorReport, *, throttled: bool = False) -> None:
        """Count one report of this cause."""
        origin = str(report.subject)
        self.count += report.count
        self.suppressed += report.count if throttled else 0
        self.first, self.last = min(self.first, report.time), max(self.last, report.time)
        if origin in self.agents or len(self.agents) < MAX_LISTED:
            self.agents[origin] = self.agents.get(origin, 0) + report.count
        if report.type in self.types or len(self.types) < MAX_LISTED:
            self.types[report.type] = self.types.get(report.type, 0) + report.count
        if report.trace_id and report.trace_id not in self.traces:
            self.traces = [*self.traces[-MAX_TRACES + 1 :], report.trace_id]
        if origin != self.root.agent:
            self.first_effect = min(self.first_effect or report.time, report.time)
        self._worsen(report.severity, report.time)
        if not throttled and (self.latest is None or report.time >= self.latest.time):
            self.latest = report

    def meant_by(self, judgement: Judgement) -> bool:
        """Whether a decision is about this incident, and not about one of the same cause before or after it."""
        began_before = self.first <= judgement.at + SKEW_S
        return judgement.key in self.keys and began_before and self.last >= judgement.since

    def judge(self, judgement: Judgement) -> bool:
        """Do what was decided; False when something later has been decided already."""
        if self.changed > judgement.at:
            return False
        self.state = _DECIDED[judgement.verb]
        self.until = judgement.until if judgement.verb == "snooze" else None
        self.by, self.note, self.changed = judgement.by, judgement.note, judgement.at
        return True

    def alias(self, key: str) -> bool:
        """Let errors under ``key`` belong here too; False when it did before."""
        if key in self.keys or len(self.aliases) >= MAX_LISTED:
            return False
        self.aliases.append(key)
        return True

    def absorb(self, other: Incident) -> None:
        """Take over what was counted as an incident of its own."""
        self.count += other.count
        self.suppressed += other.suppressed
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        for into, counts in ((self.agents, other.agents), (self.types, other.types)):
            for name, count in counts.items():
                into[name] = into.get(name, 0) + count
        for key in other.keys:
            self.alias(key)
        self.traces = [*self.traces, *other.traces][-MAX_TRACES:]
        effects = [time for time in (self.first_effect, other.first_effect) if time is not None]
        if other.root.agent != self.root.agent:
            effects.append(other.first)
        self.first_effect = min(effects, default=None)
        self._worsen(other.severity, other.critical_since or other.last)
        self.escalated = self.escalated or other.escalated
        if self.latest is None or (other.latest is not None and other.latest.time > self.latest.time):
            self.latest = other.latest

    def _worsen(self, severity: Severity, time: float) -> None:
        if severity.rank > self.severity.rank:
            self.severity = severity
        if self.severity is Severity.CRITICAL and self.critical_since is None:
            self.critical_since = time

    def title(self) -> str:
        """The probable cause and its reach, in one sentence."""
        others = self.affected
        match self.root.kind:
            case "died":
                deaths = sum(self.types.get(kind, 0) for kind in DEATHS)
                return f"{self.root.agent} {_end_of(self.root)}{self._consequences(others) or self._times(deaths, self.root.time)}"
            case "unreachable":
                return f"{_agents(others)} cannot reach {self.root.agent}{self._times(self.count, self.last)}"
            case "machine":
                died = len([alias for alias in self.aliases if alias.startswith("agent:")])
                return f"{died} processes of {self.root.agent} ended within seconds: the machine, its memory or what they share"
            case _:
                also = f", also in {_named(others)}" if others else ""
                said = f": {self.root.message}" if self.root.message else ""
                return f"{self.root.type} in {self.root.agent}{also}{said}{self._times(self.count, self.last)}"

    def _consequences(self, others: list[str]) -> str:
        if not others:
            return ""
        later = max(0.0, (self.first_effect or self.root.time) - self.root.time)
        need = "needs" if len(others) == 1 else "need"
        return f"; {_agents(others)} that {need} it failed, the first {later:.1f} s later"

    def _times(self, count: int, until: float) -> str:
        return f" ({count} times in {_span(max(0.0, until - self.first))})" if count > 1 else ""


def _end_of(root: Root) -> str:
    how = root.message.partition("; it last said: ")
    words = {"StartTimeout": "was not ready in time", "Unresponsive": "did not answer and was killed"}
    # Who is killed by force has no say in it; what it did last is with the report.
    said = f', last saying "{how[2][:120]}"' if how[2] and "SIGKILL" not in how[0] else ""
    return f"{words.get(root.type) or f'died ({how[0]})'}{said}"


def _agents(agents: list[str]) -> str:
    if len(agents) == 1:
        return agents[0]
    return f"{len(agents)} agents ({_named(agents)})"


def _named(agents: list[str]) -> str:
    names = [AgentId(agent).name for agent in agents[:NAMED]]
    return ", ".join(names) + (f" and {len(agents) - NAMED} more" if len(agents) > NAMED else "")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
