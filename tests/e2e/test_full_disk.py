"""The disk fills up while the fleet runs: what cannot be kept is not acknowledged, the rest works, nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from household import REAL_FLEET, Household, MakeHousehold, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.models, pytest.mark.timeout(400)]

SUM = "what is 17 plus 25"


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of its own with 256 MiB."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    place = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256m", "tandem-test", str(place)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"this place does not allow mounting: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture(scope="module")
def household(
    make_shared_household: MakeHousehold, small_disk: Path, default_models: None
) -> Iterator[Household]:
    household = make_shared_household(REAL_FLEET, TANDEM_HOME=str(small_disk / "home"))
    household.up()
    # Whoever ran out of room on the way to a copy would give back what that took.
    copied = r"the code (that came up|has changed)"
    eventually(lambda: len(household.logs("node", "--grep", copied)) == 2, "both nodes to have copied the code")
    yield household
    household.clean_up()


@contextlib.contextmanager
def full(place: Path) -> Iterator[None]:
    """Not a byte is left on the file system of ``place``."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(_DiskFull):
                while True:
                    _write(file.fileno(), b"\0" * size)
    try:
        yield
    finally:
        ballast.unlink()


@pytest.fixture(scope="module")
def answered() -> dict[str, bool]:
    """Codes told while the disk was full, and whether they were acknowledged."""
    return {}


class _DiskFull(Exception):
    """There is no room."""


def _write(fd: int, data: bytes) -> None:
    try:
        os.write(fd, data)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise _DiskFull from error


def told_until_refused(household: Household) -> dict[str, bool]:
    """Facts told one after another; a store may have room for a few in what its file already has."""
    answered: dict[str, bool] = {}
    for code in map(str, range(8266, 8366)):
        said = household.tandem("ask", f"remember that the locker {code[1:]} code is {code}")
        answered[code] = "I will remember" in said.out
        if not answered[code]:
            assert re.search(r"disk|space|full", said.text), said.text
            return answered
    raise AssertionError(f"nothing was refused: {answered}")


def test_full_disk(household: Household, small_disk: Path, answered: dict[str, bool]) -> None:
    """Told facts and set timers are acknowledged only when they were kept; old ones are known all the time."""
    household.ask("remember that the boiler code is 4711")
    household.ask("set a soup timer for 3 hours")
    with full(small_disk):
        assert "42" in household.ask(SUM)
        assert "4711" in household.ask("what is the boiler code?")
        answered.update(told_until_refused(household))
        timer = household.tandem("ask", "set a tea timer for 4 hours")
        assert re.search(r"disk|space|full", timer.text), timer.text
        doctor = household.tandem("doctor", "--json").json
        assert [check["verdict"] for check in doctor["checks"] if check["check"] == "disk"] == ["problem"]
        assert household.tandem("status").status in (0, 1)
    eventually(lambda: household.tandem("status").status == 0, "a whole fleet")
    household.ask("remember that the locker 100 code is 9100")
    timers = household.ask("which timers are running?")
    assert "soup" in timers
    assert "tea" not in timers


def test_restart_after_a_full_disk(household: Household, small_disk: Path, answered: dict[str, bool]) -> None:
    """With a full disk ``down`` works; ``up`` then says why it cannot; with room again everything acknowledged is there."""
    with full(small_disk):
        household.down()
        said = household.tandem("up", "--timeout", "20")
        assert said.status != 0
        assert re.search(r"disk|space", said.text), said.text
        household.tandem("down")
    household.up()
    assert "4711" in household.ask("what is the boiler code?")
    assert "9100" in household.ask("what is the locker 100 code?")
    for code, kept in answered.items():
        said = household.ask(f"what is the locker {code[1:]} code?")
        assert (code in said) is kept, f"{code} was {'kept' if kept else 'refused'}, then: {said}"
    assert "soup" in household.ask("which timers are running?")


def test_power_cut_with_a_full_disk(household: Household, small_disk: Path) -> None:
    """Killed while the disk is full: the next start with room finds everything that was acknowledged."""
    with full(small_disk):
        household.kill_everything()
    household.up()
    assert "4711" in household.ask("what is the boiler code?")
    assert "soup" in household.ask("which timers are running?")
