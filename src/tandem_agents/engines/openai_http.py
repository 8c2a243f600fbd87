"""Language models behind any address that speaks OpenAI's chat protocol: Ollama, vLLM, llama-server, OpenAI."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from tandem.agent import current_traceparent
from tandem.core.errors import (
    ConfigError,
    DeadlineExceeded,
    InvalidArguments,
    NotFound,
    Overloaded,
    PermissionDenied,
    TandemError,
    TooLarge,
    Unavailable,
    Unreachable,
)
from tandem_agents.engines.kinds import DEFAULT_CHAT, ChatChunk, ChatOptions, Message
from tandem_agents.engines.openai_wire import chat_chunk, chat_request
from tandem_agents.engines.optional import LazyModule

if TYPE_CHECKING:
    import httpx
else:
    httpx = LazyModule("httpx", extra="llm")

CONNECT_TIMEOUT_S = 3.0
SILENCE_TIMEOUT_S = 60.0
"""Longest wait for the next bytes of an answer; a big model on a busy server reads a long prompt first."""


class OpenAIModel:
    """One model of one server. ``name`` is what the server calls it."""

    def __init__(self, name: str, client: httpx.AsyncClient):
        self._name = name
        self._client = client

    @classmethod
    async def open(cls, base_url: str, *, name: str = "", api_key: str = "") -> OpenAIModel:
        """Connect to ``base_url`` (with its ``/v1``). Without a ``name`` the server's first model is taken.

        Raises ``ConfigError`` for an address that is not HTTP or would carry the key unencrypted to another
        computer, otherwise what :meth:`chat` raises.
        """
        _check_address(base_url, api_key)
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        timeout = httpx.Timeout(SILENCE_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        client = httpx.AsyncClient(base_url=base_url.rstrip("/") + "/", headers=headers, timeout=timeout)
        model = cls(name, client)
        try:
            if not name:
                model._name = await model._first_model()
        except BaseException:
            await client.aclose()
            raise
        return model

    @property
    def name(self) -> str:
        return self._name

    async def chat(
        self, messages: Sequence[Message], options: ChatOptions = DEFAULT_CHAT
    ) -> AsyncGenerator[ChatChunk, None]:
        """See :class:`LanguageModel`. Closing the iterator closes the connection, which stops the server.

        A server that traces goes on with the turn's trace (W3C Trace Context).
        """
        body = {**chat_request(messages, options), "model": self._name}
        traceparent = current_traceparent()
        headers = {"traceparent": traceparent} if traceparent else {}
        try:
            async with self._client.stream("POST", "chat/completions", json=body, headers=headers) as response:
                await _raise_for_status(response)
                async for data in _server_sent(response):
                    yield chat_chunk(data)
        except httpx.HTTPError as error:
            raise self._translated(error) from error

    async def close(self) -> None:
        await self._client.aclose()

    async def list_models(self) -> list[str]:
        """What the server calls its models. Raises what :meth:`chat` raises."""
        try:
            response = await self._client.get("models")
            await _raise_for_status(response)
            return [str(model["id"]) for model in msgspec.json.decode(response.content)["data"]]
        except httpx.HTTPError as error:
            raise self._translated(error) from error
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise Unavailable(f"{self._client.base_url} lists no model") from error

    async def _first_model(self) -> str:
        listed = await self.list_models()
        if not listed:
            raise Unavailable(f"{self._client.base_url} lists no model")
        return listed[0]

    def _translated(self, error: httpx.HTTPError) -> TandemError:
        where = self._client.base_url
        if isinstance(error, httpx.ReadTimeout):
            return DeadlineExceeded(f"{where} said nothing for {SILENCE_TIMEOUT_S:.0f} s")
        return Unreachable(
            f"the language model at {where} cannot be reached: {str(error) or type(error).__name__}"
        )


def _check_address(base_url: str, api_key: str) -> None:
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(f"not an HTTP address: {base_url!r}", hint="for example http://127.0.0.1:11434/v1")
    if api_key and parts.scheme == "http" and not _is_loopback(parts.hostname):
        raise ConfigError(f"{base_url} would carry the API key unencrypted", hint="use https")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


async def _raise_for_status(response: httpx.Response) -> None:
    status = response.status_code
    if status < 400:
        return
    text = (await response.aread()).decode(errors="replace")[:500]
    message = f"{response.url.host} answered HTTP {status}: {text}"
    if status in (401, 403):
        raise PermissionDenied(message, hint="check the API key")
    if status == 404:
        raise NotFound(message, hint="check the address and the model's name")
    if status == 413 or (status == 400 and "context" in text.lower()):
        raise TooLarge(message)
    if status in (400, 422):
        raise InvalidArguments(message)
    if status in (429, 503):
        raise Overloaded(message)
    raise Unavailable(message)


async def _server_sent(response: httpx.Response) -> AsyncIterator[Any]:
    """The JSON of each ``data:`` line up to ``[DONE]``. Raises ``Unavailable`` for an error event or broken JSON."""
    async for line in response.aiter_lines():
        if not line.startswith("data:"):
            continue
        data = line[5:].strip()
        if data == "[DONE]":
            return
        try:
            event = msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            raise Unavailable(f"{response.url.host} sent broken JSON: {data[:100]}") from error
        if isinstance(event, dict) and event.get("error"):
            raise Unavailable(f"{response.url.host} failed while answering: {event['error']}")
        yield event
