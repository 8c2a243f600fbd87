"""The servers beneath the fleet die, hang or come late; calls keep working, and all is whole again by itself."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from household import REAL_FLEET, Household, MakeHousehold, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.models, pytest.mark.timeout(400)]

SERVERS = ("nats", "valkey-control", "valkey-cache")
SUM = "what is 17 plus 25"


@pytest.fixture(scope="module")
def household(make_shared_household: MakeHousehold, default_models: None) -> Household:
    household = make_shared_household(REAL_FLEET)
    household.up()
    return household


def whole(household: Household) -> bool:
    status = household.tandem("status", "--json")
    rows = status.json["services"] + status.json["agents"]
    return status.status == 0 and {row["state"] for row in rows} == {"healthy"}


@pytest.mark.parametrize("machine", ["mainpc", "pc2"])
@pytest.mark.parametrize("server", SERVERS)
def test_killed_server(household: Household, server: str, machine: str) -> None:
    """A killed server is back by itself under its old port; questions are answered meanwhile, and no agent dies of it."""
    before = household.service(server, machine)
    agents = {agent["name"]: agent["pid"] for agent in household.status()["agents"]}
    os.kill(before["pid"], signal.SIGKILL)
    assert "42" in household.ask(SUM)
    household.ask(f"remember that the {server} code of {machine} is 4711")
    eventually(
        lambda: household.service(server, machine)["pid"] not in (None, before["pid"]), "the new server"
    )
    eventually(lambda: whole(household), "a whole fleet")
    after = household.service(server, machine)
    assert (after["port"], after["restarts"]) == (before["port"], before["restarts"] + 1)
    assert {agent["name"]: agent["pid"] for agent in household.status()["agents"]} == agents
    assert "4711" in household.ask(f"what is the {server} code of {machine}?")


def test_all_servers_at_once(household: Household) -> None:
    """All six servers killed at the same moment: the fleet heals and no agent restarts."""
    agents = {agent["name"]: agent["pid"] for agent in household.status()["agents"]}
    for service in household.status()["services"]:
        os.kill(service["pid"], signal.SIGKILL)
    assert "42" in household.ask(SUM)
    eventually(lambda: whole(household), "a whole fleet")
    assert {agent["name"]: agent["pid"] for agent in household.status()["agents"]} == agents


@pytest.mark.parametrize("server", ["nats", "valkey-control", "valkey-cache"])
def test_frozen_server(household: Household, server: str) -> None:
    """A server that hangs (SIGSTOP) is noticed and replaced; questions are answered meanwhile."""
    frozen = household.service(server, "mainpc")["pid"]
    os.kill(frozen, signal.SIGSTOP)
    assert "42" in household.ask(SUM)
    eventually(lambda: household.service(server, "mainpc")["pid"] not in (None, frozen), "the replacement")
    eventually(lambda: whole(household), "a whole fleet")
    assert not psutil.pid_exists(frozen)


@pytest.mark.parametrize("part", ["node", "zygote"])
def test_killed_supervision(household: Household, part: str) -> None:
    """Node or zygote killed: agents serve on untouched, and the keeper brings the part back."""
    agents = {agent["name"]: agent["pid"] for agent in household.status()["agents"]}
    before = supervision(household, part)
    os.kill(before, signal.SIGKILL)
    assert "42" in household.ask(SUM)
    eventually(lambda: supervision(household, part) not in (0, before), f"the new {part}")
    eventually(lambda: whole(household), "a whole fleet")
    assert {agent["name"]: agent["pid"] for agent in household.status()["agents"]} == agents


def test_killed_keeper(household: Household) -> None:
    """The keeper killed: agents answer on, its node makes a new one, and that one holds the same processes."""
    agents = {agent["name"]: agent["pid"] for agent in household.status()["agents"]}
    before = supervision(household, "keeper")
    os.kill(before, signal.SIGKILL)
    assert "42" in household.ask(SUM)
    eventually(lambda: supervision(household, "keeper") not in (0, before), "the new keeper")
    eventually(lambda: whole(household), "a whole fleet")
    assert {agent["name"]: agent["pid"] for agent in household.status()["agents"]} == agents


def test_killed_keeper_and_node(household: Household) -> None:
    """Both killed on both machines: agents answer on, ``doctor`` tells, ``up`` takes them over, ``down`` ends everything."""
    agents = {agent["name"]: agent["pid"] for agent in household.status()["agents"]}
    both = [supervision(household, part, at) for part in ("node", "keeper") for at in ("mainpc", "pc2")]
    for number in (signal.SIGSTOP, signal.SIGKILL):  # stopped first, so that none can replace another
        for pid in both:
            os.kill(pid, number)
    assert "42" in household.ask(SUM)
    checks = {check["check"]: check for check in household.tandem("doctor", "--json").json["checks"]}
    assert checks["mainpc"]["verdict"] == checks["pc2"]["verdict"] == "problem"
    assert "tandem up" in checks["mainpc"]["fix"]
    household.up()
    assert {agent["name"]: agent["pid"] for agent in household.status()["agents"]} == agents
    eventually(lambda: whole(household), "a whole fleet")
    assert "42" in household.ask(SUM)
    household.down()


def supervision(household: Household, part: str, machine: str = "mainpc") -> int:
    """Process id of a machine's keeper, node or zygote; 0 when there is none now."""
    machines = household.tandem("node", "--json").json
    return int(next(row.get(part, 0) for row in machines if row["machine"] == machine))
