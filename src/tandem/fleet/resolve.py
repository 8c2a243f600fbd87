"""From what was written to what is meant: defaults, inheritance, inferred classes, placed ports.

Names of other agents are still as written afterwards; :mod:`tandem.fleet.names` links them.
"""

from __future__ import annotations

import re
from typing import Any

from tandem.core.ids import AgentId
from tandem.fleet.decode import BAD
from tandem.fleet.diagnostics import Path, Span, did_you_mean
from tandem.fleet.document import AgentDoc, FleetDoc, GpuDoc, GroupDoc, InfraDoc, MachineDoc
from tandem.fleet.draft import Context, Draft
from tandem.fleet.model import HERE, Fleet, GpuConfig, GroupConfig, InfraPorts, MachineConfig, PortRange
from tandem.fleet.resolve_agent import AgentEntry, Layer

LOCAL = "local"
"""Name of the one machine of a fleet file that declares none."""

INFRA_BASE = InfraPorts(nats=4222, leaf=7422, monitor=8322, join=7443)
"""First machine's default ports. 4222 and 7422 are NATS's own; 8322 keeps clear of the 82xx of older fleets."""

_NAMES = {
    "agent": re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}"),
    "group": re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}"),
    "machine": re.compile(r"[a-z][a-z0-9-]{0,19}"),
}


def resolve(doc: FleetDoc, context: Context) -> Draft:
    """Everything the document says on its own; problems go to the report."""
    machines = _machines(doc, context)
    draft = Draft(
        Fleet(
            name=doc.fleet,
            file=context.report.source.name,
            description=doc.description,
            front_door=doc.front_door,
            port_offset=context.offset,
            machines=machines,
        )
    )
    for name, written in doc.groups.items():
        if written is not BAD:
            _group(name, written or GroupDoc(), doc, draft, context)
    if not draft.paths and ("groups",) not in context.places:
        context.report.error(
            "missing-key", '"groups" is missing: the fleet has no agents', context.span("fleet")
        )
    return draft


def _machines(doc: FleetDoc, context: Context) -> dict[str, MachineConfig]:
    written = doc.machines or {LOCAL: MachineDoc()}
    found: dict[str, MachineConfig] = {}
    for index, (name, machine) in enumerate(written.items()):
        if machine is not BAD:
            _check_name("machine", name, ("machines", name), context)
            found[name] = _machine(name, index, machine or MachineDoc(), context)
    return found


def _machine(name: str, index: int, doc: MachineDoc, context: Context) -> MachineConfig:
    path = ("machines", name)
    place = context.places.get((*path, "host"))
    unset = place.variables[0] if place and place.variables and doc.host is None else ""
    settled = context.machines.get(name)
    host = doc.host or (settled.host if settled else None)
    here = settled.where == "here" if settled else doc.host is None or context.is_here(doc.host)
    return MachineConfig(
        name=name,
        host=host,
        host_key=HERE if here else str(host).lower(),
        host_variable="" if settled else unset,
        description=doc.description,
        ports=[
            found
            for at, text in enumerate(doc.ports)
            if (found := _range(text, (*path, "ports", at), context))
        ],
        infra=_infra(doc.infra, index, path, context),
        gpu=_gpu(doc.gpu) if doc.gpu else None,
    )


def _range(text: str, path: Path, context: Context) -> PortRange | None:
    first, _, last = text.replace(" ", "").partition("-")
    low, high = int(first), int(last or first)
    if not 1 <= low <= high <= 65535:
        message = f"{text} is not a range of ports" if low <= high else f"{text} runs backwards"
        context.report.error("wrong-value", message, context.span(*path), path=path)
        return None
    return PortRange(low + context.offset, min(65535, high + context.offset))


def _infra(doc: InfraDoc, index: int, path: Path, context: Context) -> InfraPorts:
    chosen: dict[str, int] = {}
    for name in InfraPorts.__struct_fields__:
        base = getattr(doc, name) or getattr(INFRA_BASE, name) + index
        chosen[name] = context.moved(base, (*path, "infra", name)) or base
    return InfraPorts(**chosen)


def _gpu(doc: GpuDoc) -> GpuConfig:
    shares: dict[str, Any] = {}
    for name, written in (("budget", doc.budget), ("reserve", doc.reserve)):
        if isinstance(written, str):
            shares[f"{name}_percent"] = float(written.rstrip("% "))
        elif written is not None:
            shares[f"{name}_mb"] = written
    return GpuConfig(name=doc.name, vram_mb=doc.vram_mb, **shares)


def _group(name: str, doc: GroupDoc, fleet: FleetDoc, draft: Draft, context: Context) -> None:
    path = ("groups", name)
    _check_name("group", name, path, context)
    machine = _group_machine(name, doc, draft.fleet.machines, context)
    package = doc.package or (f"{fleet.package}.{name}" if fleet.package else None)
    config = GroupConfig(name=name, machine=machine, description=doc.description)
    draft.fleet.groups[name] = config
    of_machine = (fleet.machines.get(machine) or MachineDoc()).defaults
    layers: tuple[Layer, ...] = (
        (doc.defaults, (*path, "defaults")),
        (of_machine, ("machines", machine, "defaults")),
        (fleet.defaults, ("defaults",)),
    )
    for agent, written in doc.agents.items():
        at = (*path, "agents", agent)
        _check_name("agent", agent, at, context)
        identity = str(AgentId.of(agent, machine))
        if identity in draft.paths:
            first = context.report.related(
                "first listed here", context.key_span(*draft.paths[identity]) or Span(1, 1, 2)
            )
            message = (
                f'the agent "{agent}" is in two groups of {machine}: {draft.paths[identity][1]} and {name}'
            )
            context.report.error(
                "duplicate-agent", message, context.key_span(*at), path=path, related=(first,)
            )
            continue
        draft.paths[identity] = at
        config.agents.append(identity)
        entry = AgentDoc() if written in (None, BAD) else written
        AgentEntry(entry, at, layers, draft, context).resolve(agent, machine, name, package)


def _group_machine(name: str, doc: GroupDoc, machines: dict[str, MachineConfig], context: Context) -> str:
    path = ("groups", name, "machine")
    if doc.machine is None:
        if len(machines) != 1 and ("groups", name, "machine") not in context.places:
            message = f'group "{name}" does not say on which machine it runs'
            context.report.error(
                "missing-key",
                message,
                context.key_span("groups", name),
                path=path,
                suggestion=f"machine: {next(iter(machines), '')}",
            )
        return next(iter(machines), LOCAL)
    if doc.machine not in machines:
        suggestion = did_you_mean(doc.machine, machines) or f"Machines of this fleet: {', '.join(machines)}."
        message = f'there is no machine "{doc.machine}"'
        context.report.error(
            "unknown-machine", message, context.span(*path), path=path, suggestion=suggestion
        )
    return doc.machine


def _check_name(kind: str, name: str, path: Path, context: Context) -> None:
    if not _NAMES[kind].fullmatch(name):
        letters = "small letters, digits and -" if kind == "machine" else "letters, digits, _ and -"
        limit = 20 if kind == "machine" else 64
        message = f'"{name}" cannot name {"an" if kind == "agent" else "a"} {kind}'
        advice = f"Up to {limit} {letters}, beginning with a letter."
        context.report.error("bad-name", message, context.key_span(*path), path=path, suggestion=advice)
