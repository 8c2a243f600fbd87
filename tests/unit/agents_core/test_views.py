"""The registry's view and the digital twin."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tandem.agent.testing import Member, fleet_of, virtual_time
from tandem.core.errors import InvalidArguments, NotFound
from tandem_agents.core_services.contracts import Directory, PlannedLoad, Registration, Twin
from tandem_agents.core_services.service_registry import ServiceRegistry
from tandem_agents.core_services.system_digital_twin import SystemDigitalTwin
from tandem_agents.infrastructure.async_processor import AsyncProcessor

PC2 = Member(AsyncProcessor, machine="pc2")


@virtual_time
async def test_the_registry_shows_every_agent() -> None:
    """Agents of both machines are listed with their status; a machine and a name narrow it down."""
    async with fleet_of(PC2, ServiceRegistry) as fleet:
        directory = fleet.peer(Directory)
        assert [(view.name, view.machine, view.status) for view in await directory.list_agents()] == [
            ("AsyncProcessor", "pc2", "healthy"), ("ServiceRegistry", "mainpc", "healthy"),
        ]  # fmt: skip
        assert [view.name for view in await directory.list_agents("pc2")] == ["AsyncProcessor"]
        assert (await directory.get_agent_endpoint("AsyncProcessor@pc2")).machine == "pc2"
        with pytest.raises(NotFound):
            await directory.get_agent_endpoint("Nobody")


@virtual_time
async def test_programs_of_the_outside_can_register(tmp_path: Path) -> None:
    """A registration is found, survives a restart, can be withdrawn, and cannot take an agent's name."""
    async with fleet_of(ServiceRegistry, state=tmp_path) as fleet:
        directory = fleet.peer(Directory)
        await directory.register_agent(
            Registration(name="Legacy", machine="attic", endpoint="tcp://10.0.0.9:7000")
        )
        for wrong in (
            Registration(name="", machine="x", endpoint="y"),
            Registration(name="ServiceRegistry", machine="x", endpoint="y"),
        ):
            with pytest.raises(InvalidArguments):
                await directory.register_agent(wrong)
        await fleet.kill("ServiceRegistry")
        await fleet.start("ServiceRegistry")
        assert (await fleet.peer(Directory).get_agent_endpoint("Legacy")).endpoint == "tcp://10.0.0.9:7000"
        assert await fleet.peer(Directory).unregister_agent("Legacy") == 1
        assert await fleet.peer(Directory).unregister_agent("Legacy") == 0


@virtual_time
async def test_a_lease_ends_unless_it_is_renewed(tmp_path: Path) -> None:
    """A program that stops renewing is gone when its time is over, also for a registry that was restarted meanwhile."""
    async with fleet_of(ServiceRegistry, state=tmp_path) as fleet:
        directory = fleet.peer(Directory)
        lease = Registration(name="Lamp", machine="attic", endpoint="x", capabilities=["light"], ttl_s=30)
        assert (await directory.register_agent(lease)).capabilities == ["light"]
        await asyncio.sleep(20)
        await directory.renew_registration("Lamp")
        await asyncio.sleep(20)
        [found] = await directory.discover("light")
        assert found.seen_s == pytest.approx(20, abs=1)
        assert await directory.discover("light", machine="cellar") == []
        assert await directory.discover("sound") == []
        await fleet.kill("ServiceRegistry")
        await asyncio.sleep(11)
        await fleet.start("ServiceRegistry")
        directory = fleet.peer(Directory)
        assert await directory.discover("light") == []
        with pytest.raises(NotFound, match="any more"):
            await directory.renew_registration("Lamp")
        with pytest.raises(InvalidArguments, match="ttl_s"):
            await directory.register_agent(Registration(name="L", machine="m", endpoint="x", ttl_s=-1))


@virtual_time
async def test_changes_can_be_followed() -> None:
    """A watcher hears of everybody there is, then of who comes, changes and goes; signs of life are no news."""
    async with fleet_of(ServiceRegistry) as fleet:
        directory = fleet.peer(Directory)
        heard = []

        async def follow() -> None:
            async for change in directory.watch("attic"):
                view = change.view
                heard.append((change.kind, view.name, view.endpoint))

        watcher = asyncio.create_task(follow())
        await asyncio.sleep(2)
        for endpoint in ("x", "x", "y"):
            await directory.register_agent(Registration(name="Lamp", machine="attic", endpoint=endpoint))
            await asyncio.sleep(2)
        await directory.unregister_agent("Lamp")
        await asyncio.sleep(2)
        watcher.cancel()
    assert heard == [("appeared", "Lamp", "x"), ("changed", "Lamp", "y"), ("gone", "Lamp", "y")]


@virtual_time
async def test_the_twin_knows_both_machines() -> None:
    """Readings of both machines gather every ten seconds, and a planned load is judged by them."""
    async with fleet_of(PC2, ServiceRegistry, SystemDigitalTwin) as fleet:
        await asyncio.sleep(65)
        twin = fleet.peer(Twin)
        assert {reading.machine for reading in await twin.get_metrics()} == {"mainpc", "pc2"}
        history = await twin.get_history("pc2", 3600)
        assert len(history) >= 5
        assert [reading.at for reading in history] == sorted(reading.at for reading in history)
        assert (await twin.simulate_load("ram", 1.0, "pc2")).fits == "yes"
        assert (await twin.simulate_load("ram", 1e9)).fits == "no"
        with pytest.raises(NotFound):
            await twin.simulate_load("cpu", 1.0, "attic")
        with pytest.raises(InvalidArguments):
            await twin.simulate_load("cpu", -1.0)
        assert {view.name for view in await twin.get_ok_agents()} == {
            "AsyncProcessor",
            "ServiceRegistry",
            "SystemDigitalTwin",
        }
        assert (await twin.get_agent_info("AsyncProcessor")).machine == "pc2"


@virtual_time
async def test_a_silent_machine_degrades_the_twin() -> None:
    """When PC2 cannot be read the twin says so, and recovers with it."""
    async with fleet_of(PC2, ServiceRegistry, SystemDigitalTwin) as fleet:
        await fleet.stop("AsyncProcessor")
        await asyncio.sleep(15)
        [issue] = await fleet.agent(SystemDigitalTwin).check()
        assert "pc2" in issue.message
        await fleet.start("AsyncProcessor")
        await asyncio.sleep(90)
        assert not list(await fleet.agent(SystemDigitalTwin).check())


@virtual_time
async def test_what_if_weighs_a_plan_as_a_whole() -> None:
    """Loads add up on their machine, a machine that is taken away fits nothing and takes its agents along; nothing happens."""
    async with fleet_of(PC2, ServiceRegistry, SystemDigitalTwin) as fleet:
        await asyncio.sleep(65)
        twin = fleet.peer(Twin)
        little = PlannedLoad(machine="pc2", kind="ram", amount=1)
        free = (await twin.what_if([little])).verdicts[0]
        assert free.fits == "yes"
        most = PlannedLoad(machine="pc2", kind="ram", amount=free.left)
        assert (await twin.what_if([most])).fits == "yes"
        both = await twin.what_if([most, PlannedLoad(machine="pc2", kind="ram", amount=2)])
        assert [verdict.fits for verdict in both.verdicts] == ["yes", "no"]
        assert both.fits == "no"
        alone = await twin.what_if([little], without=("pc2",))
        assert alone.gone == ["AsyncProcessor@pc2"]
        assert alone.fits == "no"
        assert (await twin.what_if([little])).fits == "yes"
        with pytest.raises(NotFound):
            await twin.what_if([PlannedLoad(machine="pc3", kind="ram", amount=1)])
