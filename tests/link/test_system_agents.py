"""UnifiedSystemAgent steers the other computer through its counterpart there, which decides whom it obeys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from rig import TwoComputers, eventually_async, two_computers

pytestmark = [pytest.mark.link, pytest.mark.timeout(300)]

SYSTEM = "tandem_agents.core_services.unified_system_agent:UnifiedSystemAgent"
FLEET = f"""
fleet: two
machines:
  mainpc: {{host: "${{MAINPC_IP}}"}}
  pc2: {{host: "${{PC2_IP}}"}}
groups:
  here:
    machine: mainpc
    agents:
      Talker: {{class: link_agents.talker:Talker, port: 5709}}
      UnifiedSystemAgent: {{class: "{SYSTEM}", port: 5710}}
  there:
    machine: pc2
    agents:
      Talker: {{class: link_agents.talker:Talker, port: 7101}}
      UnifiedSystemAgent: {{class: "{SYSTEM}", port: 7102, settings: {{operators: [UnifiedSystemAgent@mainpc]}}}}
"""
HERE, THERE = "UnifiedSystemAgent@mainpc", "UnifiedSystemAgent@pc2"


@pytest.fixture
def steered(namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoComputers]:
    with two_computers(tmp_path_factory.mktemp("steered"), FLEET) as computers:
        computers.up()
        computers.await_link("up")
        yield computers


async def test_the_operator_steers_both_computers_from_one(steered: TwoComputers) -> None:
    """From mainpc every agent is listed and pc2's is restarted; pc2's agent names no counterpart to mainpc's, so from pc2 the
    operator may look at mainpc and not change it."""

    def pid(computer: str) -> int:
        rows = (steered.mainpc if computer == "mainpc" else steered.pc2).status()["agents"]
        return next(int(row["pid"]) for row in rows if row["name"] == "Talker")

    before = {computer: pid(computer) for computer in ("mainpc", "pc2")}
    async with steered.operators() as (here, there):

        async def all_listed() -> bool:
            lists = [await here.call(HERE, "list_services"), await there.call(THERE, "list_services")]
            return all(len(listed) == 4 and all(agent["state"] == "healthy" for agent in listed) for listed in lists)

        await eventually_async(all_listed, "the agents of both computers, at both")
        restarted = await here.call(HERE, "restart_service", timeout=60.0, name="Talker@pc2")
        assert restarted["machine"] == "pc2" and restarted["pid"] == pid("pc2") != before["pc2"]
        assert [m["name"] for m in (await here.call(HERE, "get_system_info", machine="pc2"))["machines"]] == ["pc2"]
        assert (await there.call(THERE, "get_service_status", name="Talker@mainpc"))["pid"] == before["mainpc"]
        refused = await there.ask(THERE, "restart_service", 60.0, name="Talker@mainpc")
        assert refused["error"]["code"] == "permission_denied" and THERE in refused["error"]["message"]
    assert pid("mainpc") == before["mainpc"]
