"""The fleets and the keepers the tests of this folder start."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from fleet_rig import MakeFleet, fleets
from keeper_rig import KeeperRig


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[MakeFleet]:
    """Makes fleets that are gone after the test."""
    yield from fleets(tmp_path)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[KeeperRig]:
    """A keeper, and a connection that hears what it tells."""
    rig = await KeeperRig(tmp_path).start()
    yield rig
    await rig.stop()
