"""The page for a tired engineer: what stops it, what will bite, what is ugly, and agent by agent."""

from __future__ import annotations

from collections import Counter, defaultdict

from msgspec import Struct

from tandem.audit.baseline import Trend
from tandem.audit.entries import script
from tandem.audit.fleet.shapes import Declared
from tandem.audit.model import Finding, Severity
from tandem.audit.scan import Audit

HEADINGS = {
    Severity.ERROR: "What stops it from starting",
    Severity.WARNING: "What will bite",
    Severity.NOTE: "What is ugly",
}
_FATAL = frozenset({"syntax-error", "config-missing-script", "config-dependency-cycle", "config-unreadable"})
"""Rules whose errors keep a whole process from starting, wherever in its files they stand."""


class AgentSummary(Struct, frozen=True, kw_only=True):
    """One declared agent. ``blocked`` are the places of what keeps it from starting, its own and what it imports."""

    name: str
    machine: str
    script: str
    starts: bool
    blocked: list[str]
    errors: int
    warnings: int
    notes: int


class Summary(Struct, frozen=True, kw_only=True):
    """The audit in numbers. ``seconds`` is wall-clock time; ``reused`` files came from the cache."""

    root: str
    files: int
    lines: int
    seconds: float
    reused: int
    errors: int
    warnings: int
    notes: int
    fixable: int
    rules: dict[str, int]
    agents: list[AgentSummary]
    skipped: list[str]
    notices: list[str]
    trend: Trend | None = None


def summarise(audit: Audit, trend: Trend | None = None) -> Summary:
    """Count everything, for the tree and for each agent its configurations declare."""
    by_severity = Counter(finding.severity for finding in audit.findings)
    return Summary(
        root=str(audit.root),
        files=audit.files,
        lines=audit.lines,
        seconds=round(audit.seconds, 3),
        reused=audit.reused,
        errors=by_severity[Severity.ERROR],
        warnings=by_severity[Severity.WARNING],
        notes=by_severity[Severity.NOTE],
        fixable=sum(finding.fixable for finding in audit.findings),
        rules=dict(Counter(finding.rule for finding in audit.findings).most_common()),
        agents=_agents(audit),
        skipped=[f"{item.path}: {item.reason}" for item in audit.skipped],
        notices=audit.notices,
        trend=trend,
    )


def _agents(audit: Audit) -> list[AgentSummary]:
    by_path: dict[str, list[Finding]] = defaultdict(list)
    for finding in audit.findings:
        by_path[finding.path].append(finding)
    owned = _config_findings(audit, by_path)
    entries: dict[tuple[str, str], list[Declared]] = {}
    for agent in audit.project.declared:
        entries.setdefault((agent.name, agent.machine), []).append(agent)
    return [_agent(audit, agents, by_path, owned) for agents in entries.values()]


def _agent(
    audit: Audit,
    agents: list[Declared],
    by_path: dict[str, list[Finding]],
    owned: dict[tuple[str, int], list[Finding]],
) -> AgentSummary:
    """One agent of one machine, however many files declare it."""
    project = audit.project
    declared = [finding for agent in agents for finding in owned[agent.path, agent.spot.line]]
    named = [(agent, agent.script.text) for agent in agents if agent.script is not None]
    paths = {path for agent, text in named if (path := script(project, text, agent.path)) is not None}
    loaded = {item for path in paths for item in project.entries.loads.get(path, frozenset({path}))}
    own = [*(finding for path in sorted(paths) for finding in by_path.get(path, ())), *declared]
    fatal = [
        finding
        for item in sorted(loaded)
        for finding in by_path.get(item, ())
        if _is_fatal(finding, item in paths)
    ]
    fatal += [finding for finding in declared if finding.severity is Severity.ERROR]
    fatal.sort(key=lambda finding: finding.rule not in _FATAL)
    counts = Counter(finding.severity for finding in own)
    return AgentSummary(
        name=agents[0].name,
        machine=agents[0].machine,
        script=min(paths, default=named[0][1] if named else ""),
        starts=not fatal,
        blocked=[f"{finding.path}:{finding.line} {finding.rule}" for finding in fatal],
        errors=counts[Severity.ERROR],
        warnings=counts[Severity.WARNING],
        notes=counts[Severity.NOTE],
    )


def _is_fatal(finding: Finding, own: bool) -> bool:
    return finding.severity is Severity.ERROR and (own or finding.rule in _FATAL)


def _config_findings(audit: Audit, by_path: dict[str, list[Finding]]) -> dict[tuple[str, int], list[Finding]]:
    """(configuration, first line of an agent) → the findings within that agent's lines."""
    owned: dict[tuple[str, int], list[Finding]] = defaultdict(list)
    for file in audit.project.fleet_files:
        starts = sorted(agent.spot.line for agent in file.agents)
        for finding in by_path.get(file.path, ()):
            above = [line for line in starts if line <= finding.line]
            if above:
                owned[file.path, above[-1]].append(finding)
    return owned
