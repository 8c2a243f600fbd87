"""What the owner of the language models offers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Literal, Protocol

from msgspec import Meta, Struct

from tandem.agent import action, contract
from tandem_agents.engines.kinds import ChatChunk, ChatOptions, Completion, Message


class ModelInfo(Struct, frozen=True, kw_only=True):
    """A model the fleet may use. ``state`` is what can be done with it now; ``hint`` mends ``missing``."""

    id: str
    kind: str
    state: Literal["loaded", "available", "missing"]
    bytes: int = 0
    hint: str = ""


class LoadedModel(Struct, frozen=True, kw_only=True):
    """A resident model. ``idle_s`` is how long nobody used it; ``bytes`` is its size on disk, or 0 when served elsewhere."""

    id: str
    kind: str
    loaded_at: float
    idle_s: float
    requests: int
    bytes: int = 0


class ModelMetric(Struct, frozen=True, kw_only=True):
    """A measurement of a model, in the unit its ``name`` ends with (``_s``, ``_per_s``) or a score 0..1."""

    model: str
    name: str
    value: float
    at: float
    note: str = ""


class ModelEvaluation(Struct, frozen=True, kw_only=True):
    """How well a model did at a ``task`` (chat, reasoning, code, …): ``score`` is 0..1, ``at`` 0 means now."""

    model: str
    task: str
    score: Annotated[float, Meta(ge=0, le=1)]
    at: float = 0.0
    note: str = ""


class ModelForecast(Struct, frozen=True, kw_only=True):
    """How likely (0..1) a model is to be wanted within the hour, and the counts that say so."""

    model: str
    likelihood: float
    why: str


class Preload(Struct, frozen=True, kw_only=True):
    """What became of a model that was to be preloaded."""

    model: str
    outcome: Literal["loaded", "already", "left"]
    why: str = ""


class SuiteStats(Struct, frozen=True, kw_only=True):
    """Counts since the start; ``generating`` is how many requests run now."""

    requests: int
    failures: int
    prompt_tokens: int
    completion_tokens: int
    generating: int


@contract("ModelManagerSuite")
class Models(Protocol):
    """The one owner of language models."""

    async def generate_text(
        self, messages: list[Message], options: ChatOptions | None = None, model: str = ""
    ) -> Completion:
        """Run a conversation through a model (empty: the default). Raises ``Unavailable`` when it is missing."""
        ...

    def generate(
        self, messages: list[Message], options: ChatOptions | None = None, model: str = ""
    ) -> AsyncGenerator[ChatChunk, None]:
        """The same, as it is generated. Closing the stream stops the model."""
        ...

    @action(idempotent=True)
    async def list_models(self) -> list[ModelInfo]:
        """The models of the catalogue, and what can be done with each now."""
        ...

    @action(idempotent=True)
    async def get_loaded_models_status(self) -> list[LoadedModel]:
        """Those that are in memory."""
        ...

    @action(idempotent=True)
    async def select_model(self, task: str) -> ModelInfo:
        """The best model for ``fact``, ``chat``, ``reasoning``, ``code`` or ``tool``. Raises ``Unavailable`` without any.

        The default, unless another one here has clearly better scores for the task.
        """
        ...

    @action(idempotent=True)
    async def load_model(self, model: str = "") -> LoadedModel:
        """Load a model (empty: the default), so that the next request need not wait. Raises ``Unavailable`` when it is missing."""
        ...

    @action(idempotent=True)
    async def unload_model(self, model: str = "") -> int:
        """Free the memory of a model (empty: the default); returns how many were loaded, 0 or 1.

        Raises ``Overloaded`` when it stays in use for half a minute.
        """
        ...

    @action(idempotent=True)
    async def get_stats(self) -> SuiteStats:
        """What was done since the start."""
        ...

    async def log_performance_metric(self, metric: ModelMetric) -> None:
        """Keep a measurement; on disk when this returns."""
        ...

    async def log_model_evaluation(self, evaluation: ModelEvaluation) -> None:
        """Keep a score; :meth:`select_model` goes by them once there are enough."""
        ...

    async def record_usage(self, model: str = "", count: int = 1) -> None:
        """Note uses of a model elsewhere; those through the suite are noted by itself."""
        ...

    @action(idempotent=True)
    async def predict_models(self, limit: int = 3) -> list[ModelForecast]:
        """Which models will likely be wanted within the hour, likeliest first, by when they were used so far."""
        ...

    @action(idempotent=True)
    async def preload_models(self, models: list[str] | None = None) -> list[Preload]:
        """Load these, or those likely wanted, as far as they are here and fit into memory."""
        ...

    @action(idempotent=True)
    async def get_performance_metrics(
        self, model: str = "", name: str = "", limit: int = 100
    ) -> list[ModelMetric]:
        """Measurements, newest first; ``model`` or ``name`` left empty means all."""
        ...
