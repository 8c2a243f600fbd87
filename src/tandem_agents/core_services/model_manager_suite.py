"""The single owner of language models."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from typing import Literal

from msgspec import Struct, structs

from tandem.agent import Agent, Issue, action, every
from tandem.api import AnySpan
from tandem.core import clock
from tandem.core.errors import InvalidArguments, TandemError, Unavailable
from tandem_agents.core_services.contracts import Twin
from tandem_agents.core_services.model_contracts import (
    LoadedModel,
    ModelEvaluation,
    ModelForecast,
    ModelInfo,
    ModelMetric,
    Preload,
    SuiteStats,
)
from tandem_agents.core_services.model_metrics import ModelMetrics
from tandem_agents.core_services.model_shelf import ModelShelf
from tandem_agents.core_services.model_usage import ModelUsage, forecast
from tandem_agents.engines.kinds import (
    ChatChunk,
    ChatOptions,
    Completion,
    Finish,
    LanguageModel,
    Message,
    Usage,
    certainty,
)
from tandem_agents.engines.models import Model, Store, builtin_catalogue
from tandem_agents.engines.select import LanguageModelSettings, open_language_model
from tandem_agents.engines.tracing import INPUT_TOKENS, OUTPUT_TOKENS, model_span
from tandem_agents.storage import Worker

RECHECK_S = 10
SERVED = "served"
"""The id of a model that a server outside of the fleet runs."""
LIKELY = 0.5
"""Likelihood from which a model is worth preloading."""
SCORE = "score."
SCORED_S = 30 * 86_400.0
ENOUGH_SCORES, CLEARLY = 3, 0.05
"""A model takes the default's place at a task when both have three scores or more and its mean is this much higher."""
ROOM = 1.3
"""Memory a model takes per byte of its file: weights, context and buffers."""
MIB = 1 << 20


class ModelManagerSuite(Agent):
    """Loads language models, answers with them, and puts away what is idle.

    Without a model it is unhealthy and names the command that brings one; it looks again every ten seconds.
    """

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        llm: LanguageModelSettings = LanguageModelSettings()
        load: Literal["at_start", "when_needed"] = "at_start"
        idle_unload_s: float = 300.0
        keep_default: Literal["resident", "idle"] = "resident"

    settings: Settings

    async def start(self) -> None:
        self._default = _default_id(self.settings.llm)
        self._shelf = ModelShelf(self.open_model, self.log)
        self._worker = Worker("metrics")
        self._metrics = await self._worker(ModelMetrics, self.state_dir / "metrics.db", self.epoch)
        self._usage = await self._worker(ModelUsage.open, self.state_dir / "usage.db", self.epoch)
        self._unsaved: Counter[str] = Counter()
        self._missing: Unavailable | None = None
        self._requests = self._failures = self._prompt_tokens = self._completion_tokens = 0
        if self.settings.load == "at_start":
            await self._try_default()

    async def stop(self) -> None:
        await self._shelf.close()
        await self._save_usage()
        await self._worker(self._usage.close)
        await self._worker(self._metrics.close)
        self._worker.close()

    async def check(self) -> Iterable[Issue]:
        if self._missing is None:
            return ()
        return [
            Issue(f"no language model: {self._missing.message}", fix=self._missing.hint or "", blocking=True)
        ]

    @property
    def capabilities(self) -> list[str]:
        return [model.id for model in self._shelf.loaded()]

    async def open_model(self, model_id: str) -> LanguageModel:
        """Load a model by id."""
        own = model_id == self._default
        return await open_language_model(
            self.settings.llm if own else structs.replace(self.settings.llm, model=model_id, base_url="")
        )

    @action
    async def generate_text(
        self, messages: list[Message], options: ChatOptions | None = None, model: str = ""
    ) -> Completion:
        """Run a conversation through a model."""
        pieces: list[str] = []
        finish: Finish = "stop"
        usage: Usage | None = None
        measured: list[float] = []
        async with aclosing(self.generate(messages, options, model)) as chunks:
            async for chunk in chunks:
                pieces.append(chunk.text)
                finish = chunk.finish or finish
                usage = chunk.usage or usage
                measured.extend(chunk.log_probabilities)
        return Completion("".join(pieces), finish, usage, certainty(measured))

    @action
    async def generate(
        self, messages: list[Message], options: ChatOptions | None = None, model: str = ""
    ) -> AsyncGenerator[ChatChunk, None]:
        """The answer as it is generated."""
        self._requests += 1
        model_id = model or self._default
        self._unsaved[model_id] += 1
        try:
            async with self._shelf.use(model_id) as engine:
                self._found(model_id)
                work = model_span("chat", engine.name)
                async with aclosing(engine.chat(messages, options or ChatOptions())) as chunks:
                    with work:
                        async for chunk in chunks:
                            self._count(chunk.usage, work)
                            yield chunk
        except TandemError as error:
            self._failures += 1
            self._note(model_id, error)
            raise

    @action(idempotent=True)
    async def list_models(self) -> list[ModelInfo]:
        """The models of the catalogue, and what can be done with each now."""
        store = Store.from_environment()
        return [self._info(model, store) for model in builtin_catalogue()]

    @action(idempotent=True)
    async def get_loaded_models_status(self) -> list[LoadedModel]:
        """What is resident."""
        return self._loaded()

    @action(idempotent=True)
    async def select_model(self, task: str) -> ModelInfo:
        """The default, unless another one here has clearly better scores for the task."""
        if self._missing is not None:
            raise Unavailable(self._missing.message, hint=self._missing.hint)
        chosen = await self._best_at(task)
        state: Literal["loaded", "available"] = "loaded" if self._shelf.is_loaded(chosen) else "available"
        return ModelInfo(id=chosen, kind="llm", state=state)

    @action(idempotent=True)
    async def load_model(self, model: str = "") -> LoadedModel:
        """Load a model so that the next request need not wait."""
        model_id = model or self._default
        try:
            await self._shelf.load(model_id)
        except TandemError as error:
            self._note(model_id, error)
            raise
        self._found(model_id)
        return next(loaded for loaded in self._loaded() if loaded.id == model_id)

    @action(idempotent=True)
    async def unload_model(self, model: str = "") -> int:
        """Free a model's memory."""
        return await self._shelf.unload(model or self._default)

    @action(idempotent=True)
    async def get_stats(self) -> SuiteStats:
        """Counters since the start."""
        return SuiteStats(
            requests=self._requests,
            failures=self._failures,
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            generating=self._shelf.in_use(),
        )

    @action
    async def log_performance_metric(self, metric: ModelMetric) -> None:
        """Store a measurement."""
        await self._worker(self._metrics.add, [metric], clock.wall())

    @action
    async def log_model_evaluation(self, evaluation: ModelEvaluation) -> None:
        """Keep a score."""
        score = ModelMetric(
            model=evaluation.model, name=f"{SCORE}{evaluation.task}", value=evaluation.score, at=evaluation.at,
            note=evaluation.note,
        )  # fmt: skip
        await self._worker(self._metrics.add, [score], clock.wall())

    @action
    async def record_usage(self, model: str = "", count: int = 1) -> None:
        """Note uses of a model elsewhere; on disk when this returns."""
        if count < 1:
            raise InvalidArguments(f"a model is used once or more, not {count} times")
        self._unsaved[model or self._default] += count
        await self._save_usage()

    @action(idempotent=True)
    async def predict_models(self, limit: int = 3) -> list[ModelForecast]:
        """Which models will likely be wanted within the hour."""
        await self._save_usage()
        return forecast(await self._worker(self._usage.uses), clock.wall(), limit)

    @action(idempotent=True)
    async def preload_models(self, models: list[str] | None = None) -> list[Preload]:
        """Load these, or those likely wanted, as far as they are here and fit into memory."""
        wanted = models or [
            likely.model for likely in await self.predict_models() if likely.likelihood >= LIKELY
        ]
        return [await self._preload(model_id) for model_id in dict.fromkeys(wanted)]

    @action(idempotent=True)
    async def get_performance_metrics(
        self, model: str = "", name: str = "", limit: int = 100
    ) -> list[ModelMetric]:
        """Read measurements, the newest first."""
        return await self._worker(self._metrics.newest, model, name, limit)

    @every(seconds=RECHECK_S)
    async def look_again(self) -> None:
        """A model fetched meanwhile is taken into use without a restart; idle ones are put away."""
        await self._save_usage()
        if self._missing is not None:
            await self._try_default()
        keep = self._default if self.settings.keep_default == "resident" else ""
        if self.settings.idle_unload_s > 0:
            await self._shelf.unload_idle(self.settings.idle_unload_s, keep)

    async def _save_usage(self) -> None:
        """Put the uses counted since the last time on the disk."""
        counts, self._unsaved = dict(self._unsaved), Counter()
        if counts:
            await self._worker(self._usage.add, counts, clock.wall())

    async def _preload(self, model_id: str) -> Preload:
        if self._shelf.is_loaded(model_id):
            return Preload(model=model_id, outcome="already")
        known = {model.id: model.bytes for model in builtin_catalogue() if model.kind == "llm"}
        try:
            if model_id in known and (why := await self._lacks_memory(known[model_id])):
                return Preload(model=model_id, outcome="left", why=why)
            await self._shelf.load(model_id)
        except TandemError as error:
            return Preload(model=model_id, outcome="left", why=str(error))
        return Preload(model=model_id, outcome="loaded")

    async def _lacks_memory(self, model_bytes: int) -> str:
        """Why a model of that size does not fit into this machine's memory; empty when it does, or nobody knows."""
        try:
            verdict = await self.peer(Twin).simulate_load("ram", model_bytes * ROOM / MIB, self.machine)
        except TandemError as error:
            self.log.warning("preloading without knowing how much memory is free: %s", error)
            return ""
        return verdict.why if verdict.fits == "no" else ""

    async def _best_at(self, task: str) -> str:
        """The model here with the best mean score at ``task``, if it is clearly better than the default's."""
        scores = await self._worker(self._metrics.mean, f"{SCORE}{task}", clock.wall() - SCORED_S)
        own, number = scores.get(self._default, (0.0, 0))
        if number < ENOUGH_SCORES:
            return self._default
        here = {
            model.id for model in await self.list_models() if model.kind == "llm" and model.state != "missing"
        }
        better = {
            model: mean
            for model, (mean, count) in scores.items()
            if model in here and count >= ENOUGH_SCORES and mean >= own + CLEARLY
        }
        return max(better, key=lambda model: better[model], default=self._default)

    async def _try_default(self) -> None:
        try:
            await self._shelf.load(self._default)
        except TandemError as error:
            self._note(self._default, error)
        else:
            self._missing = None

    def _loaded(self) -> list[LoadedModel]:
        sizes = {model.id: model.bytes for model in builtin_catalogue()}
        return [structs.replace(model, bytes=sizes.get(model.id, 0)) for model in self._shelf.loaded()]

    def _found(self, model_id: str) -> None:
        if model_id == self._default:
            self._missing = None

    def _note(self, model_id: str, error: TandemError) -> None:
        """Only a default that cannot be loaded makes the suite unhealthy; a failed request does not."""
        if model_id != self._default or self._shelf.is_loaded(self._default):
            return
        if self._missing is None or self._missing.message != error.message:
            self.log.warning("no language model: %s", error)
        self._missing = (
            error if isinstance(error, Unavailable) else Unavailable(error.message, hint=error.hint)
        )

    def _count(self, usage: Usage | None, work: AnySpan) -> None:
        if usage is not None:
            self._prompt_tokens += usage.prompt_tokens
            self._completion_tokens += usage.completion_tokens
            work.set(INPUT_TOKENS, usage.prompt_tokens)
            work.set(OUTPUT_TOKENS, usage.completion_tokens)

    def _info(self, model: Model, store: Store) -> ModelInfo:
        here = store.has(model)
        loaded = self._shelf.is_loaded(model.id)
        return ModelInfo(
            id=model.id,
            kind=model.kind,
            state="loaded" if loaded else "available" if here else "missing",
            bytes=model.bytes,
            hint="" if here else model.mend,
        )


def _default_id(settings: LanguageModelSettings) -> str:
    """How the model the settings choose is called here."""
    if settings.base_url or os.environ.get("OPENAI_BASE_URL"):
        return SERVED
    return settings.model or builtin_catalogue().default("llm").id
