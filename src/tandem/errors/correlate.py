"""Which errors belong together: by whom they name, by who needs whom, by trace, and by time. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from tandem.core.ids import AgentId
from tandem.errors.fingerprint import fingerprint, likeness
from tandem.errors.flood import FAMILIES
from tandem.errors.graph import Graph
from tandem.errors.incident import LIVE, Incident, Root
from tandem.errors.report import DEATHS, PEER, ErrorReport

CASCADE_S = 10.0
"""An agent that fails within this time after one it needs probably fails because of it."""

CLOCKS_S = 2.0
"""Two machines' clocks may disagree by this much about what came first."""

OUTAGE_S = 60.0
"""How long after a death others may still fail for want of the dead one: the breaker's time to probe."""

TRACE_S = 120.0
ALIKE_S = 30.0
"""The same error in several agents within this time has one cause."""

TOGETHER_S = 2.0
MANY_DEATHS = 5
"""So many processes of one machine ending within ``TOGETHER_S`` have one cause, whichever ended first."""

CONSEQUENCES = (
    FAMILIES["ConnectionError"] | FAMILIES["TimeoutError"] | {"Unavailable", "RemoteError", "Overloaded"}
)
"""Types of errors that may be another agent's fault."""


class Placement(Struct, frozen=True):
    """Where a report belongs: to the live incident ``into``, or (None) to a new one named ``key``.

    ``root`` is the cause it suggests; ``certain`` makes it replace a mere guess. ``aliases`` are keys whose errors
    belong there from now on. ``absorbed`` are incidents this report shows to be consequences.
    """

    key: str
    root: Root
    into: str | None = None
    aliases: tuple[str, ...] = ()
    absorbed: tuple[str, ...] = ()
    certain: bool = False


class Correlator:
    """Knows the live incidents by every key they answer to. ``graph`` is the fleet's."""

    def __init__(self, graph: Graph, live: Iterable[Incident] = ()):
        self._graph = graph
        self._by_id: dict[str, Incident] = {}
        self._by_key: dict[str, str] = {}
        self._by_trace: dict[str, str] = {}
        for incident in live:
            self.learn(incident)

    def learn(self, incident: Incident) -> None:
        """``incident`` is new, or its keys, traces or state have changed."""
        if incident.state not in LIVE:
            self.forget(incident)
            return
        self._by_id[incident.id] = incident
        self._by_key.update(dict.fromkeys(incident.keys, incident.id))
        self._by_trace.update(dict.fromkeys(incident.traces, incident.id))

    def forget(self, incident: Incident) -> None:
        """``incident`` takes no more errors."""
        self._by_id.pop(incident.id, None)
        for index, names in ((self._by_key, incident.keys), (self._by_trace, incident.traces)):
            for name in names:
                if index.get(name) == incident.id:
                    del index[name]

    def live(self) -> list[Incident]:
        return list(self._by_id.values())

    def get(self, incident_id: str) -> Incident | None:
        return self._by_id.get(incident_id)

    def place(self, report: ErrorReport) -> Placement:
        """Where ``report`` belongs."""
        if report.type in DEATHS:
            return self._death(report)
        if report.type in CONSEQUENCES:
            placed = self._consequence(report)
            if placed is not None:
                return placed
        return self._own(report)

    # ---- deaths ----

    def _death(self, report: ErrorReport) -> Placement:
        agent = str(report.origin)
        key = f"agent:{agent}"
        root = Root("died", agent, report.type, report.message, report.time)
        consequences = tuple(
            incident.id for incident in self._by_id.values() if self._follows(incident, agent, report.time)
        )
        known = self._by_key.get(key)
        if known is not None:
            others = tuple(other for other in consequences if other != known)
            return Placement(key, root, known, absorbed=others, certain=True)
        cause = self._dead_upstream(agent, report.time, CASCADE_S)
        if cause is not None:
            return Placement(key, root, cause.id, aliases=(key,))
        together = self._dying_together(report)
        if together:
            machine = Root("machine", report.machine, report.type, report.message, report.time)
            into = self._by_key.get(f"machine:{report.machine}")
            absorbed = tuple(other for other in together if other != into)
            return Placement(f"machine:{report.machine}", machine, into, aliases=(key,), absorbed=absorbed)
        return Placement(key, root, absorbed=consequences)

    def _follows(self, incident: Incident, agent: str, died: float) -> bool:
        """Whether ``incident`` began as a consequence of ``agent`` dying, of which we hear only now."""
        root = incident.root
        return (
            root.kind in ("died", "unreachable")
            and root.agent != agent
            and agent in self._graph.upstream(root.agent)
            and -CLOCKS_S <= root.time - died <= CASCADE_S
        )

    def _dead_upstream(self, agent: str, time: float, within_s: float) -> Incident | None:
        """The incident of the latest death of something ``agent`` needs, shortly before ``time``."""
        found: Incident | None = None
        for needed in self._graph.upstream(agent):
            incident = self._by_id.get(self._by_key.get(f"agent:{needed}", ""))
            if incident is None or incident.root.kind != "died":
                continue
            since = time - incident.root.time
            if -CLOCKS_S <= since <= within_s and (found is None or incident.root.time > found.root.time):
                found = incident
        return found

    def _dying_together(self, report: ErrorReport) -> list[str]:
        """Incidents of processes of this machine that ended at the same time, when they are many."""
        near = [
            incident.id
            for incident in self._by_id.values()
            if incident.root.kind in ("died", "machine")
            and (AgentId(incident.root.agent).machine or incident.root.agent) == report.machine
            and abs(incident.root.time - report.time) <= TOGETHER_S
        ]
        already = self._by_key.get(f"machine:{report.machine}")
        return near if already in near or len(near) + 1 >= MANY_DEATHS else []

    # ---- errors about others ----

    def _consequence(self, report: ErrorReport) -> Placement | None:
        subject = self._subject(report)
        if subject is None:
            cause = self._dead_upstream(str(report.origin), report.time, CASCADE_S)
            return None if cause is None else Placement(cause.key, cause.root, cause.id)
        key = f"agent:{subject}"
        root = Root("unreachable", subject, report.type, report.message, report.time)
        known = self._by_key.get(key)
        if known is not None:
            return Placement(key, root, known)
        cause = self._dead_upstream(subject, report.time, OUTAGE_S)
        if cause is not None:
            return Placement(key, root, cause.id, aliases=(key,))
        return Placement(key, root)

    def _subject(self, report: ErrorReport) -> str | None:
        """The agent or server this error is about, when that is not the reporter."""
        peer = report.context.get(PEER)
        if isinstance(peer, str):
            return self._graph.resolve(peer, report.machine) or peer
        return self._graph.mentioned(report.message, report.origin)

    # ---- errors of one's own ----

    def _own(self, report: ErrorReport) -> Placement:
        key, like = f"error:{fingerprint(report)}", f"like:{likeness(report)}"
        root = Root("error", str(report.subject), report.type, report.message, report.time)
        known = self._by_key.get(key)
        if known is None and report.subject != report.origin:
            # What others foresee or give up about somebody whose trouble is known belongs to that.
            known = self._by_key.get(f"agent:{report.subject}")
        if known is not None:
            return Placement(key, root, known)
        traced = self._by_id.get(self._by_trace.get(report.trace_id, "")) if report.trace_id else None
        if traced is not None and abs(report.time - traced.last) <= TRACE_S:
            # Within one trace the error that was first made the others.
            earlier = traced.root.kind == "error" and report.time < traced.root.time
            return Placement(key, root, traced.id, aliases=(key,), certain=earlier)
        alike = self._by_id.get(self._by_key.get(like, ""))
        if alike is not None and abs(report.time - alike.last) <= ALIKE_S:
            return Placement(key, root, alike.id, aliases=(key,))
        return Placement(key, root, aliases=(like,))
