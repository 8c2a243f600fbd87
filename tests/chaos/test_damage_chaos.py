"""Files under TANDEM_HOME are damaged: the fleet comes up all the same, or says which file it is and how to go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fleet_rig import FleetRig, MakeFleet

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

FLEET = """
H: {class: chaos_agents:ObservabilityHub, observer: true}
S: {class: chaos_agents:Speaker, update: handover}
"""
LEFT_ALONE = ("ca/root/", "ca/machines/m1/seed", "releases/code/")
"""What nobody can make anew; copies of code, which have tests of their own."""

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda data: bytes(range(256)) * (len(data) // 256 + 1),
    "cut off": lambda data: data[: len(data) // 2],
}


def overwrite(path: Path, data: bytes) -> None:
    """Keep its permissions."""
    mode = path.stat().st_mode & 0o777
    path.chmod(0o600)
    path.write_bytes(data)
    path.chmod(mode)


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Nonsense within the block, as before afterwards."""
    data = path.read_bytes()
    overwrite(path, b"\xa5" * len(data))
    yield
    overwrite(path, data)


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_house_of_damaged_files_comes_up(fleet: MakeFleet, kind: str) -> None:
    """Identities, server files, streams, both Valkeys' data, spools, epochs, hub's databases, notes and logs at once: all healthy."""
    rig = fleet(FLEET)
    rig.tandem("up")
    rig.tandem("down")
    home = Path(rig.env["TANDEM_HOME"])
    files = [path for path in home.rglob("*") if path.is_file() and not any(part in str(path) for part in LEFT_ALONE)]
    assert len(files) > 20
    for path in files:
        overwrite(path, DAMAGES[kind](path.read_bytes()))
    rig.tandem("up", code=None)
    rig.until(lambda: {row["state"] for row in rig.status()["agents"]} == {"healthy"}, "everybody")
    assert "mistake in Tandem" not in rig.tandem("logs", "--lines", "0") + rig.tandem("doctor", code=None)
    rig.tandem("down")
    assert rig.remains() == []


def test_a_node_without_its_identity_says_so_and_agents_serve_on(fleet: MakeFleet) -> None:
    """The seed is damaged and the node killed: no other can take over, which is told at once; restored, ``up`` makes one,
    which takes over the same processes."""
    rig = fleet("A: {class: chaos_agents:Talker}\nB: {class: chaos_agents:Talker, launch: exec}")
    rig.tandem("up")
    before = {row["name"]: row["pid"] for row in rig.status()["agents"]}
    with damaged(Path(rig.env["TANDEM_HOME"]) / "ca/machines/m1/seed"):
        os.kill(rig.keeper()["node"], signal.SIGKILL)
        rig.until(lambda: "gave up" in rig.tandem("status", code=None), "the node to give up")
        for verb in ("status", "up"):
            said = rig.tandem(verb, code=1)
            assert "gave up" in said and "seed is damaged" in said, said
    rig.tandem("up")
    assert {row["name"]: row["pid"] for row in rig.status()["agents"]} == before
    assert gone(rig) == []


def gone(rig: FleetRig) -> list[str]:
    """What ``down`` leaves."""
    rig.tandem("down")
    return rig.remains()
