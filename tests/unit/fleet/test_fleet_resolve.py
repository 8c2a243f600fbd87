"""From what was written to what is meant: placement, offsets, defaults, classes, probes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tandem.fleet import AgentConfig, Fleet, LoadResult, PortRange, RestartPolicy, Surroundings, load_text
from tandem.fleet.model import GpuConfig
from tandem.fleet.resolve_agent import snake_case


def read(text: str, **environ: str) -> LoadResult:
    return load_text(
        text, "fleet.yaml", Surroundings(environ=environ, is_here=lambda host: host == "192.168.1.5")
    )


def fleet_of(text: str, **environ: str) -> Fleet:
    result = read(text, **environ)
    assert result.diagnostics == []
    return result.require()


def agent(line: str, top: str = "", **environ: str) -> AgentConfig:
    fleet = fleet_of(
        f"fleet: f\npackage: pack\n{top}groups:\n  g:\n    agents:\n      A: {line}\n", **environ
    )
    return fleet.agents["A@local"]


TWO = """
fleet: f
package: p
machines:
  mainpc: {host: "${MAINPC_IP}"}
  pc2: {host: "${PC2_IP}", ports: [9000-9199]}
groups:
  g: {machine: mainpc, agents: {Hub: {port: 9000}}}
  h: {machine: pc2, agents: {Hub: {port: 9000, shared_host_port: 9100}}}
"""


def test_without_addresses_both_machines_run_here() -> None:
    """Unset variables place a machine on this computer, and the reason names the variable."""
    fleet = fleet_of(TWO)
    assert [machine.placement() for machine in fleet.machines.values()] == [
        "mainpc runs here because MAINPC_IP is unset",
        "pc2 runs here because PC2_IP is unset",
    ]
    assert fleet.shares_host("pc2")
    assert fleet.agents["Hub@pc2"].port == 9100


def test_with_addresses_each_machine_has_its_own_host() -> None:
    """A machine whose address is this computer's runs here, another one there, and both may use the same port."""
    fleet = fleet_of(TWO, MAINPC_IP="192.168.1.5", PC2_IP="192.168.1.6")
    assert [machine.placement() for machine in fleet.machines.values()] == [
        "mainpc runs here",
        "pc2 runs on 192.168.1.6",
    ]
    assert not fleet.shares_host("pc2")
    assert fleet.agents["Hub@pc2"].port == 9000


@pytest.mark.parametrize(
    "environ",
    [
        {"MAIN_PC_IP": "10.0.0.9"},
        {"MAINPC_IP": "", "MAIN_PC_IP": "10.0.0.9"},
        {"MAINPC_ENDPOINT": "http://10.0.0.9:9000"},
        {"MAINPC_ENDPOINT": "10.0.0.9:9000"},
        {"MAINPC_IP": "10.0.0.9", "MAIN_PC_IP": "10.0.0.1", "MAINPC_ENDPOINT": "http://10.0.0.2"},
    ],
    ids=[
        "alias",
        "empty counts as unset",
        "endpoint",
        "endpoint without scheme",
        "the name in the file wins",
    ],
)
def test_old_names_of_the_main_computers_address(environ: dict[str, str]) -> None:
    """The earlier system's variables say where the main computer is."""
    assert fleet_of(TWO, PC2_IP="10.0.0.8", **environ).machines["mainpc"].host == "10.0.0.9"


def test_offset_moves_every_listener() -> None:
    """PORT_OFFSET is added to agents, side ports, ranges, servers and probes, and once where it is written out."""
    text = """
fleet: f
package: p
machines: {m: {ports: [7000-7100], infra: {nats: 4500}}}
groups:
  g:
    agents:
      A: {port: 7001}
      B: {port: "${PORT_OFFSET}+7002"}
      C: {command: [x], port: 7003, side_ports: {health: 7004}, probe: {zmq: 7005}}
"""
    plain, moved = fleet_of(text), fleet_of(text, PORT_OFFSET="1000")
    assert [found.port for found in plain.agents.values()] == [7001, 7002, 7003]
    assert [found.port for found in moved.agents.values()] == [8001, 8002, 8003]
    assert moved.agents["C@m"].side_ports == {"health": 8004}
    assert moved.agents["C@m"].probe is not None
    assert moved.agents["C@m"].probe.target == "tcp://127.0.0.1:8005"
    machine = moved.machines["m"]
    assert machine.ports == [PortRange(8000, 8100)]
    before = plain.machines["m"].infra.listed()
    assert machine.infra.listed() == [(name, port + 1000) for name, port in before]
    assert machine.infra.nats == 5500


def test_offset_in_settings_is_what_it_says() -> None:
    """In settings the offset is a variable like any other: nothing is added behind the author's back."""
    found = agent('{settings: {port: "${PORT_OFFSET}+6379", plain: 6379}}', PORT_OFFSET="10")
    assert found.settings == {"port": 6389, "plain": 6379}


@pytest.mark.parametrize("offset", ["many", "-1", "70000", "1.5", "٣"])
def test_senseless_offsets_are_reported_once(offset: str) -> None:
    """An offset that is no small whole number is one error of the whole fleet."""
    result = read(TWO, PORT_OFFSET=offset)
    assert [found.code for found in result.diagnostics] == ["port-offset"]
    assert result.fleet is None


def test_further_machines_get_server_ports_of_their_own() -> None:
    """Two machines on one computer do not clash over the ports of their servers."""
    machines = fleet_of(TWO).machines
    taken = [port for machine in machines.values() for _, port in machine.infra.listed()]
    assert len(set(taken)) == len(taken)
    assert machines["pc2"].infra.nats == machines["mainpc"].infra.nats + 1


def test_nearest_defaults_win() -> None:
    """The entry counts before its group, the group before its machine, the machine before the fleet; env is merged."""
    text = """
fleet: f
package: p
defaults: {start_timeout_s: 1, stop_grace_s: 1, on_dependency: restart, env: {A: fleet, B: fleet, C: fleet}}
machines: {m: {defaults: {stop_grace_s: 2, user: nobody, env: {B: machine, C: machine}}}}
groups:
  g:
    defaults: {user: somebody, env: {C: group}}
    agents: {X: {user: me, env: {D: entry}}, Y: }
"""
    fleet = fleet_of(text)
    own, other = fleet.agents["X@m"], fleet.agents["Y@m"]
    assert (own.user, other.user) == ("me", "somebody")
    assert (other.start_timeout_s, other.stop_grace_s, other.on_dependency) == (1, 2, "restart")
    assert own.env == {"A": "fleet", "B": "machine", "C": "group", "D": "entry"}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("STTService", "stt_service"),
        ("TinyLlamaServiceEnhanced", "tiny_llama_service_enhanced"),
        ("NLLBAdapter", "nllb_adapter"),
        ("VRAMOptimizerAgent", "vram_optimizer_agent"),
        ("Responder", "responder"),
        ("Phase2Agent", "phase2_agent"),
    ],
)
def test_snake_case(name: str, expected: str) -> None:
    """Module names follow from class names, runs of capitals being one word."""
    assert snake_case(name) == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "pack.g.a:A"),
        ("{class: other.mod:Cls}", "other.mod:Cls"),
        ("{class: .sub:Cls}", "pack.g.sub:Cls"),
        ("{command: [x]}", None),
    ],
    ids=["inferred", "absolute", "within the package", "command"],
)
def test_class_path(line: str, expected: str | None) -> None:
    """The class follows from package, group and name unless the entry says otherwise."""
    assert agent(line).class_path == expected


@pytest.mark.parametrize("text", ["A", "a.b", "a.b:", ":A", "a-b:C", "a.b:C.D", "a b:C"])
def test_senseless_class_paths(text: str) -> None:
    """What cannot be a class path is reported before anything is imported."""
    (found,) = read(f"fleet: f\ngroups: {{g: {{agents: {{A: {{class: '{text}'}}}}}}}}\n").diagnostics
    assert found.code == "wrong-value"


def test_commands_exec_and_stop_first() -> None:
    """A program is executed afresh and replaced one after the other, an agent class is forked and surges."""
    program, own = agent("{command: [python, x.py]}"), agent("")
    assert (program.launch, program.update) == ("exec", "stop-first")
    assert (own.launch, own.update) == ("fork", "surge")


def test_fork_as_a_default_does_not_touch_commands() -> None:
    """Group defaults that only make sense for classes, or only for commands, pass the others by."""
    top = "defaults: {launch: fork, probe: zmq}\n"
    assert agent("{command: [x], port: 1}", top).launch == "exec"
    assert agent("", top).probe is None


@pytest.mark.parametrize(
    ("probe", "kind", "target"),
    [
        ("zmq", "zmq", "tcp://127.0.0.1:7001"),
        ("{zmq: 7009}", "zmq", "tcp://127.0.0.1:7009"),
        ("{zmq: health}", "zmq", "tcp://127.0.0.1:7001"),
        ("{zmq: 'tcp://10.0.0.1:1'}", "zmq", "tcp://10.0.0.1:1"),
        ("http", "http", "http://127.0.0.1:7001/health"),
        ("{http: /ready}", "http", "http://127.0.0.1:7001/ready"),
        ("{http: 'http://h/x'}", "http", "http://h/x"),
        ("{log-line: 'ready .*'}", "log-line", "ready .*"),
    ],
)
def test_probe_targets(probe: str, kind: str, target: str) -> None:
    """A probe's target is found from a port, a side port's name, a path or a whole address."""
    found = agent(f"{{command: [x], port: 7000, side_ports: {{health: 7001}}, probe: {probe}}}").probe
    assert found is not None
    assert (found.kind, found.target) == (kind, target)


def test_probe_falls_back_to_the_port() -> None:
    """Without a side port called health the agent's own port is probed."""
    found = agent("{command: [x], port: 7000, probe: {zmq: health, every_s: 5}}").probe
    assert found is not None
    assert (found.target, found.every_s) == ("tcp://127.0.0.1:7000", 5)


def test_probe_by_command() -> None:
    """An exec probe keeps its arguments apart."""
    found = agent("{command: [x], probe: {exec: [curl, -f, 'http://x']}}").probe
    assert found is not None
    assert (found.kind, found.argv) == ("exec", ["curl", "-f", "http://x"])


@pytest.mark.parametrize(
    "line",
    [
        "{command: [x], probe: {zmq: 1, http: /x}}",
        "{command: [x], probe: {every_s: 3}}",
        "{command: [x], probe: zmq}",
        "{command: [x], port: 1, probe: {zmq: side}}",
        "{command: [x], probe: {log-line: '('}}",
        "{probe: zmq}",
    ],
    ids=["two kinds", "no kind", "no port", "unknown side port", "bad pattern", "of a class"],
)
def test_senseless_probes(line: str) -> None:
    """A probe that cannot work makes its agent invalid."""
    result = read(f"fleet: f\npackage: p\ngroups: {{g: {{agents: {{A: {line}}}}}}}\n")
    assert [found.code for found in result.diagnostics] == ["wrong-value"]
    assert list(result.require().invalid) == ["A@local"]


def test_restart_as_a_word_or_in_full() -> None:
    """A restart policy may be one word, or say how long to wait."""
    assert agent("{restart: on-failure}").restart == RestartPolicy(when="on-failure")
    assert agent("{restart: {first_delay_s: 2, give_up_after: 3}}").restart == RestartPolicy(
        first_delay_s=2, give_up_after=3
    )


@pytest.mark.parametrize(
    ("gpu", "total", "budget"),
    [
        (GpuConfig(vram_mb=24576, budget_percent=80), None, 19660),
        (GpuConfig(vram_mb=24576, budget_percent=80), 24564, 19651),
        (GpuConfig(vram_mb=12288, budget_mb=10000, reserve_percent=5), None, 10000),
        (GpuConfig(vram_mb=12288, budget_mb=12000, reserve_percent=5), None, 11674),
        (GpuConfig(vram_mb=1000, reserve_mb=100), None, 900),
        (GpuConfig(budget_mb=500), None, 500),
        (GpuConfig(budget_percent=80), None, None),
        (GpuConfig(vram_mb=100, reserve_mb=200), None, 0),
    ],
)
def test_gpu_budget(gpu: GpuConfig, total: int | None, budget: int | None) -> None:
    """The budget is the share of the measured total, else of the declared one, and leaves the reserve free."""
    assert gpu.budget(total) == budget


def test_auto_ports_are_free_and_stay() -> None:
    """`port: auto` takes a free port within the ranges, and another agent's arrival does not move it."""
    text = "fleet: f\npackage: p\nmachines: {{m: {{ports: [7000-7099]}}}}\ngroups:\n  g:\n    agents:\n{}"
    lines = ["      A: {port: auto}\n", "      B: {port: 7001}\n", "      C: {port: auto}\n"]
    before = {found.name: found.port for found in fleet_of(text.format("".join(lines[:2]))).agents.values()}
    after = {found.name: found.port for found in fleet_of(text.format("".join(lines))).agents.values()}
    assert before["A"] == after["A"]
    assert len({*after.values()}) == 3
    assert all(7000 <= (port or 0) <= 7099 for port in after.values())


@pytest.mark.parametrize("machines", ["{m: {}}", "{m: {ports: [7001]}}"], ids=["no ranges", "full"])
def test_auto_ports_need_room(machines: str) -> None:
    """Without a free port in the ranges, `port: auto` is an error of that agent."""
    text = f"fleet: f\npackage: p\nmachines: {machines}\ngroups: {{g: {{agents: {{B: {{port: auto}}, A: {{port: 7001}}}}}}}}\n"
    result = read(text)
    assert [(found.code, found.agent) for found in result.diagnostics] == [("port-range", "B@m")]


def test_a_fleet_travels() -> None:
    """A fleet survives JSON and msgpack unchanged."""
    fleet = fleet_of(TWO)
    codecs: list[Any] = [msgspec.json, msgspec.msgpack]
    for codec in codecs:
        assert codec.decode(codec.encode(fleet), type=Fleet) == fleet


def test_names_across_machines() -> None:
    """A bare name means the same machine's agent, else the only one; an ambiguous one is refused with the choices."""
    from tandem.core.errors import NotFound

    text = TWO.replace("{Hub: {port: 9000}}", "{Hub: {port: 9000}, Only: }")
    fleet = fleet_of(text, PC2_IP="10.0.0.8")
    assert fleet.identify("Hub", "pc2") == "Hub@pc2"
    assert fleet.identify("Only", "pc2") == "Only@mainpc"
    assert fleet.identify("Hub@mainpc") == "Hub@mainpc"
    with pytest.raises(NotFound, match="Hub@mainpc or Hub@pc2"):
        fleet.identify("Hub")
    with pytest.raises(NotFound, match="Only"):
        fleet.identify("Onyl")
    with pytest.raises(NotFound):
        fleet.identify("Hub@pc3")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("${A}", "x"),
        ("${B:-y}", "y"),
        ("${A:-y}", "x"),
        ("${B:-}", ""),
        ("pre-${A}-${B:-y}", "pre-x-y"),
        ("$$A $${A}", "$A ${A}"),
        ("$A", "$A"),
    ],
)
def test_variables_in_text(written: str, expected: str) -> None:
    """References are replaced within text, defaults stand in for what is unset, and $$ is a dollar."""
    assert agent(f'{{env: {{V: "{written}"}}}}', A="x").env == {"V": expected}


@pytest.mark.parametrize(
    ("written", "expected"),
    [("${N}+10", 15), ("${N} - 2 + 1", 4), ("10+${N}", 15), ("${N}", 5), ("${NONE:-3}+4", 7)],
)
def test_arithmetic_with_variables(written: str, expected: int) -> None:
    """Sums of numbers and variables are computed where a number is wanted."""
    assert agent(f'{{vram_mb: "{written}"}}', N="5").vram_mb == expected


def test_plain_sums_are_text() -> None:
    """Without a variable nothing is computed: 1+1 is a text."""
    assert agent("{env: {V: 1+1}}").env == {"V": "1+1"}


def test_text_fields_keep_what_was_written() -> None:
    """Numbers and words in text fields are taken letter by letter, so versions keep their zeros."""
    assert agent("{env: {V: 1.10, N: 007, W: no, T: true}}").env == {
        "V": "1.10",
        "N": "007",
        "W": "no",
        "T": "true",
    }


def test_words_of_yaml_11_are_words() -> None:
    """In settings `no` is a word and `false` is a truth value, by YAML 1.2."""
    found = agent("{settings: {country: no, flag: false, time: 12:30, octal: 0o17, none: ~}}").settings
    assert found == {"country": "no", "flag": False, "time": "12:30", "octal": 15, "none": None}


def test_a_quoted_variable_in_settings_is_text() -> None:
    """Quotes decide what a variable becomes in settings, where nothing else says which type is meant."""
    found = agent("\n        settings:\n          a: ${N}\n          b: '${N}'", N="5").settings
    assert found == {"a": 5, "b": "5"}


def test_old_hub_variables() -> None:
    """The earlier system's observability variables are read in all their spellings."""
    from tandem.fleet.expand import LegacyHub

    found = LegacyHub.of(
        {"HUB_MODE": "Edge", "MAINPC_ENDPOINT": "http://a:9000", "OBSERVABILITY_ENDPOINT": "http://b"}
    )
    assert found == LegacyHub("forwarder", "http://a:9000", "http://b")
    assert LegacyHub.of({}) == LegacyHub()
