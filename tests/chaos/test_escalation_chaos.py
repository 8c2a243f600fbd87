"""An agent that cannot be kept alive: first its group, then the operator, and no storm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fleet_rig import PATIENCE_S, FleetRig, MakeFleet

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

FLEET = """
Db: {class: chaos_agents:Good}
Sick: {class: chaos_agents:Sickly, needs: [Db], restart: {escalate_after: 3, max_delay_s: 8}}
Front: {class: chaos_agents:Good, needs: [Sick]}
"""
NEIGHBOURS = """  h:
    machine: m1
    agents:
      Guest: {class: chaos_agents:Good, needs: [Db]}
      ObservabilityHub: {class: chaos_agents:ObservabilityHub, observer: true}
"""


def rows(rig: FleetRig) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in rig.status()["agents"]}


def test_one_that_keeps_dying_takes_its_group_along_once_and_then_needs_the_operator(fleet: MakeFleet) -> None:
    """Its group is restarted as a whole, once, as nobody's death; then an incident is critical, ``status`` names the mend."""
    rig = fleet(FLEET, extra=NEIGHBOURS)
    rig.tandem("up")
    before = rows(rig)
    illness = Path(rig.env["TANDEM_HOME"]) / "machines/m1/state/Sick/ill"
    illness.touch()

    def needs_operator() -> dict[str, Any] | None:
        row = rig.agent("Sick")
        return row if any("needs you" in issue for issue in row["issues"]) else None

    sick = rig.until(needs_operator, "the operator to be asked")
    assert any("restarting its group g did not help" in issue for issue in sick["issues"])
    assert any(issue.endswith("tandem restart Sick") for issue in sick["issues"])
    after = rows(rig)
    assert after["Db"]["pid"] != before["Db"]["pid"] and after["Db"]["restarts"] == 0
    assert {after[name]["pid"] for name in ("Guest", "ObservabilityHub")} == {
        before[name]["pid"] for name in ("Guest", "ObservabilityHub")
    }
    said = rig.tandem("status", code=None)
    assert "tandem restart Sick" in said

    def incident() -> dict[str, Any] | None:
        found = json.loads(rig.tandem("errors", "list", "--json"))
        return next((i for i in found if i["key"] == "agent:Sick@m1" and i["severity"] == "critical"), None)

    rig.until(incident, "a critical incident")

    # It is tried on, at the slowest pace; its group is not touched again for it.
    births = rig.agent("Sick")["restarts"]
    rig.until(lambda: rig.agent("Sick")["restarts"] >= births + 2, "two more tries")
    assert rows(rig)["Db"]["pid"] == after["Db"]["pid"]
    log = rig.tandem("logs", "node", "--lines", "0")
    assert log.count("has ended and starts again") == 1 and log.count("escalated to the operator") == 1

    illness.unlink()
    rig.tandem("restart", "Sick")
    mended = rows(rig)
    assert (mended["Sick"]["state"], mended["Sick"]["issues"]) == ("healthy", [])
    rig.until_state("Front", "healthy")
    assert mended["Db"]["pid"] == after["Db"]["pid"]


def test_a_stop_wins_over_a_group_that_is_being_restarted(fleet: MakeFleet) -> None:
    """Who is stopped while its group is restarted for another one stays stopped; nobody hangs."""
    rig = fleet(FLEET)
    rig.tandem("up")
    (Path(rig.env["TANDEM_HOME"]) / "machines/m1/state/Sick/ill").touch()
    rig.until(lambda: "escalated to its group" in rig.tandem("logs", "node", "--lines", "0"), "the alarm")
    orders = [rig.start(verb, "Db") for verb in ("restart", "stop", "restart", "stop")]
    for order in orders:
        order.communicate(timeout=PATIENCE_S)
    rig.tandem("stop", "Db")
    assert rig.agent("Db")["state"] == "stopped"
    rig.tandem("stop", "Sick")
    rig.tandem("down")
    assert rig.remains() == []
