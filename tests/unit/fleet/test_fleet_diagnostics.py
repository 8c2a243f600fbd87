"""Each problem, exactly as a person reads it."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest
from fleet_texts import agents, load

from tandem.fleet.render import render, render_all

CASES = {
    "unknown key with suggestion": (
        agents("A: {prot: 7200}"),
        """
        Error: unknown key "prot"
          on fleet.yaml line 6, column 11, in agent A, prot:
            6 |       A: {prot: 7200}
              |           ^^^^
          Did you mean "port"?""",
    ),
    "unknown key without suggestion lists the known ones": (
        agents("A: {limits: {zzz: 1}}"),
        """
        Error: unknown key "zzz"
          on fleet.yaml line 6, column 20, in agent A, limits.zzz:
            6 |       A: {limits: {zzz: 1}}
              |                    ^^^
          Known here: memory_mb, restart_above_mb, cpu_percent, processes, open_files, log_mb, nice.""",
    ),
    "wrong letter case": (
        agents("A: {Port: 7200}"),
        """
        Error: unknown key "Port"
          on fleet.yaml line 6, column 11, in agent A, Port:
            6 |       A: {Port: 7200}
              |           ^^^^
          Did you mean "port"?""",
    ),
    "unknown key at the top": (
        "fleet: f\ngroops: {}\ngroups: {}\n",
        """
        Error: unknown key "groops"
          on fleet.yaml line 2, column 1, in groops:
            2 | groops: {}
              | ^^^^^^
          Did you mean "groups"?""",
    ),
    "wrong type": (
        agents("A: {port: seven}"),
        """
        Error: "seven" is not a whole number from 1 to 65535 or auto
          on fleet.yaml line 6, column 17, in agent A, port:
            6 |       A: {port: seven}
              |                 ^^^^^""",
    ),
    "quoted number": (
        agents('A: {start_timeout_s: "60"}'),
        """
        Error: expected a number above 0, at most 86400, got the text "60"
          on fleet.yaml line 6, column 28, in agent A, start_timeout_s:
            6 |       A: {start_timeout_s: "60"}
              |                            ^^^^
          Remove the quotes.""",
    ),
    "out of bounds": (
        agents("A: {port: 70000}"),
        """
        Error: expected a whole number from 1 to 65535 or auto, got the number 70000
          on fleet.yaml line 6, column 17, in agent A, port:
            6 |       A: {port: 70000}
              |                 ^^^^^""",
    ),
    "word instead of a list": (
        agents("A: {needs: B}", "B:"),
        """
        Error: expected a list of text, got the text "B"
          on fleet.yaml line 6, column 18, in agent A, needs:
            6 |       A: {needs: B}
              |                  ^
          Write [B].""",
    ),
    "list instead of a mapping": (
        agents("A: [1]"),
        """
        Error: expected a mapping (key: value), got a list
          on fleet.yaml line 6, column 10, in agent A:
            6 |       A: [1]
              |          ^^^""",
    ),
    "wrong word": (
        agents("A: {launch: frok}"),
        """
        Error: "frok" is not fork or exec
          on fleet.yaml line 6, column 19, in agent A, launch:
            6 |       A: {launch: frok}
              |                   ^^^^
          Did you mean "fork"?""",
    ),
    "wrong word without a near one": (
        agents("A: {update: x}"),
        """
        Error: "x" is not surge, handover or stop-first
          on fleet.yaml line 6, column 19, in agent A, update:
            6 |       A: {update: x}
              |                   ^
          Choose surge, handover or stop-first.""",
    ),
    "dangling need": (
        agents("MemoryClient: {}", "B: {needs: [MemoryCleint]}"),
        """
        Error: there is no agent "MemoryCleint"
          on fleet.yaml line 7, column 19, in agent B, needs[0]:
            7 |       B: {needs: [MemoryCleint]}
              |                   ^^^^^^^^^^^^
          Did you mean "MemoryClient"?""",
    ),
    "dangling front door": (
        agents("Responder:", extra="front_door: Respnder\n"),
        """
        Error: there is no agent "Respnder"
          on fleet.yaml line 3, column 13, in front_door:
            3 | front_door: Respnder
              |             ^^^^^^^^
          Did you mean "Responder"?""",
    ),
    "cycle": (
        agents("a: {needs: [b]}", "b: {needs: [c]}", "c: {needs: [a]}"),
        """
        Error: agents need each other in a circle: a → b → c → a
          on fleet.yaml line 6, column 19, in agent a, needs[0]:
            6 |       a: {needs: [b]}
              |                   ^
          b needs c, line 7:
            7 |       b: {needs: [c]}
              |                   -
          c needs a, line 8:
            8 |       c: {needs: [a]}
              |                   -
          None of them could ever start. Drop one need, or make it a "wants".""",
    ),
    "agent that needs itself": (
        agents("a: {needs: [a]}"),
        """
        Error: agents need each other in a circle: a → a
          on fleet.yaml line 6, column 19, in agent a, needs[0]:
            6 |       a: {needs: [a]}
              |                   ^
          None of them could ever start. Drop one need, or make it a "wants".""",
    ),
    "need across machines": (
        """
        fleet: f
        package: p
        machines: {m1: {}, m2: {}}
        groups:
          g: {machine: m1, agents: {A: {needs: [B]}}}
          h: {machine: m2, agents: {B: }}
        """,
        """
        Error: A runs on m1, but B runs on m2
          on fleet.yaml line 5, column 41, in agent A, needs[0]:
            5 |   g: {machine: m1, agents: {A: {needs: [B]}}}
              |                                         ^
          Needs stay within a machine; write it under "wants", which may cross.""",
    ),
    "agent in two groups": (
        """
        fleet: f
        package: p
        groups:
          g: {agents: {A: }}
          h: {agents: {A: }}
        """,
        """
        Error: the agent "A" is in two groups of local: g and h
          on fleet.yaml line 5, column 16, in group h:
            5 |   h: {agents: {A: }}
              |                ^
          first listed here, line 4:
            4 |   g: {agents: {A: }}
              |                -""",
    ),
    "port clash": (
        agents("A: {port: 7200}", "B: {port: 7200}"),
        """
        Error: port 7200 is taken by A@local on machine local
          on fleet.yaml line 7, column 17, in agent B, port:
            7 |       B: {port: 7200}
              |                 ^^^^
          taken here, line 6:
            6 |       A: {port: 7200}
              |                 ----""",
    ),
    "port clash because two machines share a computer": (
        """
        fleet: f
        package: p
        machines: {m1: {}, m2: {host: "${PC2_IP}"}}
        groups:
          g: {machine: m1, agents: {Hub: {port: 9000}}}
          h: {machine: m2, agents: {Hub: {port: 9000}}}
        """,
        """
        Error: port 9000 is taken by Hub@m1 on one computer, which m1 and m2 share
          on fleet.yaml line 6, column 41, in agent Hub, port:
            6 |   h: {machine: m2, agents: {Hub: {port: 9000}}}
              |                                         ^^^^
          taken here, line 5:
            5 |   g: {machine: m1, agents: {Hub: {port: 9000}}}
              |                                         ----
          Say "shared_host_port" for one of them, or where the machines are.""",
    ),
    "port of a machine's server": (
        agents("A: {port: 4222}"),
        """
        Error: port 4222 is taken by nats of machine local on machine local
          on fleet.yaml line 6, column 17, in agent A, port:
            6 |       A: {port: 4222}
              |                 ^^^^""",
    ),
    "port outside the ranges": (
        agents("A: {port: 7005}", machines="{m: {ports: [7000-7002, 7100]}}"),
        """
        Error: port 7005 is outside the ranges of m: 7000-7002, 7100
          on fleet.yaml line 7, column 17, in agent A, port:
            7 |       A: {port: 7005}
              |                 ^^^^
          Free there: 7000-7002, 7100.""",
    ),
    "memory of the card": (
        agents("A: {vram_mb: 700}", "B: {vram_mb: 200}", machines="{m: {gpu: {vram_mb: 1000, budget: 80%}}}"),
        """
        Error: 200 MiB of GPU memory do not fit: 100 of m's 800 MiB are left
          on fleet.yaml line 8, column 20, in agent B, vram_mb:
            8 |       B: {vram_mb: 200}
              |                    ^^^
          the budget, line 3:
            3 | machines: {m: {gpu: {vram_mb: 1000, budget: 80%}}}
              |                     ----------------------------""",
    ),
    "missing class": (
        agents("Gone: {}"),
        """
        Error: there is no module p.g.gone
          on fleet.yaml line 6, column 7, in agent Gone, class:
            6 |       Gone: {}
              |       ^^^^
          Did you mean "done"?""",
    ),
    "setting of the wrong type": (
        agents("WithSettings: {settings: {max_facts: many}}"),
        """
        Error: expected a whole number, got the text "many"
          on fleet.yaml line 6, column 44, in agent WithSettings, settings.max_facts:
            6 |       WithSettings: {settings: {max_facts: many}}
              |                                            ^^^^""",
    ),
    "setting inside a list": (
        agents("WithSettings: {settings: {topics: [a, 5]}}"),
        """
        Error: expected text, got the number 5
          on fleet.yaml line 6, column 45, in agent WithSettings, settings.topics[1]:
            6 |       WithSettings: {settings: {topics: [a, 5]}}
              |                                             ^
          Put it in quotes: "5".""",
    ),
    "unknown setting": (
        agents("WithSettings: {settings: {max_fact: 5}}"),
        """
        Error: unknown key "max_fact"
          on fleet.yaml line 6, column 33, in agent WithSettings, settings.max_fact:
            6 |       WithSettings: {settings: {max_fact: 5}}
              |                                 ^^^^^^^^
          Did you mean "max_facts"?""",
    ),
    "settings nobody declared": (
        agents("Plain: {settings: {max: 5}}"),
        """
        Error: Plain has no settings
          on fleet.yaml line 6, column 15, in agent Plain, settings:
            6 |       Plain: {settings: {max: 5}}
              |               ^^^^^^^^
          Declare them in a Settings class of the agent, or remove them here.""",
    ),
    "duplicate key": (
        agents("A: {port: 1, port: 2}"),
        """
        Error: "port" is written twice
          on fleet.yaml line 6, column 20, in agent A, port:
            6 |       A: {port: 1, port: 2}
              |                    ^^^^
          first written here, line 6:
            6 |       A: {port: 1, port: 2}
              |           ----
          Only one of them would count; remove or rename the other.""",
    ),
    "tab": (
        "fleet: f\ngroups:\n\tg: {}\n",
        """
        Error: a tab is used for indentation
          on fleet.yaml line 3, column 1:
            3 | \tg: {}
              | ^
          YAML indents with spaces only.""",
    ),
    "variable in a flow mapping": (
        agents("A: {port: ${PORT}}"),
        """
        Error: did not find expected ',' or '}' while parsing a flow mapping
          on fleet.yaml line 6, column 18:
            6 |       A: {port: ${PORT}}
              |                  ^
          it begins here, line 6:
            6 |       A: {port: ${PORT}}
              |          -
          Inside { } and [ ] a variable needs quotes: "${NAME}".""",
    ),
    "unset variable": (
        agents('A: {env: {HOST: "${SMTP_HOST}"}}'),
        """
        Error: the environment variable SMTP_HOST is not set
          on fleet.yaml line 6, column 23, in agent A, env.HOST:
            6 |       A: {env: {HOST: "${SMTP_HOST}"}}
              |                       ^^^^^^^^^^^^^^
          Set it, or give a default: ${SMTP_HOST:-value}.""",
    ),
    "unfinished variable": (
        agents("A: {cwd: '${HOME'}"),
        """
        Error: ${ starts a variable that is not finished
          on fleet.yaml line 6, column 16, in agent A, cwd:
            6 |       A: {cwd: '${HOME'}
              |                ^^^^^^^^
          Write ${NAME} or ${NAME:-default}; write $${ for a literal ${.""",
    ),
    "unknown machine": (
        "fleet: f\npackage: p\nmachines: {mainpc: {}}\ngroups: {g: {machine: mianpc}}\n",
        """
        Error: there is no machine "mianpc"
          on fleet.yaml line 4, column 23, in group g, machine:
            4 | groups: {g: {machine: mianpc}}
              |                       ^^^^^^
          Did you mean "mainpc"?""",
    ),
    "neither class nor command": (
        "fleet: f\ngroups: {g: {agents: {A: }}}\n",
        """
        Error: "A" has neither a class nor a command
          on fleet.yaml line 2, column 23, in agent A, class:
            2 | groups: {g: {agents: {A: }}}
              |                       ^
          Write class: package.module:A, or give the group a "package:".""",
    ),
    "wide letters before the caret": (
        agents("A: {description: 音声認識, prot: 1}"),
        """
        Error: unknown key "prot"
          on fleet.yaml line 6, column 30, in agent A, prot:
            6 |       A: {description: 音声認識, prot: 1}
              |                                  ^^^^
          Did you mean "port"?""",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_message(name: str) -> None:
    """The only problem of the text is rendered word by word as expected."""
    text, expected = CASES[name]
    result = load(text)
    assert [render(found) for found in result.diagnostics] == [dedent(expected).strip("\n")]


def test_colour_only_adds_escape_codes() -> None:
    """The coloured rendering without its codes is the plain one."""
    result = load(CASES["cycle"][0])
    assert re.sub(r"\x1b\[[0-9;]*m", "", render_all(result.diagnostics, color=True)) == render_all(
        result.diagnostics
    )
