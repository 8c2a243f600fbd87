"""The fleet file at the root of the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from tandem.fleet import Fleet, Surroundings, load, plan

FILE = Path(__file__).parents[3] / "fleet.yaml"


def fleet_of(**environ: str) -> Fleet:
    result = load(FILE, Surroundings(environ=environ, is_here=lambda host: host == "192.168.1.5"))
    assert result.diagnostics == []
    return result.require()


@pytest.mark.parametrize(
    "environ",
    [{}, {"PORT_OFFSET": "20000"}, {"MAINPC_IP": "192.168.1.5", "PC2_IP": "192.168.1.6"}],
    ids=["one computer", "moved", "two computers"],
)
def test_it_is_flawless_everywhere(environ: dict[str, str]) -> None:
    """On one computer, moved by an offset, or on two computers, the file has neither errors nor warnings."""
    fleet = fleet_of(**environ)
    assert sum(len(level) for level in plan(fleet)) == len(fleet.agents)


def test_it_has_a_front_door_on_the_main_computer() -> None:
    """Requests go to the coordinator."""
    assert fleet_of().front_door == "RequestCoordinator@mainpc"


def test_both_machines_have_agents() -> None:
    """The fleet spans two machines, and each runs something."""
    fleet = fleet_of()
    assert list(fleet.machines) == ["mainpc", "pc2"]
    assert all(fleet.on(machine) for machine in fleet.machines)


def test_gpu_budgets() -> None:
    """MainPC leases 80 % of 24 GiB; PC2 10,000 MiB, which leaves more than its reserve free."""
    budgets = [machine.gpu.budget() for machine in fleet_of().machines.values() if machine.gpu]
    assert budgets == [19660, 10000]
