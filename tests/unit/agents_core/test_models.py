"""The owner of models and the small one in front of it."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace

import pytest

from tandem.agent.testing import Fleet, Member, fleet_of, virtual_time
from tandem.core import clock
from tandem.core.errors import Overloaded, Unavailable
from tandem_agents.core_services.model_contracts import ModelMetric, Models
from tandem_agents.core_services.model_shelf import ModelShelf
from tandem_agents.engines.kinds import Message
from tandem_agents.engines.models import builtin_catalogue
from tandem_agents.utility_services.contracts import QuickModel
from tandem_agents.utility_services.tiny_llama_service_enhanced import TinyLlamaServiceEnhanced

NAME = "ModelManagerSuite"
HELLO = [Message("user", "hello")]


def suite_of(home: SimpleNamespace, **settings: object) -> Fleet:
    return fleet_of(Member(home.Suite, name=NAME, **settings), TinyLlamaServiceEnhanced)


@virtual_time
async def test_a_missing_model_is_unhealthy_and_named(home: SimpleNamespace) -> None:
    """Without a model the suite starts, is unhealthy, and says what to run; requests fail with the same words."""
    async with suite_of(home) as fleet:
        [issue] = await fleet.agent(home.Suite, NAME).check()
        assert (issue.blocking, issue.fix) == (True, f"tandem models fetch {home.DEFAULT}")
        for call in (
            fleet.peer(Models).generate_text(HELLO),
            fleet.peer(Models).select_model("chat"),
            fleet.peer(Models).load_model(),
        ):
            with pytest.raises(Unavailable) as missing:
                await call
            assert missing.value.hint == issue.fix


@virtual_time
async def test_a_model_fetched_later_is_taken_into_use(home: SimpleNamespace) -> None:
    """Ten seconds after the model is there the suite is healthy, without a restart."""
    async with suite_of(home) as fleet:
        await home.teach(fleet)
        assert not list(await fleet.agent(home.Suite, NAME).check())
        completion = await fleet.peer(Models).generate_text(HELLO)
        assert completion.text == "First sentence here. Second sentence here."
        stats = await fleet.peer(Models).get_stats()
        assert (stats.requests, stats.failures, stats.prompt_tokens, stats.completion_tokens) == (1, 0, 10, 5)


@virtual_time
async def test_closing_a_stream_stops_the_model(home: SimpleNamespace) -> None:
    """Whoever leaves a stream early stops the generation and frees the model."""
    async with suite_of(home) as fleet:
        parrot = await home.teach(fleet, ". ".join(["long"] * 50) + ".")
        stream = fleet.peer(Models).generate(HELLO)
        assert (await anext(aiter(stream))).text.startswith("long")
        await stream.aclose()
        await asyncio.sleep(100)
        assert parrot.finished == 0
        assert (await fleet.peer(Models).get_stats()).generating == 0


@virtual_time
async def test_only_idle_models_are_put_away(home: SimpleNamespace) -> None:
    """Five minutes unused unload a model, but never the default one, which answers people; sizes are the catalogue's."""
    async with suite_of(home) as fleet:
        await home.teach(fleet)
        other = home.Parrot("other")
        fleet.agent(home.Suite, NAME).present["other"] = other
        await fleet.peer(Models).generate_text(HELLO, model="other")
        loaded = {model.id: model.bytes for model in await fleet.peer(Models).get_loaded_models_status()}
        assert loaded == {home.DEFAULT: builtin_catalogue().default("llm").bytes, "other": 0}
        await asyncio.sleep(320)
        assert {model.id for model in await fleet.peer(Models).get_loaded_models_status()} == {home.DEFAULT}
        assert other.closed == 1


@virtual_time
async def test_the_default_may_be_put_away_too(home: SimpleNamespace) -> None:
    """Where memory is short the default is unloaded when idle and loaded again when needed."""
    async with suite_of(home, keep_default="idle", idle_unload_s=60) as fleet:
        parrot = await home.teach(fleet)
        await asyncio.sleep(80)
        assert (parrot.closed, await fleet.peer(Models).get_loaded_models_status()) == (1, [])
        assert (await fleet.peer(Models).generate_text(HELLO)).text


@virtual_time
async def test_models_are_loaded_when_needed_if_told_so(home: SimpleNamespace) -> None:
    """With load when_needed nothing is resident, and nothing is called missing, before the first request."""
    async with suite_of(home, load="when_needed") as fleet:
        assert not list(await fleet.agent(home.Suite, NAME).check())
        await home.teach(fleet)
        assert await fleet.peer(Models).get_loaded_models_status() == []
        await fleet.peer(Models).generate_text(HELLO)
        assert fleet.agent(home.Suite, NAME).capabilities == [home.DEFAULT]


@virtual_time
async def test_a_model_in_use_is_not_pulled_away(home: SimpleNamespace) -> None:
    """Unloading waits for the answer under way."""
    async with suite_of(home) as fleet:
        await home.teach(fleet)
        answering = asyncio.ensure_future(fleet.peer(Models).generate_text(HELLO))
        await asyncio.sleep(0.5)
        assert await fleet.peer(Models).unload_model() == 1
        assert (await answering).text == "First sentence here. Second sentence here."
        assert await fleet.peer(Models).unload_model() == 0


@virtual_time
async def test_a_model_that_stays_busy_is_not_unloaded(home: SimpleNamespace) -> None:
    """After half a minute of waiting the unload gives up and says why."""
    parrot = home.Parrot(answer=". ".join(["long"] * 100) + ".")

    async def open_model(model_id: str) -> object:
        return parrot

    shelf = ModelShelf(open_model, logging.getLogger("test"))  # type: ignore[arg-type]
    async with shelf.use("x"):
        with pytest.raises(Overloaded):
            await shelf.unload("x")
    assert await shelf.unload("x") == 1


@virtual_time
async def test_one_load_serves_all_who_wait_for_it(home: SimpleNamespace) -> None:
    """Ten requests at once load the model once."""
    loads = []

    async def open_model(model_id: str) -> object:
        loads.append(model_id)
        await asyncio.sleep(5)
        return home.Parrot()

    shelf = ModelShelf(open_model, logging.getLogger("test"))  # type: ignore[arg-type]
    await asyncio.gather(*(shelf.load("x") for _ in range(10)))
    assert loads == ["x"]
    assert [(model.id, model.requests) for model in shelf.loaded()] == [("x", 0)]
    await shelf.close()
    assert shelf.loaded() == []


@virtual_time
async def test_measurements_are_kept(home: SimpleNamespace) -> None:
    """A measurement is read back by model and name, newest first, also after a restart; after thirty days it goes."""
    async with suite_of(home) as fleet:
        models = fleet.peer(Models)
        now = clock.wall()
        for value in (1.0, 2.0):
            await models.log_performance_metric(
                ModelMetric(model="x", name="first_token_s", value=value, at=now + value)
            )
        await models.log_performance_metric(
            ModelMetric(model="x", name="old_s", value=9.0, at=now - 40 * 86_400)
        )
        await models.log_performance_metric(ModelMetric(model="y", name="score", value=0.5, at=0.0))
        await fleet.kill(NAME)
        await fleet.start(NAME)
        assert [m.value for m in await fleet.peer(Models).get_performance_metrics("x")] == [2.0, 1.0]
        found = await fleet.peer(Models).get_performance_metrics("", "score")
        assert [(m.model, m.value) for m in found] == [("y", 0.5)]


@virtual_time
async def test_the_catalogue_is_listed(home: SimpleNamespace) -> None:
    """Every model of the catalogue is listed with what can be done with it; missing ones name their mend."""
    async with suite_of(home) as fleet:
        listed = {model.id: model for model in await fleet.peer(Models).list_models()}
        assert listed[home.DEFAULT].kind == "llm"
        assert all(model.hint for model in listed.values() if model.state == "missing")


@virtual_time
async def test_the_small_service_uses_a_model_that_is_there(home: SimpleNamespace) -> None:
    """It answers through the suite, tells the suite's model, and fails with the suite's words when there is none."""
    async with fleet_of(
        Member(home.Suite, name=NAME), Member(TinyLlamaServiceEnhanced, model=home.DEFAULT)
    ) as fleet:
        quick = fleet.peer(QuickModel)
        with pytest.raises(Unavailable):
            await quick.generate("hello")
        await home.teach(fleet, "Hi.")
        assert await quick.ensure_loaded() == home.DEFAULT
        assert await quick.generate("hello") == "Hi."
        stats = await quick.resource_stats()
        assert (stats.model, stats.requests) == (home.DEFAULT, 1)
        assert stats.idle_s is not None
        assert await quick.request_unload() == 1
        assert (await quick.resource_stats()).idle_s is None
