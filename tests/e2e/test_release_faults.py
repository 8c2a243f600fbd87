"""Releases that are bad in ways no look beforehand finds, and supervisors that die while they carry a release out."""

from __future__ import annotations

import os
import signal

import pytest
from household import MakeHousehold, eventually
from moving_house import EVERYBODY, FLEET, Moving, words

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

FAILS_OUTSIDE_OF_THE_REHEARSAL = """VERSION = 2
import sys
if not sys.modules["__main__"].__spec__.name.endswith("rehearsal"):
    import flux_capacitor
"""


@pytest.fixture
def moving(make_household: MakeHousehold) -> Moving:
    return Moving(make_household(FLEET))


def assert_as_before(moving: Moving) -> None:
    """Every agent serves the first release, in one process, and says so over new connections."""
    with moving.called(*EVERYBODY, anew=True) as end:
        told = end()
    assert told["failed"] == {}
    assert {agent: words(told, agent) for agent in EVERYBODY} == {agent: {"hi v1"} for agent in EVERYBODY}
    assert moving.rollout()["release"] == "dev"
    for agent in ("S", "D", "H", "X"):
        assert len(moving.processes_of(agent)) == 1


def test_what_fails_to_import_only_in_its_own_process_returns(moving: Moving) -> None:
    """A module that could be loaded aside but not by the agent: the new instance never comes, the old ones serve on."""
    moving.await_copy()
    moving.edit("VERSION = 1\n", FAILS_OUTSIDE_OF_THE_REHEARSAL)
    before = moving.pids()
    with moving.called(*EVERYBODY) as end:
        said = moving.household.tandem("apply", "--batch", "5")
        told = end()
    assert said.status == 1, said.text
    assert "flux_capacitor" in said.out and "returned to dev" in said.out
    assert told["failed"] == {}
    assert {agent: moving.pids()[agent] for agent in ("S", "E", "D")} == {agent: before[agent] for agent in ("S", "E", "D")}
    assert_as_before(moving)


def test_who_dies_after_it_took_over_takes_everybody_back(moving: Moving) -> None:
    """A new instance that outlives its trial and dies while others are tried: those that were through return as well."""
    moving.await_copy()
    # On trial nobody calls it.
    moving.edit('        if (self', '        if VERSION == 2: asyncio.get_running_loop().call_later(2, os._exit, 7)\n        if (self')
    moving.edit("VERSION = 1", "VERSION = 2")
    with moving.called(*EVERYBODY) as end:
        said = moving.household.tandem("apply", "--min-healthy", "1.5", "--batch", "1")
        told = end()
    assert said.status == 1, said.text
    assert "died after it had taken over" in said.out and "returned to dev" in said.out
    assert told["failed"] == {}
    assert words(told, "S") == {"hi v1", "hi v2"}
    assert_as_before(moving)


def test_a_canary_that_answers_with_errors_is_removed(moving: Moving) -> None:
    """It is healthy, but fails calls the old instance answers: it goes, the rest never changes, and numbers say why."""
    moving.edit("return f", 'if VERSION == 2: raise RuntimeError("lost the cheese")\n        return f')
    moving.edit("VERSION = 1", "VERSION = 2")
    before = moving.pids()
    with moving.called("S", anew=True) as end:
        said = moving.household.tandem("apply", "--canary", "S", "--canary-time", "60")
        told = end()
    assert said.status == 1, said.text
    assert "calls with an error, the one before 0 of" in said.out and "returned to dev" in said.out
    assert told["failed"] != {} and words(told, "S") == {"hi v1"}
    assert moving.pids() == before
    assert_as_before(moving)


def test_a_canary_is_not_blamed_for_what_troubles_everybody(moving: Moving) -> None:
    """Old and new fail the same calls alike: the release passes."""
    moving.edit("VERSION = 1", "VERSION = 2")
    trouble = next(moving.household.home.root.glob("machines/*/state/S")) / "trouble"
    trouble.touch()
    with moving.called("S", anew=True) as end:
        applying = moving.household.begin("apply", "--canary", "S", "--canary-time", "6", "--min-healthy", "0.5")
        eventually(lambda: moving.stage("S") == "done", "the canary to be through")
        trouble.unlink()
        said = applying.end()
        told = end()
    assert said.status == 0, said.text
    assert told["failed"] != {}


@pytest.mark.parametrize("course", ["canary", "returning"])
def test_a_killed_node_goes_on_wherever_it_was(moving: Moving, course: str) -> None:
    """kill -9 of the node while a canary serves beside the old instance, or while everything returns: the next one
    finishes what was meant, and no half-made instance is left."""
    moving.await_copy()
    moving.edit("VERSION = 1", "VERSION = 2")
    with moving.called(*EVERYBODY) as end:
        if course == "canary":
            applying = moving.household.begin("apply", "--canary", "D", "--canary-time", "4", "--min-healthy", "0.5")
            eventually(lambda: len(moving.processes_of("D")) == 2, "the canary")
        else:
            # Long enough to turn while the second batch is on trial.
            applying = moving.household.begin("apply", "--min-healthy", "15", "--batch", "3")
            eventually(lambda: moving.stage("S") == "done", "the first batch to be through")
            assert moving.household.begin("rollout", "abort").process.pid
            eventually(lambda: moving.rollout()["rollout"]["course"] != "running", "the turn")
        os.kill(moving.household.tandem("node", "--json").json[0]["node"], signal.SIGKILL)
        said = applying.end()
        told = end()
    assert told["failed"] == {}
    if course == "canary":
        assert said.status == 0, said.text
        assert all("hi v2" in words(told, agent) for agent in EVERYBODY)
        assert all(len(moving.processes_of(agent)) == 1 for agent in ("S", "D", "H", "X"))
    else:
        assert said.status == 1, said.text
        eventually(lambda: moving.rollout()["rollout"]["course"] == "returned", "the end of the way back")
        assert_as_before(moving)


def test_back_to_what_came_up(moving: Moving) -> None:
    """The first rollout of new code can be taken back exactly, for programs that read their code anew as well, and a
    restart of whoever returned does not bring the working tree in."""
    moving.await_copy()
    moving.edit("VERSION = 1", "VERSION = 2")
    with moving.called(*EVERYBODY) as end:
        said = moving.household.tandem("apply", "--min-healthy", "0.5")
        assert said.status == 0, said.text
        moving.edit("VERSION = 2", "VERSION = 3")
        back = moving.household.tandem("rollback")
        assert back.status == 0, back.text
        told = end()
    assert told["failed"] == {}
    assert {agent: words(told, agent) for agent in EVERYBODY} == {agent: {"hi v1", "hi v2"} for agent in EVERYBODY}
    assert_as_before(moving)
    assert moving.household.tandem("restart", *EVERYBODY).status == 0
    assert_as_before(moving)


def test_code_that_changed_at_once_cannot_be_kept(make_household: MakeHousehold) -> None:
    """Who edits within seconds of the start is told by `plan` that there is no copy to return to."""
    moving = Moving(make_household(FLEET))
    moving.edit("VERSION = 1", "VERSION = 2")
    eventually(lambda: "no copy of what came up" in "".join(moving.household.logs("node")), "the node's word")
    assert not list(moving.household.home.releases.glob("*.base"))
    plan = moving.household.tandem("plan", "--json").json[0]
    assert any("no copy of the code that came up" in note for note in plan["notes"])
