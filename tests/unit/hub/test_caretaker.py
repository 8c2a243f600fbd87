"""What looking after an agent does to it, with a node that only takes notes."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tandem.core.ids import AgentId
from tandem.core.paths import MachineDirs
from tandem.fleet import Surroundings, load_text
from tandem.hub import caretaker
from tandem.hub.caretaker import Care, Caretaker
from tandem.hub.picture import AgentPicture
from tandem.supervise import api

FLEET = """
fleet: f
package: p
groups:
  g:
    agents:
      Hub:
      Sick:
"""
SICK = AgentPicture(name="Sick", machine="local", group="g", state="unhealthy", verdict="trouble")


async def test_a_state_that_cannot_be_set_aside_leaves_nobody_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The agent was stopped for it and is started again, and why the state stayed is logged."""
    orders: list[tuple[str, list[str]]] = []

    async def mend(dirs: MachineDirs, machine: str, verb: api.Verb, agents: list[str]) -> api.Done:
        orders.append((verb, agents))
        return api.Done(views=[api.AgentView(name="Sick", machine="local", group="g", state="stopped")])

    async def order(dirs: MachineDirs, machine: str, verb: api.Verb, agents: list[str]) -> list[api.AgentView]:
        orders.append((verb, agents))
        return []

    async def foresee_nothing() -> list[caretaker.Forecast]:
        return []

    def full(path: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caretaker, "mend", mend)
    monkeypatch.setattr(caretaker, "order", order)
    dirs = MachineDirs(tmp_path, tmp_path / "run")
    dirs.agent_state("Sick").mkdir(parents=True)
    care = Caretaker(
        AgentId("Hub@local"), load_text(FLEET, "fleet.yaml", Surroundings(environ={})).require(), dirs,
        Care(disposable=("Sick",)), tmp_path / "attempts.db", foresee_nothing, lambda *_: None, logging.getLogger("care"),
    )  # fmt: skip
    await care.open()
    care._agents = [SICK]
    with monkeypatch.context() as broken:
        broken.setattr(Path, "rename", full)
        await care.recover("Sick", "state")
    await care.close()
    assert orders == [("stop", ["Sick@local"]), ("start", ["Sick@local"])]
    assert "No space left" in caplog.text
