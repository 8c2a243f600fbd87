"""Whole fleets for faults injected on purpose; driven like the supervision tests, with agents of their own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "integration" / "supervise"))
sys.path.insert(0, str(Path(__file__).parent))

from fleet_rig import MakeFleet, fleets


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[MakeFleet]:
    """Makes fleets; whatever they leave running is ended afterwards."""
    yield from fleets(tmp_path, Path(__file__).parent)
