"""`tandem machine rotate` while the fleet runs: everybody gets new keys, calls go on, and a killed command is taken up again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from household import Household, MakeHousehold, eventually

from tandem.core.errors import PermissionDenied
from tandem.security import Authority, Identity, Verifier

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FLEET = """
fleet: two
machines: {mainpc: {}, pc2: {}}
groups:
  here:
    machine: mainpc
    agents:
      Pair: {class: "fleet_agents.pair:Pair", port: 5709, settings: {}, env: {KEY: "secret:openai"}}
      Greeter: {class: "fleet_agents.greeter:Greeter"}
  there:
    machine: pc2
    agents:
      Pair: {class: "fleet_agents.pair:Pair", port: 7101}
"""


@pytest.fixture
def household(make_household: MakeHousehold) -> Household:
    household = make_household(FLEET)
    assert household.tandem("secrets", "set", "openai", stdin=b"planted-value").status == 0
    household.up()
    return household


def counts(household: Household) -> dict[str, int]:
    async def ask() -> dict[str, int]:
        async with household.connected() as connection:
            return {name: await connection.peer(name).count() for name in ("Pair@mainpc", "Pair@pc2")}

    return asyncio.run(ask())


def all_call(household: Household) -> None:
    """Each reaches its twin, now."""
    before = counts(household)
    eventually(lambda: all(counts(household)[name] > before[name] for name in before), "calls both ways")


def failed(household: Household) -> dict[str, list[str]]:
    return {
        machine: file.read_text().splitlines()
        for machine in ("mainpc", "pc2")
        if (file := household.home.machine(machine).agent_state("Pair") / "failed").exists()
    }


def pids(household: Household) -> dict[str, Any]:
    return {f"{row['name']}@{row['machine']}": row["pid"] for row in household.status()["agents"]}


def server_pids(household: Household) -> dict[str, int]:
    return {f"{row['name']}@{row['machine']}": row["pid"] for row in household.status()["services"]}


def servers_are_well(household: Household) -> bool:
    return all(row["state"] == "healthy" for row in household.status()["services"])


@pytest.mark.parametrize("machine", ["mainpc", "pc2"])
def test_a_running_machine_gets_new_keys(household: Household, machine: str) -> None:
    """The hub's machine and a linked one alike: its agents restart with new keys, the others keep running, calls in both
    directions never fail, what the former keys prove is refused, and links, servers and secrets are as before."""
    all_call(household)
    authority = Authority.open(household.home)
    thief = Identity(authority.machine(machine).issue(f"Pair@{machine}"))
    before, servers = pids(household), server_pids(household)
    said = household.tandem("machine", "rotate", machine)
    assert said.status == 0, said.text
    assert "1 secret is encrypted anew" in said.out
    after = pids(household)
    assert {name for name in before if after[name] != before[name]} == {n for n in before if n.endswith(f"@{machine}")}
    all_call(household)
    eventually(lambda: servers_are_well(household), "the servers")
    eventually(lambda: all(link["state"] == "up" for link in household.status()["links"]), "the links")
    moved = {name for name, pid in server_pids(household).items() if servers[name] != pid}
    assert moved == ({"nats@pc2"} if machine == "pc2" else set())  # a linked server logs in when it starts
    authority = Authority.open(household.home)
    verifier = Verifier(authority.ca_public, dict(authority.epochs))
    with pytest.raises(PermissionDenied, match="revoked"):
        verifier.verify(thief.token("x"), "x")
    eventually(lambda: users(household, machine) == expected_users(machine), "the former users to be gone")
    assert failed(household) == {}
    assert household.tandem("restart", "Pair@mainpc").status == 0  # its secret can be read
    assert "machine rotated" in household.tandem("machine", "trail").out


def users(household: Household, machine: str) -> int:
    """Who may log into the machine's nats-server."""
    return Path(household.home.machine(machine).nats / "nats.conf").read_text().count("nkey: U")


def expected_users(machine: str) -> int:
    """The node and each agent; on the hub's machine the leaf, too."""
    return 4 if machine == "mainpc" else 2


def test_a_rotation_killed_on_its_way_is_taken_up_again(household: Household) -> None:
    """kill -9 while agents are being restarted: both generations work; no rollout begins meanwhile; the same command
    ends it, and so does an `up`."""
    running = household.begin("machine", "rotate", "mainpc")
    eventually(lambda: "gets new keys (1 of" in running.out, "the first agent")
    running.process.kill()
    running.end()
    assert household.home.is_rotating("mainpc")
    assert "not finished" in household.tandem("machine", "list").out
    all_call(household)
    refused = household.tandem("apply")
    assert refused.status == 1 and "the keys of mainpc are being replaced" in refused.err
    assert household.tandem("restart", "Pair@mainpc").status == 0
    said = household.tandem("machine", "rotate", "mainpc")
    assert said.status == 0 and "interrupted" in said.out
    all_call(household)

    running = household.begin("machine", "rotate", "mainpc")
    eventually(lambda: "gets new keys (1 of" in running.out, "the first agent")
    running.process.kill()
    running.end()
    household.tandem("down")
    assert "an interrupted rotation was finished" in household.up().text
    assert not household.home.is_rotating("mainpc")
    all_call(household)
    rows = household.tandem("secrets", "list", "--json").json
    assert {row["where"] for row in rows} == {"store"}
