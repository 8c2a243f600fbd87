"""The operator's door for programs: who may do what. That it does it is shown with real machines (tests/e2e)."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tandem.agent import Agent
from tandem.agent.testing import Member, fleet_of, virtual_time
from tandem.core.errors import InvalidArguments, NotFound, PermissionDenied, TandemError, Unreachable
from tandem.core.paths import Home
from tandem.supervise.api import AgentView, LinkView, MachineStatus, ServiceView
from tandem.supervise.steering import Steering
from tandem_agents.core_services.system_contracts import Leftover, ManagedAgent, SystemControl
from tandem_agents.core_services.unified_system_agent import UnifiedSystemAgent

STATUS = MachineStatus(
    machine="mainpc", host=None, pid=1, keeper_pid=2, fleet="f", fleet_file="",
    services=[ServiceView(name="nats", machine="mainpc", state="healthy")],
    agents=[
        AgentView(name="Clock", machine="mainpc", group="g", state="healthy", pid=7),
        AgentView(name="UnifiedSystemAgent", machine="mainpc", group="g", state="healthy", pid=8),
    ],
    links=[LinkView(machine="pc2", state="cut", since_s=3.0)],
)  # fmt: skip


@pytest.fixture
def ordered(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """A computer with one machine; what was ordered of it."""
    orders: list[tuple[str, str]] = []

    async def status(_self: Steering) -> list[MachineStatus]:
        return [STATUS]

    async def order(self: Steering, verb: str, name: str) -> AgentView:
        orders.append((verb, name))
        return await self.find(name)

    monkeypatch.setattr(Steering, "status", status)
    monkeypatch.setattr(Steering, "order", order)
    return orders


@virtual_time
async def test_everybody_may_look(ordered: list[tuple[str, str]]) -> None:
    """Agents, one agent, and the computer with its links are shown to whoever asks."""
    async with fleet_of(UnifiedSystemAgent) as fleet:
        control = fleet.peer(SystemControl)
        assert [agent.name for agent in await control.list_services()] == ["Clock", "UnifiedSystemAgent"]
        with pytest.raises(TandemError):
            await control.list_services("pc2")
        assert (await control.get_service_status("Clock")).pid == 7
        with pytest.raises(NotFound):
            await control.get_service_status("Clcok")
        info = await control.get_system_info()
        assert info.cores == os.cpu_count()
        assert info.machines[0].links == {"pc2": "cut"}


@virtual_time
async def test_nobody_but_the_operator_may_change_anything(ordered: list[tuple[str, str]]) -> None:
    """An agent that is not named in the settings is refused, and nothing is ordered."""
    async with fleet_of(UnifiedSystemAgent) as fleet:
        control = fleet.peer(SystemControl)
        for work in (control.start_service, control.stop_service, control.restart_service):
            with pytest.raises(PermissionDenied, match="may not"):
                await work("Clock")
        with pytest.raises(PermissionDenied):
            await control.cleanup_system()
    assert ordered == []


@virtual_time
async def test_who_is_named_may_order(
    ordered: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Orders go to the node; it never orders its own end, which it could not report."""
    async with fleet_of(Member(UnifiedSystemAgent, operators=["test"])) as fleet:
        monkeypatch.setattr(UnifiedSystemAgent, "_must_be_operator", lambda _self, _what: None)
        control = fleet.peer(SystemControl)
        assert (await control.restart_service("Clock")).name == "Clock"
        await control.start_service("Clock")
        await control.stop_service("Clock@mainpc")
        with pytest.raises(InvalidArguments, match="its own end"):
            await control.restart_service("UnifiedSystemAgent")
        with pytest.raises(InvalidArguments, match="negative"):
            await control.cleanup_system(older_than_s=-1)
    assert ordered == [("restart", "Clock"), ("start", "Clock"), ("stop", "Clock@mainpc")]


class Radio(Agent):
    """Somebody on the other computer."""


class ThereAgent:
    """What the UnifiedSystemAgent of pc2 does when it is asked; ``away``: it does not answer."""

    def __init__(self, away: bool = False) -> None:
        self.orders: list[tuple[str, str]] = []
        self._away = away

    async def list_services(self, machine: str) -> list[ManagedAgent]:
        if self._away:
            raise Unreachable("the link is cut")
        return [ManagedAgent(name="Radio", machine=machine, group="g", state="healthy")]

    async def restart_service(self, name: str) -> ManagedAgent:
        self.orders.append(("restart", name))
        return ManagedAgent(name="Radio", machine="pc2", group="g", state="healthy")

    async def cleanup_system(self, older_than_s: float, machine: str) -> list[Leftover]:
        self.orders.append(("clean up", machine))
        return []


@virtual_time
async def test_what_concerns_the_other_computer_is_asked_there(
    ordered: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Agents of both computers are listed; an order for one over there is passed on after the caller was checked here, and
    is not carried out here."""
    there = ThereAgent()
    monkeypatch.setattr(UnifiedSystemAgent, "_twin", lambda _self, machine: there)
    async with fleet_of(UnifiedSystemAgent, Member(Radio, machine="pc2")) as fleet:
        control = fleet.peer(SystemControl)
        listed = [f"{agent.name}@{agent.machine}" for agent in await control.list_services()]
        assert listed == ["Clock@mainpc", "UnifiedSystemAgent@mainpc", "Radio@pc2"]
        with pytest.raises(PermissionDenied):
            await control.restart_service("Radio@pc2")
        assert there.orders == []
        monkeypatch.setattr(UnifiedSystemAgent, "_must_be_operator", lambda _self, _what: None)
        for name in ("Radio@pc2", "Radio"):
            assert (await control.restart_service(name)).machine == "pc2"
        await control.cleanup_system(machine="pc2")
    assert there.orders == [("restart", "Radio@pc2"), ("restart", "Radio"), ("clean up", "pc2")]
    assert ordered == []


@virtual_time
async def test_a_computer_that_does_not_answer_is_told_of(
    ordered: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its agents are listed as unknown with the reason; asked for alone, the error comes."""
    monkeypatch.setattr(UnifiedSystemAgent, "_twin", lambda _self, machine: ThereAgent(away=True))
    async with fleet_of(UnifiedSystemAgent, Member(Radio, machine="pc2")) as fleet:
        control = fleet.peer(SystemControl)
        [radio] = [agent for agent in await control.list_services() if agent.machine == "pc2"]
        assert (radio.name, radio.state, radio.note) == ("Radio", "unknown", "pc2 did not tell: the link is cut")
        with pytest.raises(Unreachable):
            await control.list_services("pc2")


async def test_only_old_compressed_logs_are_removed(tmp_path: Path) -> None:
    """What is still written to, what is recent, and everything that is no log stays."""
    home = Home(tmp_path)
    logs = home.machine("mainpc").logs
    logs.mkdir(parents=True)
    for name, age_s in (("a.1.gz", 1000), ("b.1.gz", 10), ("a.log", 1000)):
        (logs / name).write_bytes(b"12345")
        at = (logs / name).stat().st_mtime - age_s
        os.utime(logs / name, (at, at))
    assert await Steering(home).remove_leftovers(100) == [(str(logs / "a.1.gz"), 5)]
    assert sorted(path.name for path in logs.iterdir()) == ["a.log", "b.1.gz"]
