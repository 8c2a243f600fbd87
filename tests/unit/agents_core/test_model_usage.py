"""Which models will be wanted, and what is done about it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from tandem.agent import Agent, action
from tandem.agent.testing import Fleet, Member, fleet_of, virtual_time
from tandem.core import clock
from tandem.core.errors import InvalidArguments
from tandem_agents.core_services.contracts import LoadVerdict
from tandem_agents.core_services.model_contracts import ModelEvaluation, Models
from tandem_agents.core_services.model_usage import HOUR_S, Use, forecast
from tandem_agents.engines.kinds import Message

NOW = 1_772_636_400.0
THIS_HOUR = int(NOW // HOUR_S)
SMALL = "smollm2-135m"


def test_what_was_used_lately_is_likely() -> None:
    """A use this hour counts half for the next, one six hours ago half of that; more uses count more."""
    now, ago, often = Use("now", THIS_HOUR, 1), Use("ago", THIS_HOUR - 6, 1), Use("often", THIS_HOUR, 5)
    found = {one.model: one.likelihood for one in forecast([now, ago, often], NOW, 9)}
    assert found["often"] > found["now"] == pytest.approx(0.5)
    assert found["ago"] == pytest.approx(1 - 0.5**0.5, abs=0.001)


def test_what_is_usual_at_this_time_is_likely() -> None:
    """Daily use around this hour makes a model likely though it was not used for a day; another hour's use does not."""
    usual = [Use("usual", THIS_HOUR - 24 * day + 1, 1) for day in range(1, 8)]
    elsewhen = [Use("elsewhen", THIS_HOUR - 24 * day - 12, 1) for day in range(1, 8)]
    found = forecast([*usual, *elsewhen], NOW, 9)
    assert found[0].model == "usual"
    assert found[0].likelihood > 0.95
    assert "7 of 7 days" in found[0].why
    assert found[1].likelihood < 0.5


class SmallTwin(Agent):
    """A machine with room for nothing, or for everything."""

    fits: str = "yes"

    @action(idempotent=True)
    async def simulate_load(self, kind: str, amount: float, machine: str = "mainpc") -> LoadVerdict:
        return LoadVerdict(fits=self.fits, left=0.0, why="no memory is free")  # type: ignore[arg-type]


def suite_of(home: SimpleNamespace, state: Path | None = None) -> Fleet:
    return fleet_of(
        Member(SmallTwin, name="SystemDigitalTwin"), Member(home.Suite, name="ModelManagerSuite"), state=state
    )


@virtual_time
async def test_uses_are_counted_and_outlive_a_restart(home: SimpleNamespace, tmp_path: Path) -> None:
    """Requests and noted uses are on the disk; the forecast of a new process knows them."""
    async with suite_of(home, tmp_path) as fleet:
        await home.teach(fleet)
        await fleet.peer(Models).generate_text([Message("user", "hello")])
        await fleet.peer(Models).record_usage(SMALL, 7)
        with pytest.raises(InvalidArguments):
            await fleet.peer(Models).record_usage(SMALL, 0)
    async with suite_of(home, tmp_path) as fleet:
        assert [one.model for one in await fleet.peer(Models).predict_models()] == [SMALL, home.DEFAULT]
        assert len(await fleet.peer(Models).predict_models(limit=1)) == 1


@virtual_time
async def test_likely_models_are_loaded_before_they_are_wanted(home: SimpleNamespace) -> None:
    """What is likely, here and fits is loaded; what is missing or too large is left, and it is said why."""
    async with suite_of(home) as fleet:
        await home.teach(fleet)
        models = fleet.peer(Models)
        await models.record_usage(SMALL, 7)
        [left] = await models.preload_models()
        assert (left.model, left.outcome) == (SMALL, "left")
        assert "tandem models fetch" in left.why
        fleet.agent(home.Suite, "ModelManagerSuite").present[SMALL] = home.Parrot(SMALL)
        fleet.agent(SmallTwin, "SystemDigitalTwin").fits = "no"
        assert [one.why for one in await models.preload_models()] == ["no memory is free"]
        fleet.agent(SmallTwin, "SystemDigitalTwin").fits = "yes"
        assert [one.outcome for one in await models.preload_models()] == ["loaded"]
        assert [one.outcome for one in await models.preload_models([SMALL])] == ["already"]
        assert SMALL in {one.id for one in await models.get_loaded_models_status()}
        await asyncio.sleep(400)
        await fleet.stop("SystemDigitalTwin")
        assert [one.outcome for one in await models.preload_models([SMALL])] == ["loaded"]


@virtual_time
async def test_a_clearly_better_model_is_selected(
    home: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three scores that are clearly higher put another present model in the default's place, at that task only."""
    async with suite_of(home) as fleet:
        await home.teach(fleet)
        suite = fleet.agent(home.Suite, "ModelManagerSuite")
        listed = await suite.list_models()

        async def all_here() -> list[object]:
            return [SimpleNamespace(id=one.id, kind=one.kind, state="available") for one in listed]

        models = fleet.peer(Models)
        for model, score in ((home.DEFAULT, 0.5), (SMALL, 0.9)):
            for _ in range(3):
                assert (await models.select_model("code")).id == home.DEFAULT
                evaluation = ModelEvaluation(model=model, task="code", score=score, at=clock.wall())
                await models.log_model_evaluation(evaluation)
        monkeypatch.setattr(suite, "list_models", all_here)
        assert (await models.select_model("code")).id == SMALL
        assert (await models.select_model("chat")).id == home.DEFAULT
        stored = await models.get_performance_metrics(name="score.code")
        assert len(stored) == 6
