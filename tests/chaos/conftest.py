"""Whole fleets for faults injected on purpose; driven like the supervision tests, with agents of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "supervise"))
sys.path.insert(0, str(Path(__file__).parent))

from fleet_rig import FleetRig, MakeFleet


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[MakeFleet]:
    """Makes fleets; whatever they leave running is ended afterwards."""
    made: list[FleetRig] = []

    def make(agents: str, **more: str) -> FleetRig:
        rig = FleetRig(tmp_path, agents, **more)
        rig.env["PYTHONPATH"] = str(Path(__file__).parent)
        made.append(rig)
        return rig

    yield make
    for rig in made:
        rig.close()
