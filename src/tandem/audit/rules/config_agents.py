"""Agents in the configuration: duplicates, missing scripts, dependencies, files that disagree."""

from __future__ import annotations

import difflib
import posixpath
from collections import defaultdict
from collections.abc import Iterable, Iterator

from tandem.audit.entries import script
from tandem.audit.fleet.shapes import Declared, Field
from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.project import Project
from tandem.audit.python.facts import PortDefault


def _unreadable(project: Project) -> Iterator[Finding]:
    for file in project.fleet_files:
        if file.broken is not None:
            spot = file.broken.spot
            yield UNREADABLE.at(
                file.path, spot.line, spot.column, f"the file cannot be read: {file.broken.message}"
            )
    for compose in project.compose_files:
        if compose.broken is not None:
            spot = compose.broken.spot
            yield UNREADABLE.at(
                compose.path, spot.line, spot.column, f"the file cannot be read: {compose.broken.message}"
            )


def _duplicates(project: Project) -> Iterator[Finding]:
    for file in project.fleet_files:
        for key, second, first in file.duplicates:
            message = (
                f"`{key}` stands twice in one mapping (first on line {first.line}); the first is silently "
                "lost"
            )
            yield DUPLICATE.at(file.path, second.line, second.column, message)
        seen: dict[str, Declared] = {}
        for agent in file.agents:
            first_agent = seen.setdefault(agent.name, agent)
            same_key = any(spot == agent.spot for _, spot, _ in file.duplicates)
            if first_agent is not agent and not same_key:
                message = f"agent {agent.name} is declared twice (first on line {first_agent.spot.line})"
                yield DUPLICATE.at(file.path, agent.spot.line, agent.spot.column, message)


def _scripts(project: Project) -> Iterator[Finding]:
    for agent in project.declared:
        if agent.script is None or script(project, agent.script.text, agent.path) is not None:
            continue
        spot = agent.script.spot
        message = f"script of {agent.name} does not exist: {agent.script.text}{_similar(project, agent.script.text)}"
        yield SCRIPT.at(agent.path, spot.line, spot.column, message)


def _similar(project: Project, written: str) -> str:
    name = posixpath.basename(written)
    same = [path for path in project.modules if posixpath.basename(path) == name]
    close = same or difflib.get_close_matches(written, list(project.modules), n=1, cutoff=0.75)
    return f" (did you mean {close[0]}?)" if close else ""


def _dependencies(project: Project) -> Iterator[Finding]:
    everywhere = {agent.name for agent in project.declared}
    for file in project.fleet_files:
        for agent in file.agents:
            for need in agent.needs:
                if need.text == agent.name:
                    yield MISSING.at(
                        agent.path, need.spot.line, need.spot.column, f"{agent.name} needs itself"
                    )
                elif need.text not in everywhere:
                    close = difflib.get_close_matches(need.text, everywhere, n=1, cutoff=0.7)
                    hint = f" (did you mean {close[0]}?)" if close else ""
                    message = f"{agent.name} needs {need.text}, which no configuration declares{hint}"
                    yield MISSING.at(agent.path, need.spot.line, need.spot.column, message)
        groups = {agent.group for agent in file.agents} | set(file.group_needs)
        for group, needs in file.group_needs.items():
            for need in needs:
                if need.text not in groups:
                    message = f"group {group} needs group {need.text}, which does not exist"
                    yield MISSING.at(file.path, need.spot.line, need.spot.column, message)


def _cycles(project: Project) -> Iterator[Finding]:
    agents = {agent.name: agent for agent in reversed(project.declared)}
    needs = {
        name: [(need.text, need) for need in agent.needs if need.text in agents]
        for name, agent in agents.items()
    }
    for cycle, closing in _found_cycles(needs):
        agent = agents[cycle[-1]]
        message = f"agents need each other in a circle: {' → '.join([*cycle, cycle[0]])}"
        yield CYCLE.at(agent.path, closing.spot.line, closing.spot.column, message)
    in_agent_cycle = {name for cycle, _ in _found_cycles(needs) for name in cycle}
    for file in project.fleet_files:
        yield from _group_cycles(file.path, file.agents, file.group_needs, in_agent_cycle)


def _group_cycles(
    path: str, agents: list[Declared], declared: dict[str, tuple[Field, ...]], explained: set[str]
) -> Iterator[Finding]:
    """Groups that need each other, through what they declare or through their agents."""
    group_of = {agent.name: agent.group for agent in agents if agent.group}
    needs: dict[str, list[tuple[str, Field]]] = defaultdict(list)
    for group, fields in declared.items():
        needs[group].extend((field.text, field) for field in fields)
    for agent in agents:
        for need in agent.needs:
            other = group_of.get(need.text)
            if agent.group and other and other != agent.group and not {agent.name, need.text} <= explained:
                needs[agent.group].append((other, need))
    for cycle, closing in _found_cycles(needs):
        message = f"groups need each other in a circle: {' → '.join([*cycle, cycle[0]])}"
        severity = (
            Severity.ERROR
            if all(any(field in declared.get(name, ()) for _, field in needs[name]) for name in cycle)
            else Severity.WARNING
        )
        yield CYCLE.at(path, closing.spot.line, closing.spot.column, message, severity=severity)


def _found_cycles(needs: dict[str, list[tuple[str, Field]]]) -> list[tuple[list[str], Field]]:
    """Each circle once, beginning with its smallest name, with the dependency that closes it."""
    found: dict[tuple[str, ...], Field] = {}
    done: set[str] = set()

    def visit(start: str) -> None:
        trail: list[str] = []
        pending: list[tuple[str, Iterable[tuple[str, Field]]]] = [(start, iter(needs.get(start, ())))]
        trail.append(start)
        while pending:
            name, rest = pending[-1]
            step = next(iter(rest), None)
            if step is None:
                pending.pop()
                trail.pop()
                done.add(name)
                continue
            target, field = step
            if target in trail:
                circle = trail[trail.index(target) :]
                turn = circle.index(min(circle))
                found.setdefault(
                    tuple(circle[turn:] + circle[:turn]),
                    field if turn == 0 else _closing(needs, circle, turn),
                )
            elif target not in done:
                trail.append(target)
                pending.append((target, iter(needs.get(target, ()))))

    for name in sorted(needs):
        if name not in done:
            visit(name)
    return [(list(circle), field) for circle, field in found.items()]


def _closing(needs: dict[str, list[tuple[str, Field]]], circle: list[str], turn: int) -> Field:
    """The dependency of the circle's last name (after turning) on its first."""
    return next(field for target, field in needs[circle[turn - 1]] if target == circle[turn])


def _disagreements(project: Project) -> Iterator[Finding]:
    """One agent of one machine declared in two files with different values."""
    first: dict[tuple[str, str], Declared] = {}
    for agent in project.declared:
        known = first.setdefault((agent.machine, agent.name), agent)
        if known is agent or known.path == agent.path:
            continue
        for what, one, other in (
            ("port", known.port, agent.port), ("health port", known.health_port, agent.health_port), ("script", known.script, agent.script),
        ):  # fmt: skip
            if one is not None and other is not None and _worth(one) != _worth(other):
                message = (
                    f"{what} of {agent.name} is {other.text} here and {one.text} in "
                    f"{known.path}:{one.spot.line}"
                )
                yield DISAGREEMENT.at(agent.path, other.spot.line, other.spot.column, message)
        mine, theirs = {need.text for need in agent.needs}, {need.text for need in known.needs}
        if mine != theirs and agent.needs and known.needs:
            differing = ", ".join(sorted(mine ^ theirs))
            message = f"what {agent.name} needs differs from {known.path}:{known.spot.line}: {differing}"
            yield DISAGREEMENT.at(agent.path, agent.spot.line, agent.spot.column, message)


def _worth(field: Field) -> str:
    return str(field.port) if field.port is not None else field.text.removeprefix("./")


def _defaults(project: Project) -> Iterator[Finding]:
    """Code that falls back to another port than the configuration gives."""
    for agent in project.declared:
        if agent.script is None:
            continue
        path = script(project, agent.script.text, agent.path)
        facts = project.modules.get(path) if path is not None else None
        if facts is None or path is None:
            continue
        users = [
            item
            for item in project.declared
            if item.script is not None and item.script.text == agent.script.text
        ]
        if len(users) > 1:
            continue
        owners = {fact.name for fact in facts.classes if fact.name == agent.name or "launched" in fact.signs}
        for default in facts.ports:
            if default.owner and owners and default.owner not in owners:
                continue
            yield from _differing(agent, path, default)


def _differing(agent: Declared, path: str, default: PortDefault) -> Iterator[Finding]:
    field = agent.port if default.role == "port" else agent.health_port
    if field is not None and field.port is not None and field.port != default.port:
        what = "port" if default.role == "port" else "health port"
        message = (
            f"the code falls back to {what} {default.port}, the configuration says {field.port} "
            f"({agent.path}:{field.spot.line})"
        )
        yield DEFAULT.at(path, default.line, default.column, message, confidence=Confidence.MEDIUM)


UNREADABLE = Rule(
    id="config-unreadable",
    title="A configuration that cannot be read",
    severity=Severity.ERROR,
    why="Nothing it declares can start.",
    how="Correct the line named.",
    project=_unreadable,
)
DUPLICATE = Rule(
    id="config-duplicate",
    title="Something is declared twice",
    severity=Severity.ERROR,
    why="YAML keeps the last of two equal keys without a word; the other agent or setting vanishes.",
    how="Remove one of the two, or rename it.",
    project=_duplicates,
)
SCRIPT = Rule(
    id="config-missing-script",
    title="An agent's script does not exist",
    severity=Severity.ERROR,
    why="The agent cannot start, and everything that needs it waits in vain.",
    how="Correct the path, or remove the agent.",
    project=_scripts,
)
MISSING = Rule(
    id="config-missing-dependency",
    title="An agent needs something nobody declares",
    severity=Severity.ERROR,
    why="Strict starters refuse, lenient ones skip the order: the agent starts before what it really needed.",
    how="Correct the name, declare the missing agent, or drop the dependency.",
    project=_dependencies,
)
CYCLE = Rule(
    id="config-dependency-cycle",
    title="Agents or groups need each other in a circle",
    severity=Severity.ERROR,
    why="No order of start satisfies it: each waits until the other is healthy.",
    how="Turn the weakest of these needs into a wish (`wants`), or into an event.",
    project=_cycles,
)
DISAGREEMENT = Rule(
    id="config-disagreement",
    title="Two configurations disagree about one agent",
    severity=Severity.WARNING,
    why="Which one holds depends on which starter is used; the other one misleads.",
    how="Keep one file; `tandem config convert` reads both shapes.",
    project=_disagreements,
)
DEFAULT = Rule(
    id="config-code-default",
    title="The code's default differs from the configuration",
    severity=Severity.WARNING,
    why="Started by hand or with a setting missing, the agent listens where nobody looks for it.",
    how="Read the port from the configuration only, or make the default the same.",
    project=_defaults,
)
RULES = (UNREADABLE, DUPLICATE, SCRIPT, MISSING, CYCLE, DISAGREEMENT, DEFAULT)
