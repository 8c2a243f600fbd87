"""Names of agents: what they mean, and loops among those that need each other."""

from __future__ import annotations

from msgspec import structs

from tandem.core.errors import NotFound
from tandem.core.ids import AgentId
from tandem.fleet.diagnostics import Path, Span, did_you_mean
from tandem.fleet.draft import Context, Draft
from tandem.fleet.model import AgentConfig, identify
from tandem.fleet.plan import cycles

CALLERS = ("operator", "user")
"""Callers besides agents and @groups that ``allow`` may name."""

Directory = dict[str, list[str]]
"""Agent names and the machines each runs on."""


def link_names(draft: Draft, context: Context) -> None:
    """Replace names in needs, wants and front_door by identities; report those that mean nothing."""
    directory: Directory = {}
    for identity in draft.paths:
        said = AgentId(identity)
        directory.setdefault(said.name, []).append(said.machine)
    for identity, agent in draft.fleet.agents.items():
        needs = _link_needs(agent, directory, draft, context)
        wants = _link_wants(agent, directory, draft, context)
        draft.needs.update({(identity, need): path for need, path in needs.items()})
        draft.fleet.agents[identity] = structs.replace(agent, needs=list(needs), wants=list(wants))
        _check_callers(agent, directory, draft, context)
    if draft.fleet.front_door is not None:
        door = _link(draft.fleet.front_door, None, directory, ("front_door",), context)
        draft.fleet = structs.replace(draft.fleet, front_door=door)


def _link_needs(agent: AgentConfig, directory: Directory, draft: Draft, context: Context) -> dict[str, Path]:
    """Identities the agent needs, with the place that says so; they must run on its own machine."""
    linked: dict[str, Path] = {}
    for at, name in enumerate(agent.needs):
        path = (*draft.paths[agent.id], "needs", at)
        said = AgentId(name)
        machines = [found for found in directory.get(said.name, []) if said.machine in ("", found)]
        if machines and agent.machine not in machines:
            message = (
                f"{agent.name} runs on {agent.machine}, but {said.name} runs on {' and '.join(machines)}"
            )
            advice = 'Needs stay within a machine; write it under "wants", which may cross.'
            context.report.error(
                "needs-across-machines", message, context.span(*path), path=path, suggestion=advice
            )
        elif identity := _link(name, agent.machine, directory, path, context):
            _add(identity, name, path, linked, context)
    return linked


def _link_wants(agent: AgentConfig, directory: Directory, draft: Draft, context: Context) -> dict[str, Path]:
    linked: dict[str, Path] = {}
    for at, name in enumerate(agent.wants):
        path = (*draft.paths[agent.id], "wants", at)
        identity = _link(name, agent.machine, directory, path, context)
        if identity == agent.id:
            message = "an agent cannot want itself"
            context.report.error("self-reference", message, context.span(*path), path=path)
        elif identity is not None:
            _add(identity, name, path, linked, context)
    return linked


def _add(identity: str, name: str, path: Path, linked: dict[str, Path], context: Context) -> None:
    if identity in linked:
        context.report.warning("named-twice", f'"{name}" is named twice', context.span(*path), path=path)
    linked.setdefault(identity, path)


def _link(name: str, machine: str | None, directory: Directory, path: Path, context: Context) -> str | None:
    try:
        return str(identify(directory, name, machine))
    except NotFound as error:
        hint = error.hint or ""
        if hint and not hint.endswith("?"):
            hint = f"{hint[0].upper()}{hint[1:]}."
        context.report.error("unknown-agent", error.message, context.span(*path), path=path, suggestion=hint)
        return None


def _check_callers(agent: AgentConfig, directory: Directory, draft: Draft, context: Context) -> None:
    groups = [f"@{group}" for group in draft.fleet.groups]
    path = (*draft.paths[agent.id], "allow")
    if path not in context.places:
        return
    for at, name in enumerate(agent.allow):
        if AgentId(name).name not in directory and name not in groups and name not in CALLERS:
            known = (*directory, *groups, *CALLERS)
            suggestion = did_you_mean(name, known) or "Name an agent, an @group, operator or user."
            where = (*path, at)
            message = f'"{name}" is not a caller of this fleet'
            context.report.error(
                "unknown-agent", message, context.span(*where), path=where, suggestion=suggestion
            )


def find_cycles(draft: Draft, context: Context) -> list[list[str]]:
    """Report every loop of needs, written ``a → b → c → a``; returns the loops as identities."""
    loops = cycles({identity: agent.needs for identity, agent in draft.fleet.agents.items()})
    for loop in loops:
        steps = list(zip(loop, (*loop[1:], loop[0]), strict=True))
        names = [AgentId(identity).name for identity in (*loop, loop[0])]
        first, *others = (draft.needs[step] for step in steps)
        related = tuple(
            context.report.related(f"{names[at]} needs {names[at + 1]}", context.span(*path) or Span(1, 1, 2))
            for at, path in enumerate(others, 1)
        )
        context.report.error(
            "cycle",
            f"agents need each other in a circle: {' → '.join(names)}",
            context.span(*first),
            path=first,
            related=related,
            suggestion='None of them could ever start. Drop one need, or make it a "wants".',
        )
    return loops
