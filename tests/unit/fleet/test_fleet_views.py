"""What is drawn from a fleet: sources of values, the graph, the JSON Schema."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tandem.core.errors import NotFound
from tandem.fleet import LoadResult, Surroundings, load_text
from tandem.fleet.document import AgentDoc, FleetDoc, GroupDoc, MachineDoc
from tandem.fleet.explain import explain
from tandem.fleet.graph import dot, graph_of, mermaid, text
from tandem.fleet.schema import json_schema

FILE = """fleet: f
package: p
defaults: {stop_grace_s: 7}
machines:
  m: {defaults: {user: nobody, env: {A: machine}}}
groups:
  g:
    machine: m
    defaults: {restart: on-failure, env: {B: group}}
    agents:
      Root: {port: 7000}
      Leaf:
        needs: [Root]
        wants: [Side]
        settings: {token: "${TOKEN}", deep: {x: 1}}
        env: {C: entry}
      Side: {command: [python, x.py], required: false}
"""


def load(source: str = FILE) -> LoadResult:
    return load_text(source, "fleet.yaml", Surroundings(environ={"TOKEN": "t"}))


def sources(name: str) -> dict[str, str]:
    return {row.key: str(row.source) for row in explain(load(), name)}


def test_every_value_says_where_it_came_from() -> None:
    """Entry, group, machine and fleet defaults are told apart, each with its place; the rest is a default."""
    found = sources("Leaf")
    assert found["needs"] == "fleet.yaml:13:16"
    assert found["stop_grace_s"] == "fleet.yaml:3:26, fleet defaults"
    assert found["user"] == "fleet.yaml:5:24, machine defaults"
    assert found["restart.when"] == "fleet.yaml:9:25, group defaults"
    assert found["restart.max_delay_s"] == "default"
    assert found["env.A"] == "fleet.yaml:5:41, machine defaults"
    assert found["env.B"] == "fleet.yaml:9:46, group defaults"
    assert found["env.C"] == "fleet.yaml:16:18"
    assert found["settings.token"] == "fleet.yaml:15:27, $TOKEN"
    assert found["machine"] == "fleet.yaml:8:14"
    assert found["class"] == "inferred"
    assert found["vram_mb"] == "default"


def test_values_are_final() -> None:
    """The explained value is the one that counts, as plain data."""
    rows = {row.key: row.value for row in explain(load(), "Leaf@m")}
    assert (rows["needs"], rows["settings.deep"], rows["restart.when"]) == (
        ["Root@m"],
        {"x": 1},
        "on-failure",
    )
    assert rows["class"] == "p.g.leaf:Leaf"


def test_one_key_and_what_lies_under_it() -> None:
    """A key selects itself and its parts; a misspelt one is refused with a suggestion."""
    assert [row.key for row in explain(load(), "Leaf", "env")] == ["env.A", "env.B", "env.C"]
    assert [row.key for row in explain(load(), "Leaf", "port")] == ["port"]
    with pytest.raises(NotFound, match="Leaf@m has no prot") as caught:
        explain(load(), "Leaf", "prot")
    assert caught.value.hint == 'Did you mean "port"?'
    with pytest.raises(NotFound):
        explain(load(), "Nobody")
    with pytest.raises(NotFound):
        explain(load("fleet: [\n"), "Leaf")


def test_the_shared_port_explains_itself() -> None:
    """A port taken because two machines share a computer points at the key that gave it."""
    shared = "fleet: f\npackage: p\nmachines: {a: {}, b: {}}\ngroups:\n  g: {machine: b, agents: {H: {port: 1, shared_host_port: 2}}}\n"
    (row,) = explain(load(shared), "H", "port")
    assert (row.value, str(row.source)) == (2, "fleet.yaml:5:59, shared_host_port")


def draft(source: str = FILE) -> Any:
    found = load(source).draft
    assert found is not None
    return found


def test_graph_as_text() -> None:
    """Levels from the first to start, each agent with what it needs, and with wants on demand."""
    assert text(graph_of(draft(), wants=True)).splitlines() == [
        "level 0",
        "  Root",
        "  Side",
        "",
        "level 1",
        "  Leaf  needs Root; wants Side",
    ]


def test_graph_shows_what_can_never_start() -> None:
    """Agents of a loop have no level and are listed as such."""
    found = graph_of(
        draft("fleet: f\npackage: p\ngroups: {g: {agents: {a: {needs: [b]}, b: {needs: [a]}, c: }}}\n")
    )
    assert (found.levels, found.unreachable) == ([["c@local"]], ["a@local", "b@local"])
    assert "can never start" in text(found)


def test_graph_around_an_agent() -> None:
    """Around an agent: what it needs and what needs it, directly or not, and nothing beside."""
    source = """
fleet: f
package: p
groups: {g: {agents: {a: , b: {needs: [a]}, c: {needs: [b]}, d: {needs: [c]}, side: {needs: [a]}}}}
"""
    found = graph_of(draft(source), around="c@local")
    assert found.levels == [["a@local"], ["b@local"], ["c@local"], ["d@local"]]


def test_mermaid() -> None:
    """Nodes stand in a box per group; needs are solid, wants dotted; no node is called by a word of the grammar."""
    fleet = draft(FILE.replace("Root", "end"))
    lines = mermaid(graph_of(fleet, wants=True), fleet).splitlines()
    assert lines[0] == "flowchart LR"
    assert '  subgraph n_g["g (m)"]' in lines
    assert '    n_end_m["end"]' in lines
    assert "  n_Leaf_m --> n_end_m" in lines
    assert "  n_Leaf_m -.-> n_Side_m" in lines


def test_dot() -> None:
    """Nodes stand in a cluster per group, every name quoted; wants are dashed."""
    fleet = draft()
    drawn = dot(graph_of(fleet, wants=True), fleet)
    assert drawn.startswith('digraph "f" {')
    assert '  "Leaf@m" -> "Root@m";' in drawn
    assert '  "Leaf@m" -> "Side@m" [style=dashed];' in drawn
    assert drawn.count("{") == drawn.count("}")


def test_schema_names_every_key() -> None:
    """The published schema has the keys the loader knows, refuses others, and leaves x- keys free."""
    schema = json_schema()
    for kind in (FleetDoc, AgentDoc):
        published = schema["$defs"][kind.__name__]
        assert set(published["properties"]) == set(kind.__struct_encode_fields__)
        assert published["additionalProperties"] is False
        assert "^x-" in published["patternProperties"]


def test_schema_references_resolve() -> None:
    """Every reference within the schema leads to a definition."""
    schema = json_schema()
    references = set(re.findall(r"#/\$defs/(\w+)", repr(schema)))
    assert references <= set(schema["$defs"])


def test_schema_allows_variables_for_numbers() -> None:
    """Where a number is wanted, an editor also accepts a text with a variable."""
    grace = json_schema()["$defs"]["AgentDoc"]["properties"]["stop_grace_s"]
    pattern = next(choice["pattern"] for choice in grace["anyOf"] if choice["type"] == "string")
    assert re.search(pattern, "${PORT_OFFSET}+7200")
    assert not re.search(pattern, "7200")


def test_the_manual_knows_every_code_and_key() -> None:
    """docs/fleet-file.md names each diagnostic code of the loader and each key of the file."""
    root = Path(__file__).parents[3]
    manual = (root / "docs" / "fleet-file.md").read_text()
    source = " ".join(path.read_text() for path in (root / "src" / "tandem" / "fleet").glob("*.py"))
    codes = set(re.findall(r'\b(?:error|warning|_error|_problem)\(\s*(?:path, )?"([a-z-]+)"', source))
    assert {"cycle", "port-conflict", "unreadable"} <= codes
    assert {code for code in codes if f"`{code}`" not in manual} == set()
    keys = {
        key for kind in (FleetDoc, MachineDoc, GroupDoc, AgentDoc) for key in kind.__struct_encode_fields__
    }
    assert {key for key in keys if f"`{key}`" not in manual} == set()
