"""New fleet files and new code reach running agents; what is no good goes back, and nobody who calls notices."""

from __future__ import annotations

import os
import signal

import pytest
from household import MakeHousehold, eventually
from moving_house import EVERYBODY, FLEET, QUICK, Moving, words

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

@pytest.fixture
def moving(make_household: MakeHousehold) -> Moving:
    return Moving(make_household(FLEET))


def test_new_code_and_back_without_a_failed_call(moving: Moving) -> None:
    """Every kind of agent gets new code and, by rollback, the old one again; no call fails; single agents count epochs."""
    moving.refit("S: {", "S: {settings: {word: ho}, ")
    before = moving.pids()
    with moving.called(*EVERYBODY) as end:
        said = moving.household.tandem("apply", *QUICK)
        assert said.status == 0, said.text
        after = moving.pids()
        assert {name for name in EVERYBODY if before[name] != after[name]} == {"S"}
        moving.edit("VERSION = 1", "VERSION = 2")
        plan = moving.household.tandem("plan", "--json").json[0]
        ways = {change["agent"].partition("@")[0]: change["how"] for change in plan["changes"]}
        assert ways == {"S": "surge", "E": "surge", "D": "surge", "H": "handover", "X": "stop-first"}
        said = moving.household.tandem("apply", *QUICK)
        assert said.status == 0, said.text
        assert set(moving.pids().values()).isdisjoint(after.values())
        back = moving.household.tandem("rollback")
        assert back.status == 0, back.text
        told = end()
    assert told["failed"] == {}
    assert words(told, "S") == {"hi v1", "ho v1", "ho v2"}
    for agent in ("E", "D", "H", "X"):
        assert words(told, agent) == {"hi v1", "hi v2"}
    for agent in ("H", "X"):
        assert set(told["said"][agent]) == {"hi v1 e1", "hi v2 e2", "hi v1 e3"}
    with moving.called(*EVERYBODY) as end:
        now = end()
    assert {agent: words(now, agent) for agent in EVERYBODY} == {
        "S": {"ho v1"}, "E": {"hi v1"}, "D": {"hi v1"}, "H": {"hi v1"}, "X": {"hi v1"},
    }  # fmt: skip
    assert moving.rollout()["rollout"]["course"] == "done"


def test_agents_come_and_go_with_the_fleet_file(moving: Moving) -> None:
    """A new agent starts and can be called, a removed one is gone, and a key no process sees moves no process."""
    before = moving.pids()
    moving.refit('      E: {class: "moving:Mover", launch: exec}', '      N: {class: "moving:Other", needs: [S]}')
    moving.refit('H: {class: "moving:Mover"', 'H: {class: "moving:Mover", stop_grace_s: 3')
    said = moving.household.tandem("apply", "--json", *QUICK)
    assert said.status == 0, said.text
    ways = {step["agent"]: step["how"] for step in said.json[0]["rollout"]["steps"]}
    assert ways == {"N": "start", "E": "stop", "H": "adopt"}
    after = moving.pids()
    assert after.keys() == {"S", "D", "H", "X", "N"}
    assert all(after[name] == before[name] for name in ("S", "D", "H", "X"))
    with moving.called("N") as end:
        assert end()["failed"] == {}
    again = moving.household.tandem("apply")
    assert again.status == 0 and "nothing changes" in again.out


def test_what_cannot_be_imported_touches_nothing(moving: Moving) -> None:
    """New code that fails to import, or settings that do not fit, are refused with status 78 and every process stays."""
    before = moving.pids()
    moving.edit("VERSION = 1", "VERSION = 1\nimport flux_capacitor")
    said = moving.household.tandem("apply")
    assert said.status == 78 and "flux_capacitor" in said.err and "nothing was touched" in said.err
    moving.edit("import flux_capacitor", "")
    moving.refit("S: {", "S: {settings: {wrod: ho}, ")
    said = moving.household.tandem("apply")
    assert said.status == 78 and "wrod" in said.err
    moving.refit("wrod: ho", "word: [")
    assert moving.household.tandem("apply").status == 78
    assert moving.pids() == before


@pytest.mark.parametrize(
    ("fault", "word"),
    [
        ('raise RuntimeError("no cheese")', "no cheese"),
        ("asyncio.get_running_loop().call_later(2, os._exit, 7)", "exit code 7"),
        (
            "self.hoard = []; self.name == 'S' and self.spawn(self.leak())\n\n    async def leak(self):\n"
            "        while len(self.hoard) < 40:\n"
            "            self.hoard.append(b'x' * (1 << 24)); await asyncio.sleep(0.02)",
            "MiB of memory",
        ),
        (
            "self.name in 'SED' and asyncio.get_running_loop().call_later(1, __import__('time').sleep, 3600)",
            "hung: no sign of life",
        ),
    ],
    ids=["fails in its start", "dies after two seconds", "leaks memory", "hangs after a second"],
)
def test_a_bad_release_returns_by_itself(moving: Moving, fault: str, word: str) -> None:
    """A release that fails once it runs goes back everywhere, says why, and callers never meet it."""
    moving.edit("pass  # START", f"if VERSION == 2: {fault}" if "def leak" not in fault else fault)
    moving.edit("VERSION = 1", "VERSION = 2")
    before = moving.pids()
    with moving.called(*EVERYBODY) as end:
        said = moving.household.tandem("apply", "--min-healthy", "8" if "leak" in fault or "sleep" in fault else "4", "--batch", "5")
        told = end()
    assert said.status == 1, said.text
    assert word in said.out and "returned to dev" in said.out
    assert told["failed"] == {}
    surging = ("S", "E", "D")
    assert all(words(told, agent) == {"hi v1"} for agent in surging)
    after = moving.pids()
    assert all(after[agent] == before[agent] for agent in surging)
    assert {agent["state"] for agent in moving.household.status()["agents"]} == {"healthy"}
    assert moving.rollout()["release"] == "dev"
    assert moving.household.tandem("rollout", "status").status == 1
    for agent in ("S", "D", "H", "X"):
        assert len(moving.processes_of(agent)) == 1


def test_a_killed_node_goes_on_with_its_rollout(moving: Moving) -> None:
    """kill -9 of the node in the middle: the next one ends the half-made instances, finishes, and `apply` hears of it."""
    moving.edit("VERSION = 1", "VERSION = 2")
    with moving.called(*EVERYBODY) as end:
        applying = moving.household.begin("apply", "--min-healthy", "3", "--batch", "2")
        eventually(lambda: "done" in {moving.stage("S"), moving.stage("H")}, "the first batch to be through")
        node = moving.household.tandem("node", "--json").json[0]["node"]
        os.kill(node, signal.SIGKILL)
        said = applying.end()
        assert said.status == 0, said.text
        told = end()
    assert told["failed"] == {}
    assert all("hi v2" in words(told, agent) for agent in EVERYBODY)
    for agent in ("S", "D", "H", "X"):
        assert len(moving.processes_of(agent)) == 1


def test_abort_returns_at_once(moving: Moving) -> None:
    """An operator's abort in the middle brings back what is through and removes what is half made; status 0."""
    before = moving.pids()
    moving.edit("VERSION = 1", "VERSION = 2")
    with moving.called(*EVERYBODY) as end:
        applying = moving.household.begin("apply", "--min-healthy", "60")
        eventually(lambda: moving.stage("S") == "trying" and len(moving.processes_of("S")) == 2, "a second instance")
        assert moving.household.tandem("rollout", "abort").status == 0
        assert applying.end().status == 1
        told = end()
    assert told["failed"] == {}
    assert words(told, "S") == {"hi v1"}
    assert moving.pids()["S"] == before["S"]
    assert len(moving.processes_of("S")) == 1
    assert moving.rollout()["rollout"]["note"] == "aborted by the operator"


def test_canaries_wait_for_a_person(moving: Moving) -> None:
    """A canary serves beside the old instance; with --confirm the rest follows only after `rollout resume`, and until then
    neither another rollout nor a rotation of keys begins."""
    moving.edit("VERSION = 1", "VERSION = 2")
    said = moving.household.tandem("apply", *QUICK, "--canary", "D", "--canary-time", "1", "--confirm")
    assert said.status == 0 and "paused" in said.out, said.text
    assert (moving.stage("D"), moving.stage("S")) == ("done", "pending")
    refused = moving.household.tandem("apply")
    assert refused.status == 1 and "under way" in refused.err
    refused = moving.household.tandem("machine", "rotate", "local")
    assert refused.status == 1 and "a rollout is under way on local; nothing was touched" in refused.err
    assert not moving.household.home.is_rotating("local")
    resumed = moving.household.tandem("rollout", "resume")
    assert resumed.status == 0, resumed.text
    with moving.called(*EVERYBODY) as end:
        told = end()
    assert all(words(told, agent) <= {"hi v2"} for agent in EVERYBODY)


def test_blue_green_switches_a_group_at_once(moving: Moving) -> None:
    """While the new instances of a group stand by nobody is answered by them; one that fails keeps all of them out."""
    moving.edit("VERSION = 1", "VERSION = 2")
    moving.refit("E: {", "E: {settings: {word: bad}, ")
    moving.edit("pass  # START", "if self.settings.word == 'bad': asyncio.get_running_loop().call_later(1, os._exit, 1)")
    with moving.called("S", "D") as end:
        said = moving.household.tandem("apply", "--strategy", "blue-green", "--min-healthy", "3")
        told = end()
    assert said.status == 1, said.text
    assert told["failed"] == {} and words(told, "S") == words(told, "D") == {"hi v1"}
    moving.refit("{settings: {word: bad}, ", "{")
    said = moving.household.tandem("apply", "--strategy", "blue-green", *QUICK)
    assert said.status == 0, said.text
    batches = {step["agent"]: step["batch"] for step in moving.rollout()["rollout"]["steps"]}
    assert batches["S"] == batches["E"] != batches["D"] == batches["H"] == batches["X"]


def test_an_operators_stop_wins(moving: Moving) -> None:
    """An agent stopped while its new instance stands by stays stopped, and starts with the new code later."""
    moving.edit("VERSION = 1", "VERSION = 2")
    applying = moving.household.begin("apply", "--min-healthy", "4", "--batch", "5")
    eventually(lambda: len(moving.processes_of("D")) == 2, "a second instance")
    assert moving.household.tandem("stop", "D").status == 0
    said = applying.end()
    assert said.status == 0, said.text
    assert moving.household.agent("D")["state"] == "stopped" and moving.processes_of("D") == []
    assert moving.household.tandem("start", "D").status == 0
    with moving.called("D") as end:
        assert words(end(), "D") == {"hi v2"}
