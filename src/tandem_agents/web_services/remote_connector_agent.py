"""The one gateway to model servers elsewhere."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncGenerator, Iterable

from msgspec import Struct, structs

from tandem.agent import Agent, Issue, action, every
from tandem.core import clock
from tandem.core.errors import InvalidArguments, NotFound, PermissionDenied, TandemError
from tandem_agents.engines.kinds import DEFAULT_CHAT, ChatChunk, ChatOptions, Message
from tandem_agents.engines.openai_http import OpenAIModel
from tandem_agents.web_services.contracts import RemoteAnswer, ServerStatus, State

LOOK_EVERY_S = 60


class Server(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A server that speaks OpenAI's chat protocol (Ollama, vLLM, llama-server, OpenAI).

    ``url`` includes its ``/v1``; ``key`` is a reference to a secret (``secret:NAME``) and never a key itself.
    """

    url: str
    key: str = ""


class RemoteConnectorAgent(Agent):
    """Gateway to model servers over the network or on the box, with remembered answers and status checks."""

    class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """``servers`` by name, the first is the default. Answers that would come out the same again (``temperature`` 0 or
        a ``seed``) are remembered: ``remembered`` of them, for ``remember_s`` seconds."""

        servers: dict[str, Server] = {}
        remembered: int = 256
        remember_s: float = 3600.0

    settings: Settings

    async def start(self) -> None:
        self._models: dict[tuple[str, str], OpenAIModel] = {}
        self._status: dict[str, ServerStatus] = {}
        self._answers: OrderedDict[tuple[str, str, str], tuple[float, RemoteAnswer]] = OrderedDict()

    async def stop(self) -> None:
        models, self._models = self._models, {}
        await asyncio.gather(*(model.close() for model in models.values()))

    @property
    def capabilities(self) -> list[str]:
        return [status.name for status in self._status.values() if status.state == "reachable"]

    async def check(self) -> Iterable[Issue]:
        return [
            Issue(f"the model server {status.name} {status.state}: {status.why}", fix="check its url and key")
            for status in self._status.values()
            if status.state != "reachable"
        ]

    @every(seconds=LOOK_EVERY_S)
    async def look(self) -> None:
        await self.check_status()

    @action
    async def generate(
        self,
        prompt: str,
        model: str = "",
        system_prompt: str = "",
        options: ChatOptions | None = None,
        server: str = "",
    ) -> RemoteAnswer:
        """One answer of a remote model."""
        if not prompt.strip():
            raise InvalidArguments("there is nothing to answer")
        chosen, options = self._server(server), options or DEFAULT_CHAT
        messages = [Message("system", system_prompt)] if system_prompt else []
        messages.append(Message("user", prompt))
        key = (chosen, model, repr((messages, options)))
        if (known := self._recall(key)) is not None:
            return known
        started, parts, finish, usage = clock.monotonic(), [], "", None
        remote = await self._model(chosen, model)
        async for chunk in remote.chat(messages, options):
            parts.append(chunk.text)
            finish, usage = chunk.finish or finish, chunk.usage or usage
        answer = RemoteAnswer(
            text="".join(parts),
            server=chosen,
            model=remote.name,
            finish=finish,
            usage=usage,
            seconds=clock.monotonic() - started,
        )
        if options.temperature == 0 or options.seed is not None:
            self._remember(key, answer)
        return answer

    @action
    async def chat(
        self, messages: list[Message], model: str = "", options: ChatOptions | None = None, server: str = ""
    ) -> AsyncGenerator[ChatChunk, None]:
        """An answer of a remote model, piece by piece."""
        if not messages:
            raise InvalidArguments("there is nothing to answer")
        remote = await self._model(self._server(server), model)
        async for chunk in remote.chat(messages, options or DEFAULT_CHAT):
            yield chunk

    @action(idempotent=True)
    async def check_status(self, server: str = "") -> list[ServerStatus]:
        """Whether servers are reachable, and what they offer."""
        names = [self._server(server)] if server else list(self.settings.servers)
        found = await asyncio.gather(*(self._look_at(name) for name in names))
        self._status |= {status.name: status for status in found}
        return list(found)

    async def _look_at(self, name: str) -> ServerStatus:
        started = clock.monotonic()
        try:
            models = await (await self._model(name, "")).list_models()
        except TandemError as error:
            state: State = "refuses" if isinstance(error, PermissionDenied) else "unreachable"
            return ServerStatus(name=name, state=state, why=error.message, at=clock.wall())
        seconds = clock.monotonic() - started
        return ServerStatus(name=name, state="reachable", models=models, at=clock.wall(), seconds=seconds)

    def _server(self, name: str) -> str:
        if not self.settings.servers:
            raise NotFound(
                "no model server is configured",
                hint="settings: {servers: {NAME: {url: …}}} in the fleet file",
            )
        chosen = name or next(iter(self.settings.servers))
        if chosen not in self.settings.servers:
            raise NotFound(
                f"there is no model server {name!r}", hint=f"known: {', '.join(self.settings.servers)}"
            )
        return chosen

    async def _model(self, server: str, model: str) -> OpenAIModel:
        if (server, model) not in self._models:
            chosen = self.settings.servers[server]
            opened = await OpenAIModel.open(chosen.url, name=model, api_key=chosen.key)
            if (server, model) in self._models:
                await opened.close()
            else:
                self._models[server, model] = opened
        return self._models[server, model]

    def _recall(self, key: tuple[str, str, str]) -> RemoteAnswer | None:
        at, answer = self._answers.get(key, (0.0, None))
        if answer is None or clock.monotonic() - at > self.settings.remember_s:
            return None
        self._answers.move_to_end(key)
        return structs.replace(answer, cached=True)

    def _remember(self, key: tuple[str, str, str], answer: RemoteAnswer) -> None:
        self._answers[key] = (clock.monotonic(), answer)
        self._answers.move_to_end(key)
        while len(self._answers) > self.settings.remembered:
            self._answers.popitem(last=False)
