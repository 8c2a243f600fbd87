"""In which order agents start: by levels of what they need."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from tandem.fleet.model import AgentConfig, Fleet


def levels(needs: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Kahn's algorithm (1962) by levels: each name stands one level above the highest of its needs.

    Names keep the order of the mapping within a level. Names that need something absent, and names in or behind
    a cycle, appear in no level.
    """
    order = {name: at for at, name in enumerate(needs)}
    missing = {name: len(set(wanted)) for name, wanted in needs.items()}
    dependants: dict[str, list[str]] = {}
    for name, wanted in needs.items():
        for need in set(wanted):
            dependants.setdefault(need, []).append(name)
    found: list[list[str]] = []
    ready = [name for name, count in missing.items() if count == 0]
    while ready:
        found.append(ready)
        freed = []
        for name in (dependant for done in ready for dependant in dependants.get(done, ())):
            missing[name] -= 1
            if missing[name] == 0:
                freed.append(name)
        ready = sorted(freed, key=order.__getitem__)
    return found


def plan(fleet: Fleet, machine: str | None = None) -> list[list[AgentConfig]]:
    """The agents that can start, by level; all machines together, or one.

    ``needs`` never cross machines, so machines start independently of each other.
    """
    chosen = {
        name: agent.needs
        for name, agent in fleet.agents.items()
        if machine is None or agent.machine == machine
    }
    return [[fleet.agents[name] for name in level] for level in levels(chosen)]


def ready_to_start(fleet: Fleet, up: Collection[str], started: Collection[str] = ()) -> list[AgentConfig]:
    """Agents whose needs are all in ``up`` (identities that are healthy) and that are not in ``up`` or ``started``.

    For starting by events: call it whenever an agent turns healthy, instead of waiting for a whole level.
    """
    healthy = set(up)
    return [
        agent
        for name, agent in fleet.agents.items()
        if name not in healthy and name not in started and healthy.issuperset(agent.needs)
    ]


def blocked(fleet: Fleet) -> dict[str, str]:
    """Usable agents that can never start, with the need that keeps each of them (an invalid or another blocked one)."""
    possible = {
        name
        for level in levels({name: agent.needs for name, agent in fleet.agents.items()})
        for name in level
    }
    return {
        name: next(need for need in agent.needs if need not in possible)
        for name, agent in fleet.agents.items()
        if name not in possible
    }


def dependants(fleet: Fleet, identity: str) -> list[str]:
    """Identities that need ``identity``, directly or through others, nearest first."""
    found: list[str] = []
    frontier = [identity]
    while frontier:
        current = frontier.pop(0)
        for name, agent in fleet.agents.items():
            if current in agent.needs and name not in found and name != identity:
                found.append(name)
                frontier.append(name)
    return found


def cycles(needs: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Loops of names that need each other; no two share a step, and without their steps no loop is left.

    A loop does not repeat its first name, which is the one that comes first in the mapping.
    """
    order = {name: at for at, name in enumerate(needs)}
    known = {name: [need for need in wanted if need in needs] for name, wanted in needs.items()}
    found = []
    placed = {name for level in levels(known) for name in level}
    left = {
        name: [need for need in wanted if need not in placed]
        for name, wanted in known.items()
        if name not in placed
    }
    for name in left:
        while loop := _shortest_loop(name, left):
            for here, there in zip(loop, (*loop[1:], loop[0]), strict=True):
                left[here].remove(there)
            first = min(range(len(loop)), key=lambda at: order[loop[at]])
            found.append([*loop[first:], *loop[:first]])
    return found


def _shortest_loop(start: str, needs: Mapping[str, list[str]]) -> list[str]:
    """The shortest way from ``start`` back to itself, or nothing."""
    came_from: dict[str, str] = {}
    frontier = [start]
    while frontier:
        current = frontier.pop(0)
        for need in needs[current]:
            if need == start:
                way = [current]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if need not in came_from:
                came_from[need] = current
                frontier.append(need)
    return []
