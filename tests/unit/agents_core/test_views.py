"""The registry's view and the digital twin."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tandem.agent.testing import Member, fleet_of, virtual_time
from tandem.core.errors import InvalidArguments, NotFound
from tandem_agents.core_services.contracts import Directory, Registration, Twin
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
