"""Two computers with a cable between them, for all tests of a module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from rig import TwoComputers, refusal, two_computers


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skip, and say why, where the kernel cannot play two computers."""
    if why := refusal():
        pytest.skip(f"two computers cannot be played here: {why}")


@pytest.fixture(scope="module")
def rig(namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoComputers]:
    """Both computers, joined and up."""
    with two_computers(tmp_path_factory.mktemp("rig")) as computers:
        computers.up()
        # Each has heard the other: what was never there cannot be cut off.
        computers.await_link("up")
        yield computers
