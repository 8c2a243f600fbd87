"""The verbs config, graph and ports as a person or a script uses them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from tandem.cli import config, graph, ports
from tandem.cli.fleet_file import import_settings
from tandem.fleet.check import MissingClass

FILE = """fleet: home
package: nowhere
machines: {m: {ports: [7000-7009]}}
groups:
  g:
    agents:
      A: {port: 7001}
      B: {port: 7002, needs: [A], settings: {api_token: hunter22hunter22}}
"""
LEGACY = Path(__file__).parents[1] / "fleet" / "data" / "legacy_pc2.yaml"


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("TANDEM_FLEET", "PORT_OFFSET", "MAINPC_IP", "PC2_IP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "fleet.yaml"
    path.write_text(FILE)
    return path


def run(app: typer.Typer, *arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def run_json(app: typer.Typer, *arguments: str) -> Any:
    return json.loads(run(app, *arguments, "--json").stdout)


def break_it(fleet: Path) -> None:
    fleet.write_text(FILE.replace("port: 7002", "port: 7001"))


def test_validate_accepts(fleet: Path) -> None:
    """A good file is summed up in one line, with status 0."""
    result = run(config.app, "validate", "--no-classes")
    assert result.exit_code == 0
    assert result.stdout == "fleet.yaml: fleet home, 2 agents in 1 group on 1 machine, 2 start levels\n"


def test_validate_rejects(fleet: Path) -> None:
    """A bad file exits with 78 and explains itself on stderr, leaving stdout empty."""
    break_it(fleet)
    result = run(config.app, "validate", "--no-classes")
    assert (result.exit_code, result.stdout) == (78, "")
    assert "Error: port 7001 is taken by A@m" in result.stderr


def test_validate_looks_for_classes(fleet: Path) -> None:
    """By default classes are imported, and a missing one is an error."""
    result = run(config.app, "validate", "--json")
    assert result.exit_code == 78
    assert [found["code"] for found in json.loads(result.stdout)["diagnostics"]] == [
        "missing-class",
        "missing-class",
    ]


def test_strict_validation_counts_warnings(fleet: Path) -> None:
    """A warning is harmless unless --strict is given."""
    fleet.write_text(FILE.replace("needs: [A]", "needs: [A, A]"))
    assert run(config.app, "validate", "--no-classes").exit_code == 0
    assert run(config.app, "validate", "--no-classes", "--strict").exit_code == 78


@pytest.mark.parametrize("how", ["option", "environment", "directory"])
def test_the_file_is_found(
    fleet: Path, how: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: Any
) -> None:
    """--fleet and TANDEM_FLEET name a file or the directory it lies in."""
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    if how == "environment":
        monkeypatch.setenv("TANDEM_FLEET", str(fleet))
        assert run(config.app, "validate", "--no-classes").exit_code == 0
    else:
        named = fleet if how == "option" else fleet.parent
        assert run(config.app, "validate", "--no-classes", "--fleet", str(named)).exit_code == 0
    assert run(config.app, "validate", "--fleet", "absent.yaml").exit_code == 78


def test_show(fleet: Path) -> None:
    """The fleet is shown with placements and needs; as JSON it is the whole resolved model."""
    result = run(config.app, "show")
    assert "m runs here" in result.stdout
    assert "needs A" in result.stdout
    shown = run_json(config.app, "show")
    assert shown["agents"]["B@m"]["needs"] == ["A@m"]


def test_secrets_are_not_shown(fleet: Path) -> None:
    """What looks like a secret by its key is hidden in every output."""
    for arguments in (("show",), ("explain", "B")):
        for extra in ((), ("--json",)):
            assert "hunter22" not in run(config.app, *arguments, *extra).output


def test_explain(fleet: Path) -> None:
    """A value is shown with its file and line; defaults are counted, and shown on demand."""
    result = run(config.app, "explain", "B", "port")
    assert result.stdout.split() == ["port", "7002", "fleet.yaml:8:17"]
    assert "stop_grace_s" not in run(config.app, "explain", "B").stdout
    assert "stop_grace_s" in run(config.app, "explain", "B", "--all").stdout
    assert run_json(config.app, "explain", "B", "port")[0]["source"] == {
        "file": "fleet.yaml",
        "line": 8,
        "column": 17,
    }


def test_explain_the_whole_environment(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable of a process comes from the fleet file, from Tandem or from the shell, the former before the latter; secrets
    the file refers to are in none of them, and what looks like a secret is hidden."""
    changed = "settings: {key: 'secret-env:DOOR_CODE'}, env: {EDITOR: ed}"
    fleet.write_text(FILE.replace("settings: {api_token: hunter22hunter22}", changed))
    for name, value in {"EDITOR": "vi", "PAGER": "less", "DOOR_CODE": "4711", "SITE_TOKEN": "hunter23hunter23", "TANDEM_HOME": "/tmp/h"}.items():
        monkeypatch.setenv(name, value)
    rows = {row["key"]: (row["value"], row["source"]) for row in run_json(config.app, "explain", "B", "env")}
    assert rows["env.EDITOR"] == ("ed", {"file": "fleet.yaml", "line": 8, "column": 90})
    assert rows["env.PAGER"] == ("less", {"via": "shell"})
    assert rows["env.TANDEM_HOME"] == ("/tmp/h", {"via": "Tandem"})
    assert "env.DOOR_CODE" not in rows
    assert rows["env.SITE_TOKEN"][0] != "hunter23hunter23"
    assert run(config.app, "explain", "B", "env.PAGER").stdout.split() == ["env.PAGER", "less", "shell"]
    unknown = run(config.app, "explain", "B", "env.PAGE")
    assert unknown.exit_code == 1
    assert 'Did you mean "env.PAGER"?' in unknown.stderr


def test_explain_what_a_program_is_told(fleet: Path) -> None:
    """A program of another make also finds its name and its port in its environment."""
    fleet.write_text(FILE.replace("A: {port: 7001}", "A: {port: 7001, command: [sleep, '9']}"))
    rows = {row["key"]: (row["value"], row["source"]) for row in run_json(config.app, "explain", "A", "env")}
    assert rows["env.TANDEM_PORT"] == ("7001", {"via": "Tandem"})
    assert rows["env.TANDEM_AGENT"] == ("A", {"via": "Tandem"})


def test_explain_an_unknown_agent(fleet: Path) -> None:
    """An unknown name ends with status 1 and a suggestion."""
    result = run(config.app, "explain", "Bb")
    assert result.exit_code == 1
    assert 'Did you mean "B"?' in result.stderr


def test_convert_to_stdout_and_file(fleet: Path) -> None:
    """An older file is written in our shape, to stdout or to a file, and what was kept is listed on stderr."""
    result = run(config.app, "convert", str(LEGACY), "--name", "second")
    assert result.exit_code == 0
    assert "\nfleet: second\n" in f"\n{result.stdout}"
    assert "error_bus_port (line " in result.stderr
    run(config.app, "convert", str(LEGACY), "--name", "second", "-o", "new.yaml")
    assert Path("new.yaml").read_text() == result.stdout
    assert run(config.app, "validate", "--fleet", "new.yaml").exit_code == 0


def test_convert_refuses_what_it_cannot_read(fleet: Path) -> None:
    """One unreadable source among several ends with 78 and writes nothing."""
    result = run(config.app, "convert", str(LEGACY), "absent.yaml", "-o", "new.yaml")
    assert (result.exit_code, Path("new.yaml").exists()) == (78, False)


def test_schema_is_json(fleet: Path) -> None:
    """The schema is printed as JSON."""
    assert json.loads(run(config.app, "schema").stdout)["$ref"] == "#/$defs/FleetDoc"


@pytest.mark.parametrize(
    ("arguments", "first"),
    [((), "level 0"), (("--format", "mermaid"), "flowchart LR"), (("--format", "dot"), 'digraph "home" {')],
)
def test_graph_formats(fleet: Path, arguments: tuple[str, ...], first: str) -> None:
    """The graph is drawn as text, Mermaid or Graphviz."""
    result = run(graph.app, *arguments)
    assert result.exit_code == 0
    assert result.stdout.splitlines()[0] == first


def test_graph_as_json_around_an_agent(fleet: Path) -> None:
    """As data the graph has levels and edges; around an agent only its relatives."""
    drawn = run_json(graph.app, "--around", "B")
    assert (drawn["levels"], drawn["edges"]) == (
        [["A@m"], ["B@m"]],
        [{"source": "B@m", "target": "A@m", "kind": "needs"}],
    )
    assert run(graph.app, "--around", "Nobody").exit_code == 1


def test_ports_matrix(fleet: Path) -> None:
    """The matrix lists every listener and the free stretches of each range."""
    result = run(ports.app)
    assert result.exit_code == 0
    assert "7003-7009" in result.stdout
    matrix = run_json(ports.app)
    assert [one["agent"] for one in matrix["listeners"] if one["purpose"] == "rpc"] == ["A@m", "B@m"]
    assert matrix["ranges"] == [{"machine": "m", "range": "7000-7009", "used": [7001, 7002], "free": 8}]


def test_ports_check(fleet: Path) -> None:
    """The check is silent about other problems, and exits with 78 when ports clash."""
    fleet.write_text(FILE.replace("needs: [A]", "needs: [Nobody]"))
    assert run(ports.app, "check").exit_code == 0
    break_it(fleet)
    for verb in ((), ("check",)):
        result = run(ports.app, *verb)
        assert result.exit_code == 78
        assert "port 7001 is taken" in result.stderr


def test_ports_with_offset(fleet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The matrix shows final ports and says that they were moved."""
    monkeypatch.setenv("PORT_OFFSET", "1000")
    assert "8001" in run(ports.app).stdout
    assert run_json(ports.app)["port_offset"] == 1000


@pytest.mark.parametrize("app", [config.app, graph.app, ports.app])
def test_nothing_readable(fleet: Path, app: typer.Typer) -> None:
    """A file that is no YAML ends every verb with 78 and the place of the mistake."""
    fleet.write_text("fleet: [\n")
    result = run(app, *(("show",) if app is config.app else ()))
    assert result.exit_code == 78
    assert "fleet.yaml line" in result.stderr


@pytest.mark.parametrize("app", [config.app, graph.app, ports.app])
def test_help_has_an_example(app: typer.Typer) -> None:
    """Every verb's help shows an example."""
    names = [
        command.name or command.callback.__name__ for command in app.registered_commands if command.callback
    ]
    pages = (
        [run(app, name, "--help").stdout for name in names]
        if app is config.app
        else [run(app, "--help").stdout]
    )
    assert all("Example: tandem " in page for page in pages)


def test_import_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are found by importing the class; what is missing or broken is said in words."""
    (tmp_path / "probed_agents.py").write_text(
        "from msgspec import Struct\nfrom tandem.agent import Agent\n\n"
        "class Full(Agent):\n    class Settings(Struct):\n        size: int = 1\n\n"
        "class Bare(Agent):\n    pass\n\nclass Other:\n    pass\n"
    )
    (tmp_path / "broken_agents.py").write_text("raise RuntimeError('no luck')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    full = import_settings("probed_agents:Full")
    assert isinstance(full, type)
    assert full.__struct_fields__ == ("size",)
    assert not getattr(import_settings("probed_agents:Bare"), "__struct_fields__", ())
    for path, message in {
        "probed_agents:Ful": 'Did you mean "Full"?',
        "probed_agents:Other": "Agent",
        "broken_agents:X": "RuntimeError: no luck",
        "absent_agents:X": "absent_agents",
        "tandem.agnet:X": 'Did you mean "agent"?',
    }.items():
        missing = import_settings(path)
        assert isinstance(missing, MissingClass)
        assert message in f"{missing.message} {missing.suggestion}"


def test_ports_of_an_unknown_machine(fleet: Path) -> None:
    """A machine that is not in the fleet ends with status 1, not with an empty table."""
    result = run(ports.app, "--machine", "mm")
    assert (result.exit_code, result.stdout) == (1, "")
    assert 'Did you mean "m"?' in result.stderr
