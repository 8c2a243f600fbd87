"""Questions to machines whose node or keeper is just being replaced."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from tandem.cli import local
from tandem.core.errors import PermissionDenied, TandemError, Unreachable
from tandem.core.paths import Home
from tandem.supervise.api import MachineStatus
from tandem.supervise.node_client import Interrupted, NotRunning

Answer = tuple[list[MachineStatus], dict[str, TandemError]]


def status(machine: str) -> MachineStatus:
    return MachineStatus(machine=machine, host=None, pid=1, keeper_pid=2, fleet="f", fleet_file="", services=[], agents=[])


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> list[Answer | list[str]]:
    """Answers to give, in order; who was asked takes their place."""
    script: list[Answer | list[str]] = []
    turn = iter(range(10))

    def ask_all(_home: Home, machines: Iterable[str]) -> Answer:
        number = next(turn)
        answer, script[number] = script[number], list(machines)
        assert isinstance(answer, tuple)
        return answer

    monkeypatch.setattr(local, "_ask_all", ask_all)
    monkeypatch.setattr(local, "known_machines", lambda _home: ["m1", "m2", "m3"])
    monkeypatch.setattr(local.time, "sleep", lambda _seconds: None)
    return script


def test_who_was_being_replaced_is_asked_once_more(ask: list[Answer | list[str]]) -> None:
    """Only those whose line broke, and what they say then counts; others keep their answer."""
    gone, denied = Interrupted("went away"), PermissionDenied("no")
    ask += [([status("m2")], {"m1": gone, "m3": denied}), ([status("m1")], {})]
    found, failures = local.statuses(Home(Path("/nowhere")))
    assert [one.machine for one in found] == ["m1", "m2"] and failures == {"m3": denied}
    assert ask == [["m1", "m2", "m3"], ["m1"]]


def test_a_machine_that_stays_away_is_a_failure_and_not_an_empty_picture(ask: list[Answer | list[str]]) -> None:
    """After the second time the reason is told; it does not count as a machine that does not run."""
    gone = Interrupted("went away")
    ask += [([], {"m1": Interrupted("stale")}), ([], {"m1": gone})]
    found, failures = local.statuses(Home(Path("/nowhere")))
    assert found == [] and failures == {"m1": gone} and not isinstance(gone, NotRunning)
    with pytest.raises(Unreachable, match="went away"):
        local.require_running(found, failures)


def test_nobody_else_is_asked_twice(ask: list[Answer | list[str]]) -> None:
    """Silence, missing permission and machines that do not run are not worth another question."""
    ask += [([status("m1")], {"m2": NotRunning("off"), "m3": Unreachable("did not answer within 10 s")})]
    found, failures = local.statuses(Home(Path("/nowhere")))
    assert [one.machine for one in found] == ["m1"] and failures.keys() == {"m2", "m3"}
