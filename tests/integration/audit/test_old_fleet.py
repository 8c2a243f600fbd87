"""The example fleet: every rule finds its fault there, and mending it leaves it better and never worse."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import pytest

from tandem.audit import Options, audit
from tandem.audit.fix.patch import write
from tandem.audit.fix.plan import plan
from tandem.audit.fix.syntax import failure
from tandem.audit.rules.catalogue import BY_ID
from tandem.audit.summary import summarise

pytestmark = pytest.mark.integration

FLEET = Path(__file__).parents[3] / "examples" / "old-fleet"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A copy of the example to write to."""
    return Path(shutil.copytree(FLEET, tmp_path / "old-fleet"))


def counts(root: Path) -> Counter[str]:
    return Counter(item.rule for item in audit(Options(root=root, cache=False)).findings)


@pytest.mark.parametrize("rule", sorted(BY_ID))
def test_example_has_a_fault_of_every_kind(rule: str) -> None:
    """The example is broken in all the ways the audit knows."""
    assert counts(FLEET)[rule] > 0


def test_summary_says_which_agents_start() -> None:
    """Agents are judged by their own file, their imports and their configuration, once each."""
    agents = {agent.name: agent for agent in summarise(audit(Options(root=FLEET, cache=False))).agents}
    assert len(agents) == 14
    assert agents["RequestCoordinator"].blocked[0] == "main_pc_code/agents/request_coordinator.py:8 syntax-error"
    assert agents["Responder"].blocked[0].endswith("config-missing-script")
    assert agents["MemoryOrchestratorService"].starts


def test_mends_only_improve(fleet: Path) -> None:
    """After the certain mends no rule finds more than before, those mended find less, and what compiled still does."""
    before = counts(fleet)
    compiled = {path for path in fleet.rglob("*.py") if failure(path.read_text()) is None}
    found = plan(fleet)
    write(fleet, found.changes)
    after = counts(fleet)
    for rule in ("syntax-error", "recv-without-timeout", "health-dialect", "log-without-rotation"):
        assert after[rule] < before[rule], rule
    hidden = {"undefined-name", "health-dialect", "log-without-rotation", "socket-outside-pool"}
    assert {rule for rule in after if after[rule] > before[rule]} <= hidden, "faults of files that did not compile before"
    assert all(failure(path.read_text()) is None for path in compiled)


def test_mends_are_idempotent(fleet: Path) -> None:
    """A second round finds nothing certain to change."""
    write(fleet, plan(fleet).changes)
    assert plan(fleet).changes == []


def test_errors_leave_zeromq_in_two_steps(fleet: Path) -> None:
    """Dual first, then bus only: in the end nobody publishes errors over ZeroMQ."""
    rule = ["zmq-error-publisher"]
    write(fleet, plan(fleet, rule).changes)
    assert "report_error(error_type=error_type" in (fleet / "main_pc_code/agents/nlu_agent.py").read_text()
    write(fleet, plan(fleet, rule, bus_only=True).changes)
    assert counts(fleet)["zmq-error-publisher"] == 0
