"""Two computers with a cable between them, for all tests of a module."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (HERE, HERE.parent / "e2e"):
    sys.path.insert(0, str(folder))

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
        yield computers
