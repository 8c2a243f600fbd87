"""What problems lead to: which agents are invalid, what is fatal, what is no problem; and how reports end."""

from __future__ import annotations

import pytest
from fleet_texts import agents, load

from tandem.fleet import Surroundings, load_text
from tandem.fleet.render import render, render_all

NEAR_MISSES = {
    "same port on two computers": """
        fleet: f
        package: p
        machines: {m1: {}, m2: {host: 10.0.0.2}}
        groups:
          g: {machine: m1, agents: {Hub: {port: 9000}}}
          h: {machine: m2, agents: {Hub: {port: 9000}}}
        """,
    "same name on two machines, each needing its own": """
        fleet: f
        package: p
        machines: {m1: {}, m2: {}}
        groups:
          g: {machine: m1, agents: {Hub: , A: {needs: [Hub]}}}
          h: {machine: m2, agents: {Hub: , B: {needs: [Hub@m2]}}}
        """,
    "wants across machines and in a circle": """
        fleet: f
        package: p
        machines: {m1: {}, m2: {}}
        groups:
          g: {machine: m1, agents: {A: {wants: [B]}}}
          h: {machine: m2, agents: {B: {wants: [A@m1]}}}
        """,
    "diamond": agents("a:", "b: {needs: [a]}", "c: {needs: [a]}", "d: {needs: [b, c]}"),
    "card filled to the last MiB": agents(
        "A: {vram_mb: 800}", machines="{m: {gpu: {vram_mb: 1000, budget: 80%}}}"
    ),
    "ends of a range": agents("A: {port: 7000}", "B: {port: 7010}", machines="{m: {ports: [7000-7010]}}"),
    "free keys and anchors": """
        fleet: f
        package: p
        x-common: &common {start_timeout_s: 5, needs: [A]}
        groups:
          g:
            agents:
              A: {x-note: {anything: [goes]}}
              B: {<<: *common, start_timeout_s: 9}
        """,
    "literal dollar": agents("A: {env: {PRICE: 5$$, SHELL: '$${HOME}'}}"),
    "settings as declared": agents("WithSettings: {settings: {max_facts: 5, topics: [a], nested: {x: 1}}}"),
    "words for true": agents("A: {required: no, detached: off}"),
    "empty keys": "fleet: f\npackage: p\ndefaults:\ngroups:\n  g:\n    defaults:\n    agents:\n      A:\n",
}


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_near_miss_is_fine(name: str) -> None:
    """What looks almost like a mistake, but is none, gives no diagnostic."""
    assert load(NEAR_MISSES[name]).diagnostics == []


def test_everything_is_reported_at_once() -> None:
    """A file with five mistakes reports all five, in the order of the text."""
    result = load(
        agents(
            "A: {prot: 1}",
            "B: {needs: [Zed]}",
            "C: {launch: x}",
            "D: {port: 9}",
            "E: {port: 9}",
            extra="frnt: x\n",
        )
    )
    assert [(found.line, found.code) for found in result.diagnostics] == [
        (3, "unknown-key"),
        (7, "unknown-key"),
        (8, "unknown-agent"),
        (9, "wrong-value"),
        (11, "port-conflict"),
    ]


def test_one_bad_agent_leaves_the_others_usable() -> None:
    """Errors of an agent make it invalid and nothing else; strict makes them fatal."""
    text = agents("A: {prot: 1}", "B: {}")
    result = load(text)
    assert result.fleet is not None
    assert (list(result.fleet.agents), list(result.fleet.invalid)) == (["B@local"], ["A@local"])
    assert result.fleet.invalid["A@local"].diagnostics[0].code == "unknown-key"
    assert load_text(text, "f", Surroundings(environ={}, strict=True)).fleet is None


def test_an_error_beyond_agents_is_fatal() -> None:
    """An error of the fleet itself leaves nothing to start, but what could be read can still be shown."""
    result = load(agents("A:", extra="frnt: x\n"))
    assert result.fleet is None
    assert result.draft is not None
    assert list(result.draft.agents) == ["A@local"]


def test_all_members_of_a_cycle_are_invalid() -> None:
    """Each agent of a loop is invalid with the same diagnostic; one that merely needs them is not."""
    fleet = load(agents("a: {needs: [b]}", "b: {needs: [a]}", "c: {needs: [a]}")).require()
    assert list(fleet.invalid) == ["a@local", "b@local"]
    assert list(fleet.agents) == ["c@local"]


def test_the_later_owner_of_a_port_is_invalid() -> None:
    """Of two agents on one port the first keeps it."""
    fleet = load(agents("A: {port: 7200}", "B: {port: 7200}")).require()
    assert list(fleet.invalid) == ["B@local"]


def test_required_agents_get_gpu_memory_first() -> None:
    """An optional agent listed first gives way to a required one."""
    fleet = load(
        agents(
            "A: {vram_mb: 700, required: false}",
            "B: {vram_mb: 700}",
            machines="{m: {gpu: {vram_mb: 1000, budget: 800}}}",
        )
    ).require()
    assert list(fleet.invalid) == ["A@m"]


def test_long_lines_are_cropped_around_the_caret() -> None:
    """Of a long line 100 columns are shown, with the caret under the right letters."""
    needs = ", ".join(f"Agent{number}" for number in range(40))
    names = [f"Agent{number}:" for number in range(40)]
    (found,) = load(agents(*names, f"B: {{needs: [{needs}], prot: 1}}")).diagnostics
    _, _, line, caret, _ = render(found).splitlines()
    assert line[caret.index("^") : caret.rindex("^") + 1] == "prot"
    assert len(line) <= 100 + len("12345 | ") + 6


def test_control_characters_do_not_reach_the_terminal() -> None:
    """An escape sequence hidden in a value is shown as a replacement character."""
    (found,) = load(agents('A: {launch: "\\e[31mred"}')).diagnostics
    assert "\x1b" not in render(found)


def test_count_at_the_end() -> None:
    """The whole report ends with how many errors and warnings there were."""
    text = render_all(load(agents("A: {prot: 1, needs: [B, B]}", "B:")).diagnostics)
    assert text.splitlines()[-1] == "1 error and 1 warning."
