"""The two older shapes: read as they are, and converted into ours without loss."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec import structs

from tandem.fleet import Fleet, Surroundings, load_text, plan
from tandem.fleet.convert import convert
from tandem.fleet.shapes import pc2_group

DATA = Path(__file__).parent / "data"
MAIN = (DATA / "legacy_mainpc.yaml").read_text()
PC2 = (DATA / "legacy_pc2.yaml").read_text()
AROUND = Surroundings(environ={}, is_here=lambda host: False)


def fleet_of(text: str) -> Fleet:
    result = load_text(text, "startup.yaml", AROUND)
    assert result.ok, result.diagnostics
    return result.require()


def words(value: Any, *, keys: bool) -> set[str]:
    """Every single value of a YAML document as text, with or without the keys."""
    if isinstance(value, dict):
        inner = set().union(*(words(item, keys=keys) for item in value.values()))
        return inner | set(value) if keys else inner
    if isinstance(value, list):
        return set().union(*(words(item, keys=keys) for item in value))
    return {str(value)}


def test_nested_shape() -> None:
    """The main computer's file gives 54 agents in 11 groups, with commands, ports and needs in place."""
    fleet = fleet_of(MAIN)
    assert (len(fleet.agents), len(fleet.groups), list(fleet.machines)) == (54, 11, ["mainpc"])
    twin = fleet.agents["SystemDigitalTwin@mainpc"]
    assert twin.command == ["python", "main_pc_code/agents/system_digital_twin.py"]
    assert (twin.port, twin.side_ports, twin.needs) == (7220, {"health": 8220}, ["ServiceRegistry@mainpc"])
    assert twin.settings["redis"] == {"host": "localhost", "port": 6379}
    assert twin.env["LOG_LEVEL"] == "INFO"
    assert twin.probe is not None
    assert (twin.probe.target, twin.probe.every_s, twin.probe.failures) == ("tcp://127.0.0.1:8220", 30, 3)


def test_flat_shape() -> None:
    """The second computer's file gives 23 agents, sorted into its five groups by their names."""
    fleet = fleet_of(PC2)
    assert {name: len(group.agents) for name, group in fleet.groups.items()} == {
        "memory_services": 5,
        "infrastructure": 9,
        "ai_reasoning": 5,
        "web_services": 3,
        "monitoring": 1,
    }
    assert {agent.start_timeout_s for agent in fleet.agents.values()} == {300}


def test_both_shapes_in_one_text() -> None:
    """A file may hold both lists; each describes its own machine."""
    text = """
agent_groups: {core: {A: {script_path: a.py, port: 7200}}}
pc2_services: [{name: B, script_path: b.py, port: 7100}]
"""
    assert list(fleet_of(text).agents) == ["A@mainpc", "B@pc2"]


def test_old_keys_and_words() -> None:
    """Flags, arguments, restart words and YAML 1.1's truth values keep their meaning."""
    text = """
agent_groups:
  g:
    A:
      script_path: a.py
      command_args: --name 'two words' -v
      port: 1
      required: off
      has_error_bus: no
      restart_policy: unless-stopped
      startup_timeout: 12
      env_vars: {X: 1}
      config: {enabled: yes, label: "yes"}
"""
    agent = fleet_of(text).agents["A@mainpc"]
    assert agent.command == ["python", "a.py", "--name", "two words", "-v"]
    assert (agent.required, agent.error_bus, agent.restart.when, agent.start_timeout_s) == (
        False,
        False,
        "always",
        12,
    )
    assert (agent.env, agent.settings) == ({"X": "1"}, {"enabled": True, "label": "yes"})


def test_unknown_keys_are_kept_and_listed() -> None:
    """What has no meaning here is named with its new place and the line it was written on."""
    result = load_text(PC2, "startup.yaml", AROUND)
    kept = {found.path: found.line for found in result.kept}
    assert kept["x-legacy.error_bus_port"] == len(PC2.splitlines())
    assert "groups.monitoring.agents.ObservabilityHub.x-legacy.host" in kept
    assert "x-legacy.global_settings.resource_limits" in kept


def test_messages_point_into_the_old_file() -> None:
    """A mistake in an older file is reported at its place there, suggestion included."""
    text = MAIN.replace("      - ServiceRegistry\n", "      - ServiceRegistri\n", 1)
    (found,) = load_text(text, "startup.yaml", AROUND).diagnostics
    assert found.source_line == "      - ServiceRegistri"
    assert (found.column, found.suggestion) == (9, 'Did you mean "ServiceRegistry"?')


def test_a_name_listed_twice_in_the_flat_shape() -> None:
    """Two entries of one name are an error that shows both."""
    text = "pc2_services:\n  - {name: A, script_path: a.py}\n  - {name: A, script_path: b.py}\n"
    (found,) = load_text(text, "startup.yaml", AROUND).diagnostics
    assert (found.code, found.line, found.related[0].line) == ("duplicate-agent", 3, 2)


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("agent_group: {}\n", 'Did you mean "agent_groups"?'),
        ("services: []\nnetwork: x\n", 'Expected "fleet:"'),
        ("- a\n- b\n", "Start with: fleet: name"),
        ("just words\n", "Start with: fleet: name"),
    ],
)
def test_none_of_the_shapes(text: str, suggestion: str) -> None:
    """A document in no known shape says what was expected, or which key was meant."""
    (found,) = load_text(text, "x.yaml", AROUND).diagnostics
    assert found.code == "shape"
    assert suggestion in found.suggestion


def comparable(fleet: Fleet) -> Fleet:
    return structs.replace(fleet, name="", file="")


@pytest.mark.parametrize("text", [MAIN, PC2], ids=["nested", "flat"])
def test_conversion_means_the_same(text: str) -> None:
    """The converted file, read again, is the same fleet, and its conversion is itself."""
    converted = convert([("old.yaml", text)], "household")
    assert converted.diagnostics == []
    fleet = fleet_of(converted.text)
    assert comparable(fleet) == comparable(fleet_of(text))
    assert fleet.name == "household"
    assert not load_text(converted.text, "new.yaml", AROUND).legacy
    assert convert([("new.yaml", converted.text)], "ignored").text == converted.text


@pytest.mark.parametrize("text", [MAIN, PC2], ids=["nested", "flat"])
def test_conversion_loses_no_value(text: str) -> None:
    """Every value of the old file stands in the new one; only defaults said aloud are left out."""
    old = {word.removeprefix("${PORT_OFFSET}+") for word in words(yaml.safe_load(text), keys=False)}
    new = words(yaml.safe_load(convert([("old.yaml", text)], "f").text), keys=True)
    reworded = {"${PYTHONPATH}:/app", "--backend memory", "6379"}
    assert old - new <= reworded | {"True"}
    assert {"${PYTHONPATH:-}:/app", "--backend"} & new


def test_conversion_keeps_comments() -> None:
    """Comments above, beside and below stay with what they were about; # inside a text is no comment."""
    text = """# The header.
agent_groups:
  # About the group.
  g:
    # Above A.
    A:
      script_path: a.py  # beside
      config: {note: 'no # comment', block: 1}
  # The end.
"""
    converted = convert([("old.yaml", text)], "f").text
    for comment in ("# The header.", "# About the group.", "# Above A.", "# beside", "# The end."):
        assert converted.count(comment) == 1
    assert converted.index("# Above A.") < converted.index("      A:")
    assert converted.index("# beside") < converted.index("command:")
    assert yaml.safe_load(converted)["groups"]["g"]["agents"]["A"]["settings"]["note"] == "no # comment"


def test_two_files_become_one_fleet() -> None:
    """Both computers' files together give 77 agents on two machines, startable as a whole on one computer."""
    converted = convert([("main.yaml", MAIN), ("pc2.yaml", PC2)], "household")
    fleet = load_text(converted.text, "fleet.yaml", Surroundings(environ={})).require()
    assert (len(fleet.agents), len(fleet.groups), list(fleet.machines)) == (77, 16, ["mainpc", "pc2"])
    assert sum(map(len, plan(fleet))) == 77
    assert fleet.agents["TieredResponder@pc2"].env["PYTHONPATH"] == ":/app"
    assert fleet.agents["NLUAgent@mainpc"].env["PYTHONPATH"] == "/app"
    kept = yaml.safe_load(converted.text)["x-legacy"]
    assert (kept["pc2"]["error_bus_port"], sorted(kept)) == (7150, ["mainpc", "pc2"])


def test_equal_group_names_stay_apart() -> None:
    """A group both files have gets its machine's name added in the second."""
    main = "agent_groups: {infrastructure: {A: {script_path: a.py}}}\n"
    second = "pc2_services: [{name: B, script_path: b.py}]\n"
    fleet = fleet_of(convert([("a", main), ("b", second)], "f").text)
    assert {name: group.agents for name, group in fleet.groups.items()} == {
        "infrastructure": ["A@mainpc"],
        "infrastructure_pc2": ["B@pc2"],
    }


def test_conversion_of_a_broken_file_gives_no_text() -> None:
    """A source that cannot be read leaves no half-written result."""
    converted = convert([("a", "agent_groups: [\n")], "f")
    assert (converted.text, [found.code for found in converted.diagnostics]) == ("", ["yaml-syntax"])


def test_unset_variables_stay_empty() -> None:
    """Older files took unset variables as empty; reading warns, and the converted file says so itself."""
    text = "pc2_services: [{name: B, script_path: b.py, env: {P: '${NOPE}:x'}}]\n"
    result = load_text(text, "old.yaml", AROUND)
    assert [(found.severity, found.code) for found in result.diagnostics] == [("warning", "unset-variable")]
    assert load_text(convert([("old.yaml", text)], "f").text, "new.yaml", AROUND).diagnostics == []


@pytest.mark.parametrize(
    ("name", "group"),
    [
        ("ProactiveContextMonitor", "infrastructure"),
        ("ContextManager", "memory_services"),
        ("FileSystemAssistantAgent", "web_services"),
        ("DreamingModeAgent", "ai_reasoning"),
        ("ObservabilityHub", "monitoring"),
        ("SomethingNew", "infrastructure"),
    ],
)
def test_groups_by_name(name: str, group: str) -> None:
    """The second computer's agents find their group by their names."""
    assert pc2_group(name) == group


def test_free_keys_among_groups_survive() -> None:
    """An anchor kept in an x- key among the groups is neither a group nor lost."""
    text = "agent_groups: {x-base: &base {required: false}, g: {A: {<<: *base, script_path: a.py}}}\n"
    assert not fleet_of(text).agents["A@mainpc"].required
    assert yaml.safe_load(convert([("a", text)], "f").text)["groups"]["x-base"] == {"required": False}


def test_our_shape_with_a_leftover_of_an_older_one() -> None:
    """A half-converted file is ours, and the leftover is an unknown key in it."""
    text = "fleet: f\ngroups: {}\nagent_groups: {}\n"
    assert [found.code for found in load_text(text, "f", AROUND).diagnostics] == ["unknown-key"]


def test_arguments_with_an_open_quotation_are_shown() -> None:
    """What no shell could split makes that agent invalid, at its line; the others are there."""
    text = """
agent_groups:
  g:
    A:
      script_path: a.py
      command_args: --name "two words
    B: {script_path: b.py}
"""
    result = load_text(text, "startup.yaml", AROUND)
    [found] = [diagnostic for diagnostic in result.diagnostics if diagnostic.code == "command-args"]
    assert (found.line, found.agent) == (6, "A@mainpc")
    assert "no closing quotation" in found.message
    assert "B@mainpc" in result.require().agents
