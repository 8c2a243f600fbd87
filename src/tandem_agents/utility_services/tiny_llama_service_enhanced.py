"""A small always-cheap language model for quick answers."""

from __future__ import annotations

from msgspec import Struct

from tandem.agent import Agent, action
from tandem_agents.core_services.model_contracts import LoadedModel, Models
from tandem_agents.engines.kinds import ChatOptions, Message
from tandem_agents.utility_services.contracts import ResourceStats


class TinyLlamaServiceEnhanced(Agent):
    """Answers short prompts with the smallest language model on this computer; ModelManagerSuite does the work.

    It holds no model itself: the smallest one present is chosen anew for each request, so that a model fetched
    meanwhile is used, and the suite puts it away when idle.
    """

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        model: str = ""

    settings: Settings

    async def start(self) -> None:
        self._requests = 0

    @action
    async def generate(self, prompt: str, max_tokens: int = 64) -> str:
        """A short completion."""
        options = ChatOptions(max_tokens=max_tokens, temperature=0.4)
        completion = await self.peer(Models).generate_text(
            [Message("user", prompt)], options, await self._model()
        )
        self._requests += 1
        return completion.text.strip()

    @action(idempotent=True)
    async def ensure_loaded(self) -> str:
        """Warm it up."""
        return (await self.peer(Models).load_model(await self._model())).id

    @action(idempotent=True)
    async def request_unload(self) -> int:
        """Free its memory."""
        return await self.peer(Models).unload_model(await self._model())

    @action(idempotent=True)
    async def resource_stats(self) -> ResourceStats:
        """Load and usage."""
        model = await self._model()
        loaded = {entry.id: entry for entry in await self.peer(Models).get_loaded_models_status()}
        found: LoadedModel | None = loaded.get(model)
        return ResourceStats(model=model, idle_s=found.idle_s if found else None, requests=self._requests)

    async def _model(self) -> str:
        """The id of the smallest language model present; the suite's default when none of the catalogue is."""
        if self.settings.model:
            return self.settings.model
        models = await self.peer(Models).list_models()
        present = [model for model in models if model.kind == "llm" and model.state != "missing"]
        if not present:
            return (await self.peer(Models).select_model("chat")).id
        return min(present, key=lambda model: model.bytes).id
