"""Ports: clashes per host, ranges, gaps, and choosing free ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tandem.fleet import PortRange, Surroundings, load, load_text
from tandem.fleet.ports import Listener, Usage, assign, conflicts, in_ranges, listeners, usage
from tandem.fleet.ports_doc import render

hosts = st.sampled_from(["here", "10.0.0.2", "10.0.0.3"])
ports_ = st.integers(7000, 7015)
ranges_ = st.lists(
    st.tuples(st.integers(7000, 7030), st.integers(0, 8)).map(
        lambda pair: PortRange(pair[0], pair[0] + pair[1])
    ),
    min_size=1,
    max_size=3,
)


@st.composite
def listening(draw: st.DrawFn) -> list[Listener]:
    """Listeners of distinct agents on a few hosts and ports, so that clashes are common."""
    drawn = draw(st.lists(st.tuples(hosts, ports_), max_size=12))
    return [
        Listener(host=host, port=port, machine=f"m-{host}", agent=f"A{at}@m", purpose="rpc")
        for at, (host, port) in enumerate(drawn)
    ]


@given(listening())
def test_a_clash_for_every_listener_beyond_the_first(found: list[Listener]) -> None:
    """Each port of a host has one owner, and everybody else on it is in exactly one clash with that owner."""
    clashes = conflicts(found)
    counts = Counter((listener.host, listener.port) for listener in found)
    assert len(clashes) == sum(count - 1 for count in counts.values())
    for clash in clashes:
        assert (clash.first.host, clash.first.port) == (clash.second.host, clash.second.port)
        assert found.index(clash.first) < found.index(clash.second)
        assert clash.first == next(
            owner for owner in found if (owner.host, owner.port) == (clash.first.host, clash.first.port)
        )


@given(st.lists(listening(), max_size=1), st.integers(1, 1000))
def test_an_offset_changes_no_verdict(drawn: list[list[Listener]], offset: int) -> None:
    """Moving every port by the same number makes and mends no clash."""
    found = drawn[0] if drawn else []
    moved = [
        Listener(
            host=one.host, port=one.port + offset, machine=one.machine, agent=one.agent, purpose=one.purpose
        )
        for one in found
    ]
    assert [clash.second.agent for clash in conflicts(found)] == [
        clash.second.agent for clash in conflicts(moved)
    ]


@given(st.text(min_size=1, max_size=8), ranges_, st.sets(st.integers(7000, 7040)))
def test_an_assigned_port_is_free_and_allowed(name: str, ranges: list[PortRange], taken: set[int]) -> None:
    """A chosen port lies in a range and is free; none is chosen only when every port of the ranges is taken."""
    port = assign(name, ranges, taken)
    allowed = {port for one in ranges for port in range(one.first, one.last + 1)}
    assert (port in allowed - taken) if port is not None else allowed <= taken


@given(st.text(min_size=1, max_size=8), ranges_, st.sets(st.integers(7000, 7040)), st.integers(7000, 7040))
def test_an_assigned_port_moves_only_when_taken(
    name: str, ranges: list[PortRange], taken: set[int], newcomer: int
) -> None:
    """A newly taken port changes the choice only if it was the chosen one."""
    before = assign(name, ranges, taken)
    if newcomer != before:
        assert assign(name, ranges, taken | {newcomer}) == before


@given(st.integers(7000, 7010), st.integers(0, 30), st.sets(st.integers(7000, 7040)))
def test_gaps_and_used_ports_make_up_the_range(first: int, length: int, taken: set[int]) -> None:
    """Every port of a range is either used or in exactly one gap."""
    whole = PortRange(first, first + length)
    found = Usage("m", whole, sorted(port for port in taken if port in whole))
    in_gaps = [port for gap in found.gaps() for port in range(gap.first, gap.last + 1)]
    assert sorted(in_gaps + found.used) == list(range(whole.first, whole.last + 1))
    assert found.free == len(in_gaps)


def test_no_ranges_allow_any_port() -> None:
    """A machine that declares no ranges allows every port."""
    assert in_ranges(1, [])
    assert not in_ranges(1, [PortRange(2, 3)])


def test_usage_counts_neighbours_on_the_host() -> None:
    """A range is filled by every listener on its computer, also by another machine's."""
    text = """
fleet: f
package: p
machines: {m1: {ports: [7000-7004]}, m2: {ports: [8000]}}
groups:
  a: {machine: m1, agents: {A: {port: 7001}}}
  b: {machine: m2, agents: {B: {port: 8000, side_ports: {health: 8000}}}}
"""
    draft = load_text(text, "f", Surroundings(environ={})).draft
    assert draft is not None
    first, second = usage(draft)
    assert (first.used, [str(gap) for gap in first.gaps()]) == ([7001], ["7000", "7002-7004"])
    assert (second.used, second.free, second.gaps()) == ([8000], 0, [])
    assert [found.owner() for found in listeners(draft)][-3:] == ["A@m1", "B@m2", "B@m2 (health)"]


def test_the_page_tells_the_same_wherever_the_fleet_runs() -> None:
    """Offsets and addresses are of one household; the page is of the file."""
    file = Path(__file__).parents[3] / "fleet.yaml"
    here = load(file, Surroundings(environ={})).require()
    moved = load(file, Surroundings(environ={"PORT_OFFSET": "1000"})).require()
    assert render(here) == render(moved)


def test_an_automatic_port_is_in_the_page() -> None:
    """``port: auto`` shows the port it was given, and a machine without ranges says that any may be used."""
    text = (
        "fleet: f\nmachines: {m: {ports: [7100-7101]}, n: {}}\ngroups:\n"
        "  g: {machine: m, agents: {A: {command: [a], port: auto}, B: {command: [b], port: 7100}}}\n"
    )
    page = render(load_text(text, "fleet.yaml").require())
    assert "| 7101 | A | g | rpc |" in page
    assert "| 7100-7101 | 2 | 0 |  |" in page
    assert "declares no ranges" in page
