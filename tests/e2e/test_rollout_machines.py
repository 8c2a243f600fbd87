"""One release for several machines: together there, together back, whatever becomes of one of them."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from household import MakeHousehold, eventually
from moving_house import QUICK, Moving, words

pytestmark = [pytest.mark.e2e, pytest.mark.chaos]

FLEET = """fleet: two
machines:
  mainpc: {ports: [5500-5899]}
  pc2: {ports: [7100-7199]}
groups:
  first:
    machine: mainpc
    agents:
      S: {class: "moving:Mover", port: 5709}
      H: {class: "moving:Mover", update: handover}
  second:
    machine: pc2
    agents:
      T: {class: "moving:Mover", port: 7109, wants: [S@mainpc]}
      X: {class: "moving:Mover", update: stop-first, launch: exec}
"""
EVERYBODY = ("S", "H", "T", "X")


@pytest.fixture
def moving(make_household: MakeHousehold) -> Moving:
    return Moving(make_household(FLEET))


def rollouts(moving: Moving) -> dict[str, Any]:
    """By machine, what `tandem rollout status` tells."""
    machines = moving.household.tandem("rollout", "status", "--json").json["machines"]
    return {one["machine"]: one for one in machines}


def course(moving: Moving, machine: str) -> str:
    view = rollouts(moving).get(machine, {}).get("rollout")
    return view["course"] if view else ""


def node_of(moving: Moving, machine: str) -> int:
    nodes = {one["machine"]: one["node"] for one in moving.household.tandem("node", "--json").json}
    pid: int = nodes[machine]
    return pid


def test_both_there_and_both_back(moving: Moving) -> None:
    """One `apply` changes both machines, one `rollback` returns both, and no call to either fails."""
    moving.await_copy("mainpc", "pc2")
    moving.edit("VERSION = 1", "VERSION = 2")
    with moving.called(*EVERYBODY) as end:
        said = moving.household.tandem("apply", *QUICK)
        assert said.status == 0, said.text
        assert {one["rollout"]["course"] for one in rollouts(moving).values()} == {"done"}
        names = {one["release"] for one in rollouts(moving).values()}
        assert len(names) == 1 and names != {"dev"}
        back = moving.household.tandem("rollback")
        assert back.status == 0, back.text
        told = end()
    assert told["failed"] == {}
    assert {agent: words(told, agent) for agent in EVERYBODY} == {agent: {"hi v1", "hi v2"} for agent in EVERYBODY}
    with moving.called(*EVERYBODY, anew=True) as end:
        told = end()
    assert {agent: words(told, agent) for agent in EVERYBODY} == {agent: {"hi v1"} for agent in EVERYBODY}


def test_one_that_returns_takes_the_other_back(moving: Moving) -> None:
    """What is bad on the second machine only undoes the first as well, and status says so of both."""
    moving.await_copy("mainpc", "pc2")
    moving.edit("pass  # START", 'if self.settings.word == "bad": raise RuntimeError("no cheese here")')
    moving.refit("T: {", "T: {settings: {word: bad}, ")
    with moving.called(*EVERYBODY) as end:
        said = moving.household.tandem("apply", *QUICK)
        told = end()
    assert said.status == 1 and "no cheese here" in said.out, said.text
    assert told["failed"] == {}
    assert {machine: one["release"] for machine, one in rollouts(moving).items()} == {"mainpc": "dev", "pc2": "dev"}
    assert {agent["state"] for agent in moving.household.status()["agents"]} == {"healthy"}


def test_a_killed_node_of_the_other_machine_goes_on(moving: Moving) -> None:
    """The node of the second machine is killed while that is changed: the next one finishes there."""
    moving.edit("VERSION = 1", "VERSION = 2")
    with moving.called(*EVERYBODY) as end:
        applying = moving.household.begin("apply", "--min-healthy", "2", "--batch", "1")
        eventually(lambda: course(moving, "pc2") in ("running", "done"), "the second machine's turn")
        os.kill(node_of(moving, "pc2"), signal.SIGKILL)
        said = applying.end()
        told = end()
    assert said.status == 0, said.text
    assert told["failed"] == {}
    assert {one["rollout"]["course"] for one in rollouts(moving).values()} == {"done"}
    assert all("hi v2" in words(told, agent) for agent in EVERYBODY)


def test_a_hanging_node_is_named_before_and_meanwhile(moving: Moving) -> None:
    """A node that does not answer keeps `apply` from touching anything; one that hangs in the middle is named with its
    pid, and when a person kills it the next one finishes."""
    hanging = node_of(moving, "pc2")
    os.kill(hanging, signal.SIGSTOP)
    moving.edit("VERSION = 1", "VERSION = 2")
    said = moving.household.tandem("apply", *QUICK)
    assert said.status == 1 and "pc2 cannot be asked, so nothing was touched" in said.err, said.text
    os.kill(hanging, signal.SIGCONT)
    with moving.called(*EVERYBODY) as end:
        applying = moving.household.begin("apply", "--min-healthy", "6", "--batch", "1")
        eventually(lambda: course(moving, "pc2") == "running", "the second machine's turn")
        os.kill(hanging, signal.SIGSTOP)
        eventually(lambda: f"pid {hanging}" in applying.err, "a word about who hangs")
        os.kill(hanging, signal.SIGKILL)
        said = applying.end()
        told = end()
    assert said.status == 0, said.text
    assert told["failed"] == {}
    assert all("hi v2" in words(told, agent) for agent in EVERYBODY)
