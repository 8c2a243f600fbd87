"""When many errors are one flood: pure, by the times of the reports themselves, so that a late replay judges alike."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tandem.errors.report import ErrorReport
from tandem.errors.severity import Severity

MAX_KEYS = 4096
"""Sources of floods watched at a time; the ones silent longest are forgotten first."""

FAMILIES: dict[str, frozenset[str]] = {
    "ConnectionError": frozenset(
        {
            "ConnectionError", "ConnectionRefusedError", "ConnectionResetError", "ConnectionAbortedError",
            "BrokenPipeError", "Unreachable", "PeerUnreachable", "CircuitOpen", "Draining",
        }
    ),
    "TimeoutError": frozenset({"TimeoutError", "DeadlineExceeded"}),
}  # fmt: skip
"""What a rule's type also stands for: Python's subclasses and our own errors of the same meaning."""


class FloodRule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``count`` errors within ``within_s`` seconds from one source are a flood.

    ``type`` and ``severity`` choose the errors (empty: any). ``throttle``: further ones are counted, not kept one by
    one. ``escalate``: whoever is next in line is told. ``per`` says what one source is.
    """

    count: Annotated[int, Meta(ge=1, le=100_000)]
    within_s: Annotated[float, Meta(gt=0, le=86_400)]
    then: Literal["throttle", "escalate"]
    type: str = ""
    severity: Severity | None = None
    per: Literal["agent", "machine", "fleet"] = "agent"

    def applies(self, report: ErrorReport) -> bool:
        if self.severity is not None and report.severity is not self.severity:
            return False
        return not self.type or report.type in FAMILIES.get(self.type, (self.type,))

    def source(self, report: ErrorReport) -> str:
        return {"agent": str(report.origin), "machine": report.machine, "fleet": ""}[self.per]

    def words(self) -> str:
        what = self.type or (f"{self.severity} errors" if self.severity else "errors")
        return f"{self.count} {what} in {self.within_s:g} s"


DEFAULT_RULES = (
    FloodRule(type="ConnectionError", count=10, within_s=60, then="throttle"),
    FloodRule(type="TimeoutError", count=5, within_s=30, then="throttle"),
    FloodRule(type="MemoryError", count=3, within_s=300, then="escalate"),
    FloodRule(severity=Severity.CRITICAL, count=5, within_s=60, then="escalate", per="fleet"),
)
"""The plans' rules (roster, system.infrastructure.nats.flood_rules)."""


class Verdict(Struct, frozen=True):
    """``throttled``: count it only. ``escalated``: the rule that has just been broken, in words; empty otherwise."""

    throttled: bool = False
    escalated: str = ""


class FloodWatch:
    """Remembers, per rule and source, when the last ``count`` errors happened."""

    def __init__(self, rules: Iterable[FloodRule] = DEFAULT_RULES):
        self._rules = tuple(rules)
        self._times: OrderedDict[tuple[int, str], deque[float]] = OrderedDict()

    def judge(self, report: ErrorReport) -> Verdict:
        """What to do with the next report."""
        throttled, escalated = False, ""
        for number, rule in enumerate(self._rules):
            if not rule.applies(report):
                continue
            times = self._window((number, rule.source(report)), rule.count)
            oldest = report.time - rule.within_s
            if rule.then == "throttle":
                throttled = throttled or (len(times) == rule.count and times[0] > oldest)
            times.extend([report.time] * min(report.count, rule.count))
            if rule.then == "escalate" and len(times) == rule.count and times[0] > oldest:
                escalated = rule.words()
                # The next escalation takes a whole new flood.
                times.clear()
        return Verdict(throttled, escalated)

    def _window(self, key: tuple[int, str], count: int) -> deque[float]:
        times = self._times.setdefault(key, deque(maxlen=count))
        self._times.move_to_end(key)
        if len(self._times) > MAX_KEYS:
            self._times.popitem(last=False)
        return times
