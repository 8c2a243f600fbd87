"""From reports to incidents, in memory: flood rules and correlation applied one report at a time."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tandem.errors.correlate import Correlator, Placement
from tandem.errors.flood import DEFAULT_RULES, FloodRule, FloodWatch
from tandem.errors.graph import Graph
from tandem.errors.incident import Incident, Root, State
from tandem.errors.report import ErrorReport


class Taken(Struct, frozen=True):
    """One report's fate: the incident it counts in, whether it is kept by itself, and incidents that ended in it."""

    incident: Incident
    report: ErrorReport
    throttled: bool
    merged: tuple[Incident, ...] = ()


class Engine:
    """The live incidents and what makes reports join them. Not for several threads at once."""

    def __init__(
        self, graph: Graph, rules: Iterable[FloodRule] = DEFAULT_RULES, live: Iterable[Incident] = ()
    ):
        self._flood = FloodWatch(rules)
        self._correlator = Correlator(graph, live)

    def take(self, report: ErrorReport) -> Taken:
        """Count ``report`` where it belongs."""
        verdict = self._flood.judge(report)
        placement = self._correlator.place(report)
        incident = self._incident(placement, report)
        merged = tuple(self._merge(incident, other) for other in placement.absorbed)
        for key in placement.aliases:
            incident.alias(key)
        incident.add(report, throttled=verdict.throttled)
        if verdict.escalated:
            incident.escalated = verdict.escalated
        self._correlator.learn(incident)
        return Taken(incident, report, verdict.throttled, merged)

    def live(self) -> list[Incident]:
        return self._correlator.live()

    def get(self, incident_id: str) -> Incident | None:
        """A live incident."""
        return self._correlator.get(incident_id)

    def changed(self, incident: Incident) -> None:
        """An operator or the clock has changed the state of ``incident``."""
        self._correlator.learn(incident)

    def _incident(self, placement: Placement, report: ErrorReport) -> Incident:
        incident = self._correlator.get(placement.into) if placement.into else None
        if incident is None:
            # All hubs hear of the same reports, and mostly in the same order: what one lists the others know by the same id.
            return Incident(
                id=report.id, key=placement.key, root=placement.root, severity=report.severity,
                first=report.time, last=report.time,
            )  # fmt: skip
        if placement.certain and _better(incident.root, placement.root):
            # Effects are told relative to this death from now on.
            if incident.root.kind == "died":
                incident.first_effect = None
            incident.root = placement.root
        return incident

    def _merge(self, into: Incident, other_id: str) -> Incident:
        other = self._correlator.get(other_id)
        assert other is not None
        self._correlator.forget(other)
        into.absorb(other)
        other.state, other.merged_into = State.MERGED, into.id
        return other


def _better(known: Root, suggested: Root) -> bool:
    """Whether ``suggested`` explains an incident better: a fact before a guess, the latest death, the earliest error."""
    if suggested.kind == "died":
        return known.kind == "unreachable" or (known.kind == "died" and suggested.time > known.time)
    return known.kind == "error" and suggested.time < known.time
