"""Corners: rarer YAML, rarer types of settings, names, hosts, and what callers may rely on."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated, Literal

import pytest
from msgspec import Meta, Struct

from tandem.core.errors import EX_CONFIG, ConfigError
from tandem.fleet import Diagnostic, FleetInvalid, LoadResult, Surroundings, find_fleet_file, load_text
from tandem.fleet.hosts import is_this_computer


class Mail(Struct, tag=True):
    address: str


class Push(Struct, tag=True):
    device: int


class Window(Struct, frozen=True):
    start: int
    end: int

    def __post_init__(self) -> None:
        if self.end < self.start:
            raise ValueError("the window ends before it starts")


class Rich(Struct, rename="camel"):
    retry_count: Annotated[int, Meta(ge=0, le=9)] = 0
    tags: set[str] = set()
    pair: tuple[int, int] = (0, 0)
    notify: Mail | Push | None = None
    window: Window = Window(0, 1)
    mode: Literal["fast", "good"] = "fast"
    names: Annotated[list[str], Meta(max_length=2)] = []
    level: float = 0
    required_one: int | None = None


def settings(text: str) -> list[Diagnostic]:
    source = f"fleet: f\npackage: p\ngroups:\n  g:\n    agents:\n      A: {{settings: {text}}}\n"
    return load_text(source, "fleet.yaml", Surroundings(environ={}, schemas=lambda path: Rich)).diagnostics


def load(text: str, **environ: str) -> LoadResult:
    return load_text(text, "fleet.yaml", Surroundings(environ=environ))


@pytest.mark.parametrize(
    "text",
    [
        "{retryCount: 3, tags: [a, b], pair: [1, 2], level: 1}",
        "{notify: {type: Mail, address: a@b}, window: {start: 1, end: 2}}",
        "{notify: null, mode: good, names: [a, b]}",
    ],
)
def test_rich_settings(text: str) -> None:
    """Renamed fields, sets, tuples, tagged unions, nested structs and words are understood."""
    assert settings(text) == []


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("{retry_count: 3}", 22, 'unknown key "retry_count"'),
        ("{retryCount: 10}", 34, "expected a whole number from 0 to 9, got the number 10"),
        ("{tags: [a, 1]}", 32, "expected `str`, got `int`"),
        ("{pair: [1, 2, 3]}", 28, "expected `array` of length 2, got 3"),
        ("{notify: {type: Fax}}", 37, "invalid value 'Fax'"),
        ("{notify: {type: Push, device: x}}", 51, "expected `int`, got `str`"),
        ("{window: {start: 3, end: 2}}", 30, "the window ends before it starts"),
        ("{window: {start: 3}}", 30, '"end" is missing'),
        ("{mode: best}", 28, '"best" is not fast or good'),
        ("{names: [a, b, c]}", 29, "expected `array` of length <= 2"),
        ("{level: high}", 29, 'expected a number, got the text "high"'),
        ("{retryCount: '3'}", 34, 'expected a whole number from 0 to 9, got the text "3"'),
        ("{retryCount: }", 34, "expected a whole number from 0 to 9, got nothing"),
    ],
)
def test_rich_settings_gone_wrong(text: str, column: int, message: str) -> None:
    """Each wrong setting is reported once, at the value itself."""
    assert [(found.line, found.column, found.message) for found in settings(text)] == [(6, column, message)]


def test_all_settings_are_reported_together() -> None:
    """Several wrong settings of one agent are several diagnostics."""
    assert len(settings("{retryCount: x, tags: [1], mode: best, level: high, zzz: 1}")) == 5


def test_merge_keys() -> None:
    """`<<` adds what is not written, from one mapping or several, of which the earlier wins."""
    text = """
fleet: f
package: p
x-slow: &slow {start_timeout_s: 300, stop_grace_s: 30}
x-gentle: &gentle {stop_grace_s: 60, vram_mb: 5}
groups:
  g:
    agents:
      A: {<<: *slow, start_timeout_s: 9}
      B: {<<: [*slow, *gentle]}
      C: &c {port: 7000, needs: [A]}
"""
    agents = load(text).require().agents
    assert (agents["A@local"].start_timeout_s, agents["A@local"].stop_grace_s) == (9, 30)
    assert (agents["B@local"].stop_grace_s, agents["B@local"].vram_mb) == (30, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fleet: f\n<<: word\ngroups: {}\n", "<< takes a mapping or a list of mappings"),
        ("fleet: f\n? [a, b]\n: c\ngroups: {}\n", "a key must be a single word or text"),
        ("fleet: f\ngroups: *nowhere\n", "found undefined alias"),
        ("fleet: f\n---\nfleet: g\n", "but found another document"),
        ("fleet: 'f\n", "found unexpected end of stream"),
        ("fleet: a: b\n", "mapping values are not allowed in this context"),
        ("fleet: f\x07\n", "the character U+0007 is not allowed in YAML"),
    ],
)
def test_rarer_yaml_mistakes(text: str, message: str) -> None:
    """Every kind of broken YAML is reported with a place."""
    found = load(text).diagnostics[0]
    assert found.message.startswith(message)
    assert found.line > 0


def test_an_anchor_within_itself() -> None:
    """A mapping that contains itself is refused, not followed for ever."""
    assert "yaml-syntax" in [found.code for found in load("fleet: f\nx-a: &a {b: *a}\n").diagnostics]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("fleet: f\nmachines: {PC2: {}}\ngroups: {}\n", "bad-name"),
        ("fleet: f\nmachines: {m: {ports: [9-8]}}\ngroups: {}\n", "wrong-value"),
        ("fleet: f\nmachines: {m: {ports: [70000]}}\ngroups: {}\n", "wrong-value"),
        ("fleet: f\nmachines: {m: {ports: [abc]}}\ngroups: {}\n", "wrong-value"),
        ("fleet: f\nmachines: {m: {gpu: {budget: lots}}}\ngroups: {}\n", "wrong-value"),
        ("fleet: f\nmachines: {a: {}, b: {}}\ngroups: {g: {}}\n", "missing-key"),
        ("groups: {}\n", "missing-key"),
        ("fleet: f\n", "missing-key"),
        ("fleet: f\npackage: p\ngroups: {g: {agents: {1a: }}}\n", "bad-name"),
        ("fleet: f\npackage: p\ngroups: {g: {agents: {A: {wants: [A]}}}}\n", "self-reference"),
        ("fleet: f\npackage: p\ngroups: {g: {agents: {A: {allow: [Zed]}}}}\n", "unknown-agent"),
        ("fleet: f\npackage: p\ngroups: {g: {agents: {A: {needs: [A@m9]}}}}\n", "unknown-agent"),
        ("fleet: f\npackage: p\ngroups: {g: {agents: {A: {user: 'no body'}}}}\n", "wrong-value"),
        ("fleet: f\npackage: p\ngroups: {g: {agents: {A: {command: [], class: x.y:Z}}}}\n", "wrong-value"),
        ("fleet: f\npackage: p\ngroups: {g: {agents: {A: {command: [x], launch: fork}}}}\n", "wrong-value"),
    ],
)
def test_rarer_mistakes(text: str, code: str) -> None:
    """Each of these is one error."""
    assert [found.code for found in load(text).diagnostics] == [code]


def test_callers() -> None:
    """Agents, groups with @, operator and user may be named as callers."""
    text = (
        "fleet: f\npackage: p\ngroups: {g: {agents: {A: {allow: [B, '@g', operator, user, B@local]}, B: }}}\n"
    )
    assert load(text).require().agents["A@local"].allow == ["B", "@g", "operator", "user", "B@local"]


@pytest.mark.parametrize(
    ("allow", "callers"),
    [
        ("[]", []),
        ("[operator, user]", ["operator", "user"]),
        ("[B]", ["B@m", "B@n"]),
        ("[B@n]", ["B@n"]),
        ("['@g', C]", ["A@m", "B@m", "C@n"]),
        ("['@nobody']", ["@nobody"]),
    ],
)
def test_who_may_call(allow: str, callers: list[str]) -> None:
    """Bare names mean their agents on every machine, groups their agents; a group without any admits nobody rather than
    everybody. All of it is plain text, since it is sent to the agent's process."""
    text = (
        "fleet: f\npackage: p\nmachines: {m: {}, n: {}}\ngroups:\n"
        f"  g: {{machine: m, agents: {{A: {{allow: {allow}}}, B: }}}}\n"
        "  h: {machine: n, agents: {B: , C: }}\n  nobody: {machine: n, agents: {}}\n"
    )
    fleet = load(text).require()
    found = fleet.callers_of(fleet.agents["A@m"])
    assert found == callers and {type(name) for name in found} <= {str}


def test_port_moved_beyond_the_last() -> None:
    """A port that PORT_OFFSET moves above 65535 makes its agent invalid."""
    result = load("fleet: f\npackage: p\ngroups: {g: {agents: {A: {port: 65000}}}}\n", PORT_OFFSET="1000")
    assert [(found.code, found.agent) for found in result.diagnostics] == [("port-range", "A@local")]


def test_require_raises_everything_at_once() -> None:
    """A fleet that cannot be used raises one configuration error that carries all diagnostics."""
    with pytest.raises(FleetInvalid, match="2 errors in the fleet file") as caught:
        load("fleet: f\nfoo: 1\nbar: 2\ngroups: {}\n").require()
    assert isinstance(caught.value, ConfigError)
    assert len(caught.value.diagnostics) == 2
    assert EX_CONFIG == 78


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.53", "::1", "localhost", "LOCALHOST"])
def test_this_computer(host: str) -> None:
    """Loopback addresses and localhost are this computer, and so is its own name."""
    if host == "::1" and not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    assert is_this_computer(host)
    assert is_this_computer(socket.gethostname())


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "example.invalid", ""])
def test_another_computer(host: str) -> None:
    """Addresses of documentation networks and foreign names are not this computer, and no name is looked up."""
    assert not is_this_computer(host)


def test_where_the_file_is_looked_for(tmp_path: Path) -> None:
    """The option wins over the variable, the variable over the working directory; a directory means its fleet.yaml."""
    assert find_fleet_file(None, {}) == Path("fleet.yaml")
    assert find_fleet_file(None, {"TANDEM_FLEET": "a.yaml"}) == Path("a.yaml")
    assert find_fleet_file("b.yaml", {"TANDEM_FLEET": "a.yaml"}) == Path("b.yaml")
    assert find_fleet_file(tmp_path, {}) == tmp_path / "fleet.yaml"
