"""What the assistant has acknowledged survives: an orderly restart, a power cut, and the absence of the other machine."""

from __future__ import annotations

import re
import time

import pytest
from household import REAL_FLEET, Household, MakeHousehold, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.models, pytest.mark.timeout(600)]

SHORTLY_S = 8
"""Time enough for a kill."""
PC2_AGENTS = ("TaskScheduler", "AsyncProcessor", "CacheManager", "MemoryOrchestratorService")


@pytest.fixture(scope="module")
def household(make_shared_household: MakeHousehold, default_models: None) -> Household:
    household = make_shared_household(REAL_FLEET)
    household.up()
    return household


def test_orderly_restart(household: Household) -> None:
    """Facts and timers are there again after ``down`` and ``up``."""
    household.ask("remember that the boiler code is 4711")
    household.ask("set a timer for 3 hours")
    household.down()
    household.up()
    assert "4711" in household.ask("what is the boiler code?")
    assert re.search(r"2 hours|3 hours", household.ask("which timers are running?"))


def test_power_cut(household: Household) -> None:
    """Facts and timers acknowledged a moment before everything is killed are there after the next ``up``."""
    household.ask("remember that the garage code is 8266")
    household.ask("set a timer for 5 hours")
    household.kill_everything()
    household.up()
    assert "8266" in household.ask("what is the garage code?")
    assert re.search(r"4 hours|5 hours", household.ask("which timers are running?"))


def test_timer_that_was_due_while_nothing_ran(household: Household) -> None:
    """A timer whose time comes while everything is dead rings once, when the fleet is back."""
    household.ask(f"set a tea timer for {SHORTLY_S} seconds")
    due = time.monotonic() + SHORTLY_S
    household.kill_everything()
    eventually(lambda: time.monotonic() > due, "its time")
    household.up()
    eventually(lambda: rings(household, "tea"), "the ring")
    household.down()
    household.up()
    assert len(rings(household, "tea")) == 1


def test_ring_without_pc2(household: Household) -> None:
    """With all agents of PC2 stopped a timer can be set and rings on MainPC, once, also after PC2 is back."""
    assert household.tandem("stop", *PC2_AGENTS).status == 0
    household.ask("set an egg timer for 2 seconds")
    eventually(lambda: rings(household, "egg"), "the ring")
    assert household.tandem("start", *PC2_AGENTS).status == 0
    eventually(lambda: household.agent("RequestCoordinator")["issues"] == [], "the agreement of both books")
    household.ask("set a second egg timer for 1 second")
    eventually(lambda: len(rings(household, "egg")) >= 2, "the second ring")
    assert len(rings(household, "egg")) == 2


def test_fact_without_pc2(household: Household) -> None:
    """A fact told while PC2 is away is kept on MainPC, known at once, and filed on PC2 later."""
    assert household.tandem("stop", *PC2_AGENTS).status == 0
    said = household.ask("remember that the attic code is 2517")
    assert "mainpc" in said.lower(), said
    household.kill_everything()
    household.up()
    eventually(lambda: household.agent("MemoryClient")["issues"] == [], "the delivery of what was held")
    assert "2517" in household.ask("what is the attic code?")


def rings(household: Household, name: str) -> list[str]:
    """Log lines of the moments in which a timer of that name rang."""
    return household.logs("RequestCoordinator", "--grep", rf"rang, heard by .*{name}")
