"""Ports in the configuration: conflicts, colliding health conventions, ranges."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from msgspec import Struct

from tandem.audit.fleet.shapes import Declared, Field
from tandem.audit.model import Finding, Rule, Severity
from tandem.audit.project import Project

HEALTH_OFFSET = 1000
"""Old fleets put an agent's health on its port + 1000."""
_LOWEST, _HIGHEST = 1024, 65535
"""Ports a program without privileges may listen on (IANA: system ports end at 1023)."""


class Claim(Struct, frozen=True):
    """One agent's wish for one port."""

    agent: Declared
    role: str
    field: Field
    port: int


def claims(agents: list[Declared]) -> Iterator[Claim]:
    """All ports a configuration asks for."""
    for agent in agents:
        named = (
            ("port", agent.port),
            ("health port", agent.health_port),
            *(("side port", field) for field in agent.ports),
        )
        for role, field in named:
            if field is not None and field.port is not None:
                yield Claim(agent, role, field, field.port)


def _conflicts(project: Project) -> Iterator[Finding]:
    taken: dict[tuple[str, int], Claim] = {}
    for claim in claims(project.declared):
        if claim.role != "port":
            continue
        first = taken.setdefault((claim.agent.machine, claim.port), claim)
        if first is not claim and (first.agent.name, first.agent.path) != (
            claim.agent.name,
            claim.agent.path,
        ):
            if first.agent.name == claim.agent.name:
                continue
            yield CONFLICT.at(
                claim.agent.path, claim.field.spot.line, claim.field.spot.column,
                f"port {claim.port} of {claim.agent.name} is also {_whose(first, claim)} on {claim.agent.machine}",
            )  # fmt: skip


def _whose(first: Claim, other: Claim) -> str:
    place = (
        f"line {first.field.spot.line}"
        if first.agent.path == other.agent.path
        else f"{first.agent.path}:{first.field.spot.line}"
    )
    return f"the {first.role} of {first.agent.name} ({place})"


def _health(project: Project) -> Iterator[Finding]:
    """A health or side port that meets another port on the same machine, declared or by convention."""
    by_machine: dict[str, list[Claim]] = defaultdict(list)
    for claim in claims(project.declared):
        by_machine[claim.agent.machine].append(claim)
    for machine, found in by_machine.items():
        ports: dict[int, Claim] = {}
        for claim in sorted(found, key=lambda item: item.role != "port"):
            first = ports.setdefault(claim.port, claim)
            if first is claim or claim.role == "port":
                continue
            if first.agent.name == claim.agent.name and first.agent.path != claim.agent.path:
                continue
            yield HEALTH.at(
                claim.agent.path, claim.field.spot.line, claim.field.spot.column,
                f"{claim.role} {claim.port} of {claim.agent.name} is also {_whose(first, claim)} on {machine}",
            )  # fmt: skip
        yield from _conventions(found, ports, machine)


def _conventions(found: list[Claim], ports: dict[int, Claim], machine: str) -> Iterator[Finding]:
    """Agents without a declared health port use port + 1000, which may be somebody's."""
    for claim in found:
        if claim.role != "port" or claim.agent.health_port is not None:
            continue
        other = ports.get(claim.port + HEALTH_OFFSET)
        if other is not None and other.agent.name != claim.agent.name:
            yield HEALTH.at(
                claim.agent.path, claim.field.spot.line, claim.field.spot.column,
                f"health of {claim.agent.name} falls by convention on {claim.port + HEALTH_OFFSET}, "
                f"{_whose(other, claim)} on {machine}",
            )  # fmt: skip


def _ranges(project: Project) -> Iterator[Finding]:
    for file in project.fleet_files:
        for claim in claims(file.agents):
            if not _LOWEST <= claim.port <= _HIGHEST:
                message = (
                    f"{claim.role} {claim.port} of {claim.agent.name} lies outside {_LOWEST} to {_HIGHEST}"
                )
                yield RANGE.at(
                    file.path,
                    claim.field.spot.line,
                    claim.field.spot.column,
                    message,
                    severity=Severity.ERROR,
                )
            elif file.ranges and not any(low <= claim.port <= high for low, high in file.ranges):
                allowed = ", ".join(f"{low} to {high}" for low, high in file.ranges)
                message = (
                    f"{claim.role} {claim.port} of {claim.agent.name} lies outside the file's own range "
                    f"({allowed})"
                )
                yield RANGE.at(file.path, claim.field.spot.line, claim.field.spot.column, message)
        for agent in file.agents:
            for role, field in (("port", agent.port), ("health port", agent.health_port)):
                if field is not None and field.port is None and not field.text.startswith("$"):
                    message = f"{role} of {agent.name} is `{field.text}`, which is no port number"
                    yield RANGE.at(
                        file.path, field.spot.line, field.spot.column, message, severity=Severity.ERROR
                    )


CONFLICT = Rule(
    id="config-port-conflict",
    title="Two agents of one machine want the same port",
    severity=Severity.ERROR,
    why=(
        "Whoever starts second fails with 'Address already in use', and which one that is changes from "
        "start to start."
    ),
    how="Give one of them a free port.",
    project=_conflicts,
)
HEALTH = Rule(
    id="config-health-port",
    title="A health or side port meets another port",
    severity=Severity.ERROR,
    why="The health server of one agent cannot bind, or answers in the name of another.",
    how=(
        "Use one health convention that leaves the ranges apart, or none: Tandem answers health on the "
        "agent's own port."
    ),
    project=_health,
)
RANGE = Rule(
    id="config-port-range",
    title="A port outside the allowed range",
    severity=Severity.WARNING,
    why=(
        "Below 1024 it needs root, above 65535 it does not exist, and outside the agreed range firewalls "
        "drop it."
    ),
    how="Choose a port within the range, or widen the range on purpose.",
    project=_ranges,
)
RULES = (CONFLICT, HEALTH, RANGE)
