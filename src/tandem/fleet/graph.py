"""The dependency graph as text, Mermaid, Graphviz and data. Pure: a fleet in, text out."""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from tandem.core.ids import AgentId
from tandem.fleet.model import AgentConfig, Fleet
from tandem.fleet.plan import levels


class Edge(Struct, frozen=True):
    """``source`` (an identity) needs or wants ``target``."""

    source: str
    target: str
    kind: str


class Graph(Struct, frozen=True):
    """What is drawn: identities by level, those in no level (in or behind a cycle), and the edges."""

    levels: list[list[str]]
    unreachable: list[str]
    edges: list[Edge]


def graph_of(fleet: Fleet, *, around: str | None = None, wants: bool = False) -> Graph:
    """The fleet's graph; ``around`` an identity only what it needs and what needs it, directly or not."""
    chosen = set(fleet.agents) if around is None else _around(fleet, around)
    agents = {name: agent for name, agent in fleet.agents.items() if name in chosen}
    needs = {name: [need for need in agent.needs if need in chosen] for name, agent in agents.items()}
    by_level = levels(needs)
    placed = {name for level in by_level for name in level}
    return Graph(
        by_level,
        [name for name in agents if name not in placed],
        list(_edges(agents.values(), chosen, wants)),
    )


def _edges(agents: Iterable[AgentConfig], chosen: set[str], wants: bool) -> Iterable[Edge]:
    for agent in agents:
        for kind, targets in (("needs", agent.needs), ("wants", agent.wants if wants else [])):
            for target in targets:
                if target in chosen:
                    yield Edge(str(agent.id), target, kind)


def _around(fleet: Fleet, identity: str) -> set[str]:
    found = {identity}
    for forward in (True, False):
        frontier = [identity]
        while frontier:
            current = frontier.pop()
            near = fleet.agents[current].needs if forward else _needing(fleet, current)
            fresh = [name for name in near if name in fleet.agents and name not in found]
            found.update(fresh)
            frontier += fresh
    return found


def _needing(fleet: Fleet, identity: str) -> list[str]:
    return [name for name, agent in fleet.agents.items() if identity in agent.needs]


def text(graph: Graph) -> str:
    """Levels from the first to start to the last, each agent with what it needs."""
    names = [AgentId(name) for level in (*graph.levels, graph.unreachable) for name in level]
    width = max((len(_short(name, names)) for name in names), default=0)
    lines: list[str] = []
    titled = [(f"level {at}", level) for at, level in enumerate(graph.levels)]
    if graph.unreachable:
        titled.append(("can never start", graph.unreachable))
    for title, level in titled:
        lines += [*([""] if lines else []), title]
        for name in level:
            needs = [
                _short(edge.target, names)
                for edge in graph.edges
                if edge.source == name and edge.kind == "needs"
            ]
            wants = [
                _short(edge.target, names)
                for edge in graph.edges
                if edge.source == name and edge.kind == "wants"
            ]
            parts = [
                f"needs {', '.join(needs)}" if needs else "",
                f"wants {', '.join(wants)}" if wants else "",
            ]
            lines.append(f"  {_short(name, names):<{width}}  {'; '.join(filter(None, parts))}".rstrip())
    return "\n".join(lines)


def _short(identity: str, names: list[AgentId]) -> str:
    """The bare name where it is unambiguous."""
    name = AgentId(identity).name
    return name if sum(other.name == name for other in names) == 1 else identity


def mermaid(graph: Graph, fleet: Fleet) -> str:
    """A Mermaid flowchart with a box per group (https://mermaid.js.org/syntax/flowchart.html)."""
    lines = ["flowchart LR"]
    for group in fleet.groups.values():
        members = [name for name in group.agents if _in(graph, name)]
        if members:
            lines.append(f'  subgraph {_token(group.name)}["{group.name} ({group.machine})"]')
            lines += [f'    {_token(name)}["{AgentId(name).name}"]' for name in members]
            lines.append("  end")
    arrows = {"needs": "-->", "wants": "-.->"}
    lines += [f"  {_token(edge.source)} {arrows[edge.kind]} {_token(edge.target)}" for edge in graph.edges]
    return "\n".join(lines)


def dot(graph: Graph, fleet: Fleet) -> str:
    """A Graphviz digraph with a cluster per group (https://graphviz.org/doc/info/lang.html)."""
    lines = [f"digraph {_quoted(fleet.name)} {{", "  rankdir=LR;", "  node [shape=box, style=rounded];"]
    for group in fleet.groups.values():
        members = [name for name in group.agents if _in(graph, name)]
        if members:
            lines.append(f"  subgraph {_quoted(f'cluster_{group.name}')} {{")
            lines.append(f"    label={_quoted(f'{group.name} ({group.machine})')};")
            lines += [f"    {_quoted(name)} [label={_quoted(AgentId(name).name)}];" for name in members]
            lines.append("  }")
    dashed = {"needs": "", "wants": " [style=dashed]"}
    lines += [
        f"  {_quoted(edge.source)} -> {_quoted(edge.target)}{dashed[edge.kind]};" for edge in graph.edges
    ]
    return "\n".join([*lines, "}"])


def _in(graph: Graph, name: str) -> bool:
    return name in graph.unreachable or any(name in level for level in graph.levels)


def _token(name: str) -> str:
    """A Mermaid node id; ``end`` and the like are words of its grammar, hence the prefix."""
    return "n_" + re.sub(r"[^A-Za-z0-9]", "_", name)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
