"""What can only be judged with the whole fleet in view: ports, GPU memory, classes, settings."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from msgspec import Struct, structs

from tandem.core.ids import AgentId
from tandem.fleet import ports
from tandem.fleet.decode import Decoder
from tandem.fleet.diagnostics import Path, Span
from tandem.fleet.draft import Context, Draft
from tandem.fleet.model import AgentConfig
from tandem.fleet.source import Mapping, Scalar, Value


class MissingClass(Struct, frozen=True):
    """A class path that leads nowhere: what is missing, and what to do about it."""

    message: str
    suggestion: str = ""


Schemas = Callable[[str], type[Struct] | MissingClass | None]
"""The Settings of the agent class at a path ``pkg.mod:Class``; None when it declares none."""


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
