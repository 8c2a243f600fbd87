"""What can only be judged with the whole fleet in view: names, cycles, ports, GPU memory, classes, settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct, structs

from tandem.core.errors import NotFound
from tandem.core.ids import AgentId
from tandem.fleet import ports
from tandem.fleet.decode import Decoder
from tandem.fleet.diagnostics import Path, Span, did_you_mean
from tandem.fleet.draft import Context, Draft
from tandem.fleet.model import AgentConfig, identify
from tandem.fleet.plan import cycles
from tandem.fleet.source import Mapping, Scalar, Value

CALLERS = ("operator", "user")
"""Callers besides agents and @groups that ``allow`` may name."""


class MissingClass(Struct, frozen=True):
    """A class path that leads nowhere: what is missing, and what to do about it."""

    message: str
    suggestion: str = ""


Schemas = Callable[[str], type[Struct] | MissingClass | None]
"""The Settings of the agent class at a path ``pkg.mod:Class``; None when it declares none."""


def link_names(draft: Draft, context: Context) -> None:
    """Replace names in needs, wants and front_door by identities; report those that mean nothing."""
    directory: dict[str, list[str]] = {}
    for identity in draft.paths:
        said = AgentId(identity)
        directory.setdefault(said.name, []).append(said.machine)
    for identity, agent in draft.fleet.agents.items():
        path = draft.paths[identity]
        draft.fleet.agents[identity] = structs.replace(
            agent,
            needs=_link_all(agent, "needs", directory, path, context),
            wants=_link_all(agent, "wants", directory, path, context),
        )
        _check_callers(agent, directory, draft, context)
    if draft.fleet.front_door is not None:
        door = _link(draft.fleet.front_door, None, directory, ("front_door",), context)
        draft.fleet = structs.replace(draft.fleet, front_door=str(door) if door else None)


def _link_all(
    agent: AgentConfig, key: str, directory: dict[str, list[str]], path: Path, context: Context
) -> list[str]:
    linked: dict[str, None] = {}
    for at, name in enumerate(getattr(agent, key)):
        where = (*path, key, at)
        span = context.span(*where)
        machines = directory.get(AgentId(name).name, [])
        if AgentId(name).machine:
            machines = [machine for machine in machines if machine == AgentId(name).machine]
        if key == "needs" and machines and agent.machine not in machines:
            others = " and ".join(machines)
            message = f"{agent.name} runs on {agent.machine}, but {AgentId(name).name} runs on {others}"
            advice = 'Needs stay within a machine; write it under "wants", which may cross.'
            context.report.error("needs-across-machines", message, span, path=where, suggestion=advice)
            continue
        identity = _link(name, agent.machine, directory, where, context)
        if identity is None:
            continue
        if key == "wants" and identity == agent.id:
            context.report.error("self-reference", "an agent cannot want itself", span, path=where)
        elif identity in linked:
            context.report.warning("named-twice", f'"{name}" is named twice', span, path=where)
        else:
            linked[str(identity)] = None
    return list(linked)


def _link(
    name: str, machine: str | None, directory: dict[str, list[str]], path: Path, context: Context
) -> AgentId | None:
    try:
        return identify(directory, name, machine)
    except NotFound as error:
        hint = error.hint or ""
        if hint and not hint.endswith("?"):
            hint = f"{hint[0].upper()}{hint[1:]}."
        context.report.error("unknown-agent", error.message, context.span(*path), path=path, suggestion=hint)
        return None


def _check_callers(
    agent: AgentConfig, directory: dict[str, list[str]], draft: Draft, context: Context
) -> None:
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
        names = [AgentId(identity).name for identity in (*loop, loop[0])]
        places = [
            (here, _need_place(draft, context, here, there))
            for here, there in zip(loop, (*loop[1:], loop[0]), strict=True)
        ]
        related = tuple(
            context.report.related(f"{AgentId(here).name} needs {names[at + 2]}", span)
            for at, (here, (_, span)) in enumerate(places[1:])
        )
        path, span = places[0][1]
        context.report.error(
            "cycle",
            f"agents need each other in a circle: {' → '.join(names)}",
            span,
            path=path,
            related=related,
            suggestion='None of them could ever start. Drop one need, or make it a "wants".',
        )
    return loops


def _need_place(draft: Draft, context: Context, here: str, there: str) -> tuple[Path, Span]:
    """Where ``here`` says that it needs ``there``."""
    path = (*draft.paths[here], "needs")
    own = AgentId(here).machine
    at = 0
    while (place := context.places.get((*path, at))) is not None:
        written = _written(context, place.span)
        if there in (written, AgentId.of(written, own)):
            return (*path, at), place.span
        at += 1
    return path, context.span(*path) or Span(1, 1, 2)


def _written(context: Context, span: Span) -> str:
    return context.report.source.line(span.line)[span.column - 1 : span.end_column - 1].strip("\"'")


def assign_ports(draft: Draft, context: Context) -> None:
    """Give each ``port: auto`` a free port within its machine's ranges."""
    fleet = draft.fleet
    taken: dict[str, set[int]] = {}
    for listener in ports.listeners(fleet):
        taken.setdefault(listener.host, set()).add(listener.port)
    for identity in draft.auto_ports:
        agent = fleet.agents[identity]
        machine = fleet.machines.get(agent.machine)
        if machine is None:
            continue
        used = taken.setdefault(machine.host_key, set())
        port = ports.assign(agent.name, machine.ports, used)
        if port is None:
            path = (*draft.paths[identity], "port")
            message = (
                f"{machine.name} has no free port for it"
                if machine.ports
                else f"{machine.name} declares no ports"
            )
            advice = f'Give machine {machine.name} a range under "ports", or say a number.'
            context.report.error("port-range", message, context.span(*path), path=path, suggestion=advice)
            continue
        used.add(port)
        fleet.agents[identity] = structs.replace(agent, port=port)


def check_ports(draft: Draft, context: Context) -> None:
    """Report clashes per host and ports outside the machine's ranges."""
    fleet = draft.fleet
    for clash in ports.conflicts(ports.listeners(fleet)):
        path = _listener_path(clash.second, draft)
        first = context.span(*_listener_path(clash.first, draft))
        same_machine = clash.first.machine == clash.second.machine
        host = f"machine {clash.second.machine}"
        if not same_machine:
            host = f"one computer, which {clash.first.machine} and {clash.second.machine} share"
        context.report.error(
            "port-conflict",
            f"port {clash.second.port} is taken by {clash.first.owner()} on {host}",
            context.span(*path),
            path=path,
            related=(context.report.related("taken here", first),) if first else (),
            suggestion=_port_advice(clash, same_machine),
        )
    for identity, agent in fleet.agents.items():
        machine = fleet.machines.get(agent.machine)
        for listener in ports.agent_listeners(agent, "") if machine else ():
            if machine is not None and not ports.in_ranges(listener.port, machine.ports):
                path = _listener_path(listener, draft)
                allowed = ", ".join(str(found) for found in machine.ports)
                context.report.error(
                    "port-range",
                    f"port {listener.port} is outside the ranges of {machine.name}: {allowed}",
                    context.span(*path),
                    path=path,
                    suggestion=_nearest_free(identity, draft),
                )


def _listener_path(listener: ports.Listener, draft: Draft) -> Path:
    if listener.agent == ports.INFRA:
        return ("machines", listener.machine, "infra", listener.purpose)
    key = ("port",) if listener.purpose == "rpc" else ("side_ports", listener.purpose)
    return (*draft.paths[listener.agent], *key)


def _port_advice(clash: ports.Conflict, same_machine: bool) -> str:
    if same_machine or clash.second.agent == ports.INFRA:
        return ""
    return 'Say "shared_host_port" for one of them, or where the machines are.'


def _nearest_free(identity: str, draft: Draft) -> str:
    machine = AgentId(identity).machine
    gaps = [gap for found in ports.usage(draft.fleet) if found.machine == machine for gap in found.gaps()]
    return f"Free there: {', '.join(str(gap) for gap in gaps[:4])}." if gaps else "These ranges are full."


def check_vram(draft: Draft, context: Context) -> None:
    """Report agents whose declared GPU memory no longer fits their machine's budget, required ones served first."""
    for machine in draft.fleet.machines.values():
        budget = machine.gpu.budget() if machine.gpu else None
        if budget is None:
            continue
        left = budget
        for agent in sorted(draft.fleet.on(machine.name), key=lambda agent: not agent.required):
            if agent.vram_mb <= left:
                left -= agent.vram_mb
                continue
            path = (*draft.paths[agent.id], "vram_mb")
            message = f"{agent.vram_mb} MiB of GPU memory do not fit: {left} of {machine.name}'s {budget} MiB are left"
            span = context.span("machines", machine.name, "gpu")
            context.report.error(
                "vram-budget",
                message,
                context.span(*path),
                path=path,
                related=(context.report.related("the budget", span),) if span else (),
            )


def check_classes(draft: Draft, context: Context, root: Mapping, schemas: Schemas, decoder: Decoder) -> None:
    """Report classes that do not exist and settings that do not fit them.

    ``decoder`` decodes literally: an agent receives its settings exactly as they were read.
    """
    for identity, agent in draft.fleet.agents.items():
        if agent.class_path is None:
            continue
        path = draft.paths[identity]
        found = schemas(agent.class_path)
        if isinstance(found, MissingClass):
            where = (*path, "class")
            span = context.span(*where) if where in context.places else context.key_span(*path)
            context.report.error(
                "missing-class", found.message, span, path=where, suggestion=found.suggestion
            )
            continue
        _check_settings(
            agent, found, (*path, "settings"), locate(root, (*path, "settings")), context, decoder
        )


def _check_settings(
    agent: AgentConfig,
    schema: type[Struct] | None,
    path: Path,
    written: Value | None,
    context: Context,
    decoder: Decoder,
) -> None:
    settings = written if isinstance(written, Mapping) else None
    if schema is not None:
        span = context.span(*path) or Span(1, 1, 2)
        decoder.struct(settings or Mapping(span), schema, path)
    elif settings is not None and settings.entries:
        message = f"{agent.name} has no settings"
        advice = "Declare them in a Settings class of the agent, or remove them here."
        context.report.error("unknown-key", message, context.key_span(*path), path=path, suggestion=advice)


def locate(root: Value, path: Iterable[str | int]) -> Value | None:
    """The value at ``path``, or None."""
    current: Value | None = root
    for step in path:
        if isinstance(current, Mapping) and isinstance(step, str):
            current = current.get(step)
        elif current is None or isinstance(current, Scalar | Mapping) or not isinstance(step, int):
            return None
        else:
            current = current.items[step] if step < len(current.items) else None
    return current
