"""Start order: levels, readiness, blocked agents, cycles."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tandem.fleet import Fleet, Surroundings, blocked, dependants, load_text, plan, ready_to_start
from tandem.fleet.plan import cycles, levels

names = st.integers(0, 11).map(lambda number: f"n{number}")
graphs = st.dictionaries(names, st.lists(names, max_size=4, unique=True), max_size=12)


@st.composite
def acyclic(draw: st.DrawFn) -> dict[str, list[str]]:
    """A graph whose needs point to earlier names, in a shuffled order."""
    count = draw(st.integers(0, 14))
    graph = {
        f"n{at}": [f"n{need}" for need in draw(st.sets(st.integers(0, at - 1), max_size=4))] if at else []
        for at in range(count)
    }
    return {name: graph[name] for name in draw(st.permutations(list(graph)))}


def small(needs: dict[str, list[str]]) -> Fleet:
    agents = "\n".join(f"      {name}: {{needs: [{', '.join(wanted)}]}}" for name, wanted in needs.items())
    result = load_text(
        f"fleet: f\npackage: p\ngroups:\n  g:\n    agents:\n{agents}\n", "f.yaml", Surroundings(environ={})
    )
    return result.require()


@given(acyclic())
def test_every_need_stands_on_a_lower_level(graph: dict[str, list[str]]) -> None:
    """Without cycles every name gets exactly one level, one above the highest of its needs."""
    found = levels(graph)
    level = {name: at for at, names_there in enumerate(found) for name in names_there}
    assert sorted(level) == sorted(graph)
    assert all(at == max((level[need] + 1 for need in graph[name]), default=0) for name, at in level.items())


@given(acyclic())
def test_acyclic_graphs_have_no_cycles(graph: dict[str, list[str]]) -> None:
    """No loop is found where there is none."""
    assert cycles(graph) == []


@given(graphs)
def test_cycles_are_real_and_complete(graph: dict[str, list[str]]) -> None:
    """Each loop follows existing needs, no step is in two loops, and without the steps nothing is left out of order."""
    known = {name: [need for need in wanted if need in graph] for name, wanted in graph.items()}
    steps = [
        (here, there)
        for loop in cycles(graph)
        for here, there in zip(loop, [*loop[1:], loop[0]], strict=True)
    ]
    assert len(set(steps)) == len(steps)
    assert all(there in known[here] for here, there in steps)
    rest = {name: [need for need in wanted if (name, need) not in steps] for name, wanted in known.items()}
    assert sorted(name for level in levels(rest) for name in level) == sorted(graph)


@given(graphs)
def test_what_is_in_no_level_is_behind_a_cycle_or_a_missing_name(graph: dict[str, list[str]]) -> None:
    """A name without a level needs something that has none either."""
    placed = {name for level in levels(graph) for name in level}
    for name, wanted in graph.items():
        assert (name in placed) == all(need in placed for need in wanted)


@given(acyclic())
def test_starting_by_events_reaches_everybody(graph: dict[str, list[str]]) -> None:
    """Starting whatever is ready, one agent at a time, starts every agent once and after its needs."""
    fleet = small(graph)
    up: list[str] = []
    while ready := ready_to_start(fleet, up):
        agent = ready[-1]
        assert set(agent.needs) <= set(up)
        up.append(str(agent.id))
    assert sorted(up) == sorted(fleet.agents)


def test_started_agents_are_not_offered_again() -> None:
    """An agent that is starting is neither healthy nor ready to start."""
    fleet = small({"a": [], "b": ["a"]})
    assert [agent.name for agent in ready_to_start(fleet, up=())] == ["a"]
    assert ready_to_start(fleet, up=(), started=("a@local",)) == []
    assert [agent.name for agent in ready_to_start(fleet, up=("a@local",))] == ["b"]


def test_plan_of_one_machine() -> None:
    """A machine's plan holds its own agents only, in the order of the file within a level."""
    text = """
fleet: f
package: p
machines: {m1: {}, m2: {}}
groups:
  one: {machine: m1, agents: {B: {needs: [A]}, A: , C: }}
  two: {machine: m2, agents: {D: {wants: [A]}}}
"""
    fleet = load_text(text, "f.yaml", Surroundings(environ={})).require()
    assert [[agent.name for agent in level] for level in plan(fleet, "m1")] == [["A", "C"], ["B"]]
    assert [[agent.name for agent in level] for level in plan(fleet)] == [["A", "C", "D"], ["B"]]


def test_blocked_agents_name_what_keeps_them() -> None:
    """Agents behind an invalid one are usable but can never start, and each names the need that keeps it."""
    text = """
fleet: f
package: p
groups:
  g:
    agents:
      Bad: {prot: 1}
      Behind: {needs: [Bad]}
      Further: {needs: [Behind, Fine]}
      Fine: {}
"""
    fleet = load_text(text, "f.yaml", Surroundings(environ={})).require()
    assert list(fleet.invalid) == ["Bad@local"]
    assert blocked(fleet) == {"Behind@local": "Bad@local", "Further@local": "Behind@local"}
    assert [[agent.name for agent in level] for level in plan(fleet)] == [["Fine"]]


def test_dependants_come_nearest_first() -> None:
    """Everything that needs an agent, directly or through others, is found once, the nearest first."""
    fleet = small({"a": [], "b": ["a"], "c": ["b", "a"], "d": ["c"], "e": []})
    assert dependants(fleet, "a@local") == ["b@local", "c@local", "d@local"]
