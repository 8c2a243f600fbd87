"""The OpenAI client against real servers on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import pytest
from msgspec import Struct
from ports import free_port

from tandem.core.errors import NotFound, PermissionDenied, TooLarge, Unavailable, Unreachable
from tandem_agents.engines import select
from tandem_agents.engines.chatting import ask_for, complete
from tandem_agents.engines.kinds import ChatOptions, Message
from tandem_agents.engines.models import Store, builtin_catalogue
from tandem_agents.engines.openai_http import OpenAIModel

pytestmark = pytest.mark.integration

BOUND_S = 60.0
CHUNK = b'data: {"choices":[{"delta":{"content":"on and "}}]}\n\n'


class Endless:
    """A server whose one model never stops talking; notes when the listener has gone."""

    def __init__(self) -> None:
        self.hung_up = asyncio.Event()
        self.asked: list[bytes] = []
        self.url = ""

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.asked.append(head)
        if head.startswith(b"GET /v1/models"):
            body = b'{"data":[{"id":"talker"}]}'
            writer.write(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            )
            writer.close()
            return
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
        try:
            while not reader.at_eof():
                writer.write(CHUNK)
                await writer.drain()
                await asyncio.sleep(0.005)
        except ConnectionError:
            pass
        self.hung_up.set()
        writer.close()


@pytest.fixture
async def endless() -> AsyncIterator[Endless]:
    talker = Endless()
    server = await asyncio.start_server(talker.answer, "127.0.0.1", 0)
    talker.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    yield talker
    server.close()


async def test_the_servers_first_model_is_taken_and_closing_hangs_up(endless: Endless) -> None:
    """Without a name the server is asked; breaking off an answer closes the connection, so the server stops."""
    model = await OpenAIModel.open(endless.url, api_key="k")
    assert model.name == "talker"
    assert b"authorization: bearer k" in endless.asked[0].lower()
    async with aclosing(model.chat([Message("user", "Talk.")])) as chunks:
        assert (await anext(chunks)).text == "on and "
    async with asyncio.timeout(BOUND_S):
        await endless.hung_up.wait()
    await model.close()


async def test_nobody_there_is_unreachable() -> None:
    """A closed port fails when it is opened without a model's name, and when it is used."""
    url = f"http://127.0.0.1:{free_port()}/v1"
    with pytest.raises(Unreachable):
        await OpenAIModel.open(url)
    model = await OpenAIModel.open(url, name="m")
    with pytest.raises(Unreachable):
        await complete(model, [Message("user", "Hello?")])
    await model.close()


@pytest.fixture(scope="module")
def llama_server() -> Iterator[Any]:
    """llama.cpp's own HTTP server with the default model and a key."""
    try:
        xllamacpp = __import__("xllamacpp")
        path = Store.from_environment().path(builtin_catalogue().default("llm"), "model.gguf")
    except (ImportError, Unavailable) as error:
        pytest.skip(f"{error}")
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = 512
    params.n_parallel = 1
    params.verbosity = -1
    params.api_keys = ["k"]
    yield xllamacpp.Server(params)


class Order(Struct):
    item: str
    cups: int


@pytest.mark.models
@pytest.mark.timeout(180)
async def test_a_real_server_answers_in_every_way(
    llama_server: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers, schemas, a context that overflows and a wrong key, through the settings an agent has."""
    base = f"{llama_server.listening_address}/v1"
    key = tmp_path / "key"
    key.write_text("k")
    monkeypatch.setenv("OPENAI_BASE_URL", base)
    model = await select.open_language_model(select.LanguageModelSettings(api_key_file=str(key)))
    answer = await complete(
        model, [Message("user", "What is the capital of France?")], ChatOptions(temperature=0, max_tokens=30)
    )
    assert "Paris" in answer.text
    assert answer.usage is not None
    order = await ask_for(model, [Message("user", "Extract the order: three cups of coffee, please.")], Order)
    assert order.cups == 3
    with pytest.raises(TooLarge):
        await complete(model, [Message("user", "word " * 1000)])
    await model.close()
    stranger = await OpenAIModel.open(base, name="m", api_key="wrong")
    with pytest.raises(PermissionDenied):
        await complete(stranger, [Message("user", "Hello?")])
    await stranger.close()
    lost = await OpenAIModel.open(f"{llama_server.listening_address}/elsewhere", name="m", api_key="k")
    with pytest.raises(NotFound):
        await complete(lost, [Message("user", "Hello?")])
    await lost.close()
