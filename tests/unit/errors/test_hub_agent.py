"""The hub as an agent among others, in memory."""

from __future__ import annotations

import asyncio

import pytest

from tandem.agent import Agent, action
from tandem.agent.testing import Member, fleet_of, virtual_time
from tandem.core import clock
from tandem.core.errors import (
    ConfigError,
    InvalidArguments,
    NotFound,
    PermissionDenied,
    RemoteError,
    Unavailable,
    Unreachable,
)
from tandem.errors.legacy import Phase
from tandem.hub import IncidentHub, Incidents
from tandem.hub import incidents as module
from tandem.rpc.context import principal_var
from tandem.security import Principal


class ObservabilityHub(IncidentHub):
    """The fleet's incidents."""


class Cook(Agent):
    """Burns things."""

    @action
    async def burn(self, what: str) -> None:
        raise ValueError(f"burnt {what}")

    @action
    async def cry(self, what: str) -> None:
        """Something critical goes on."""
        self.report_error(what, f"{what}!", "critical")


async def burnt(fleet, *dishes: str) -> None:
    for dish in dishes:
        with pytest.raises(RemoteError):
            await fleet.peer("Cook").burn(what=dish)
    await settled(fleet, len(dishes))


async def settled(fleet, count: int, at: str | None = None) -> None:
    """Until the hub has counted so many errors."""
    async with asyncio.timeout(60):
        while sum(found.count for found in await fleet.peer(Incidents, at).list_incidents(True)) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.1)


@virtual_time
async def test_errors_of_the_fleet_become_incidents() -> None:
    """What any agent reports is counted, also what was reported before the hub came."""
    async with fleet_of(ObservabilityHub, Cook) as fleet:
        await fleet.stop("ObservabilityHub")
        with pytest.raises(RemoteError):
            await fleet.peer("Cook").burn(what="1 rice")
        await fleet.start("ObservabilityHub")
        await burnt(fleet, "2 rice", "3 rice")
        await settled(fleet, 3)
        [incident] = await fleet.peer(Incidents).list_incidents()
        assert (incident.count, incident.agents) == (3, ["Cook@mainpc"])
        assert incident.title.startswith("ValueError in Cook@mainpc: burnt 1 rice (3 times")
        detail = await fleet.peer(Incidents).show_incident(incident.id[-6:])
        # All at the same virtual time, so in no order.
        assert sorted(report.message[6] for report in detail.reports) == ["1", "2", "3"]
        assert (await fleet.peer(Incidents).error_stats()).errors == 3
        assert await fleet.peer(Incidents).replay_errors() == 0


@virtual_time
@pytest.mark.parametrize("caller", ["Cook@mainpc", "node@mainpc"])
async def test_only_the_operator_decides(caller: str) -> None:
    """An agent or a node that wants to silence an incident is refused, and the incident stays as it was."""
    async with fleet_of(ObservabilityHub, Cook) as fleet:
        await burnt(fleet, "1 egg")
        hub = fleet.agent(ObservabilityHub)
        [incident] = await hub.list_incidents()
        rogue = principal_var.set(Principal(name=caller, kind="node" if caller.startswith("node") else "agent"))
        for deed in (
            hub.acknowledge_incident(incident.id),
            hub.resolve_incident(incident.id),
            hub.snooze_incident(incident.id, 60),
            hub.reopen_incident(incident.id),
            hub.migrate_errors(Phase.OFF),
        ):
            with pytest.raises(PermissionDenied, match="only the operator"):
                await deed
        principal_var.reset(rogue)
        assert [found.state for found in await hub.list_incidents()] == ["open"]
        operator = principal_var.set(Principal(name="operator", kind="operator"))
        decided = await hub.acknowledge_incident(incident.id)
        principal_var.reset(operator)
        assert (decided.state, decided.by) == ("acknowledged", "operator")


@virtual_time
async def test_the_verbs_of_an_incident() -> None:
    """Snooze ends by itself, resolve ends it, reopen takes that back, and wrong ones are refused."""
    async with fleet_of(ObservabilityHub, Cook) as fleet:
        await burnt(fleet, "1 egg")
        hub = fleet.peer(Incidents)
        [incident] = await hub.list_incidents()
        assert (await hub.snooze_incident(incident.id, 60)).state == "snoozed"
        await asyncio.sleep(70)
        assert [found.state for found in await hub.list_incidents()] == ["open"]
        assert (await hub.resolve_incident(incident.id)).state == "resolved"
        assert await hub.list_incidents() == []
        assert (await hub.reopen_incident(incident.id)).state == "open"
        with pytest.raises(InvalidArguments):
            await hub.snooze_incident(incident.id, 0)
        with pytest.raises(NotFound):
            await hub.acknowledge_incident("nothing")


@virtual_time
async def test_a_quiet_incident_is_over() -> None:
    """After the configured minutes without an error it resolves itself."""
    async with fleet_of(Member(ObservabilityHub, quiet_minutes=2), Cook) as fleet:
        await burnt(fleet, "1 egg")
        await asyncio.sleep(110)
        assert len(await fleet.peer(Incidents).list_incidents()) == 1
        await asyncio.sleep(20)
        assert await fleet.peer(Incidents).list_incidents() == []


@virtual_time
async def test_alerts_go_out_once_and_failures_show(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that refuses is tried again and named in the health; what it took is not sent again."""
    sent: list[str] = []
    refusals = 2

    async def send(alert, incident, sender, apart) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise Unreachable("no route")
        sent.append(f"{alert.route.name} {alert.stage} {sender}")

    monkeypatch.setattr(module, "send", send)
    alerts = {"routes": [{"name": "chat", "to": "json://localhost", "at": "error"}]}
    async with fleet_of(Member(ObservabilityHub, alerts=alerts, quiet_minutes=1), Cook) as fleet:
        await burnt(fleet, "1 egg")
        await asyncio.sleep(6)
        health = await fleet.peer("ObservabilityHub").health_check()
        assert "alerts to chat are not delivered: no route" in str(health)
        await asyncio.sleep(120)
        health = await fleet.peer("ObservabilityHub").health_check()
        assert "chat" not in str(health)
    assert sent == ["chat opened ObservabilityHub@mainpc", "chat resolved ObservabilityHub@mainpc"]


@virtual_time
async def test_what_stays_critical_climbs_until_somebody_takes_care(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten minutes unacknowledged: the next level is told, after ten more the one above, each once; what was acknowledged
    in time goes no further, and when it is over, all who had heard of it are told."""
    sent: list[tuple[str, str, int]] = []
    began = 0.0

    async def send(alert, incident, sender, apart) -> None:
        sent.append((f"{incident.root.type} {alert.route.name}", alert.stage, round((clock.wall() - began) / 60)))

    monkeypatch.setattr(module, "send", send)
    routes = [{"name": f"level{level}", "to": "json://localhost", "at": "critical", "level": level} for level in range(3)]
    async with fleet_of(Member(ObservabilityHub, alerts={"routes": routes}), Cook) as fleet:
        began = clock.wall()
        for minute in range(26):
            if minute % 5 == 0:
                await fleet.peer("Cook").cry(what="Fire")
            if minute == 0:
                await fleet.peer("Cook").cry(what="Flood")
            if minute == 9:
                [flood] = [i for i in await fleet.peer(Incidents).list_incidents() if "Flood" in i.title]
                await fleet.peer(Incidents).acknowledge_incident(flood.id, "mopping")
            await asyncio.sleep(60)
        assert sorted(sent) == [
            ("Fire level0", "opened", 0), ("Fire level1", "sustained", 10), ("Fire level2", "sustained", 20),
            ("Flood level0", "opened", 0), ("Flood level0", "resolved", 15),
        ]  # fmt: skip
        await asyncio.sleep(20 * 60)
        assert sorted(name for name, stage, _ in sent if stage == "resolved") == [
            "Fire level0", "Fire level1", "Fire level2", "Flood level0",
        ]  # fmt: skip
        assert len(sent) == 8


@virtual_time
async def test_what_the_disk_refuses_is_counted_once_it_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the hub's store fails, its health says so and no report is given up; afterwards each counts once."""
    async with fleet_of(ObservabilityHub, Cook) as fleet:
        desk = fleet.agent(ObservabilityHub)._desk
        take = desk.take

        async def refuse(_reports: object) -> int:
            raise Unavailable("no space left")

        monkeypatch.setattr(desk, "take", refuse)
        for dish in ("1 egg", "2 egg"):
            with pytest.raises(RemoteError):
                await fleet.peer("Cook").burn(what=dish)
        await asyncio.sleep(300)
        assert "error reports cannot be kept and wait in the stream: no space left" in str(
            await fleet.peer("ObservabilityHub").health_check()
        )
        monkeypatch.setattr(desk, "take", take)
        await settled(fleet, 2)
        await asyncio.sleep(60)
        assert [found.count for found in await fleet.peer(Incidents).list_incidents()] == [2]
        assert "cannot be kept" not in str(await fleet.peer("ObservabilityHub").health_check())


@virtual_time
async def test_wrong_settings_are_refused() -> None:
    """Unknown rules and two routes of one name stop the start with words."""
    with pytest.raises(ConfigError, match="then"):
        async with fleet_of(Member(ObservabilityHub, rules=[{"count": 1, "within_s": 1, "then": "explode"}])):
            pass
    routes = [{"name": "a", "to": "json://x"}, {"name": "a", "to": "json://y"}]
    with pytest.raises(ConfigError, match="two alert routes are called 'a'"):
        async with fleet_of(Member(ObservabilityHub, alerts={"routes": routes})):
            pass
