"""The computer is suspended, or time is lost to others: nobody is blamed for it."""

from __future__ import annotations

import os
import signal
import time

import pytest
from fleet_rig import MakeFleet

from tandem.supervise.keeper_client import ask_listing
from tandem.supervise.liveness import SILENCE_S

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


def test_a_suspended_computer_wakes_with_the_same_processes(fleet: MakeFleet) -> None:
    """Everything is stopped for longer than an agent may be silent: on waking, nobody is killed for the time that passed."""
    rig = fleet("A: {class: chaos_agents:Good}\nB: {class: chaos_agents:Good}")
    rig.tandem("up")
    (door,) = rig.run.glob("*/keeper.sock")
    listing = ask_listing(door)
    before = {unit.name: unit.pid for unit in listing.units if unit.exit is None}
    everybody = [listing.pid, *(pid for pid in before.values() if pid)]
    for pid in everybody:
        os.kill(pid, signal.SIGSTOP)
    woken_at = time.monotonic() + SILENCE_S + 3.0
    rig.until(lambda: time.monotonic() >= woken_at, "the night to be over")
    for pid in reversed(everybody):
        os.kill(pid, signal.SIGCONT)
    calm_at = time.monotonic() + 4.0
    rig.until(lambda: time.monotonic() >= calm_at, "the watchdog to have looked again")
    rig.until(lambda: {row["state"] for row in rig.status()["agents"]} == {"healthy"}, "everybody to be well")
    after = {unit.name: unit.pid for unit in ask_listing(door).units if unit.exit is None}
    assert {name: after.get(name) for name in ("A", "B")} == {name: before[name] for name in ("A", "B")}
