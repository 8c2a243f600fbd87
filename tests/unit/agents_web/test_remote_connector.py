"""The gateway to model servers elsewhere, with servers that exist in memory only."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import httpx
import pytest

from tandem.agent.testing import Fleet, Member, fleet_of, virtual_time
from tandem.core.errors import InvalidArguments, NotFound, Overloaded, PermissionDenied, Unreachable
from tandem_agents.engines import openai_http
from tandem_agents.engines.kinds import ChatOptions, Message
from tandem_agents.engines.openai_http import OpenAIModel
from tandem_agents.web_services.contracts import RemoteModels
from tandem_agents.web_services.remote_connector_agent import LOOK_EVERY_S, RemoteConnectorAgent

SERVERS = {
    "attic": {"url": "http://attic.example.org/v1"},
    "cloud": {"url": "https://cloud.example.org/v1", "key": "k"},
}
SURE = ChatOptions(temperature=0)

Answer = Callable[[httpx.Request], httpx.Response]


class World:
    """Every server there is; counts what was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, object]]] = []
        self.status = 200
        self.down = False
        self.keys: set[str] = set()

    def answer(self, request: httpx.Request) -> httpx.Response:
        if self.down:
            raise httpx.ConnectError("refused")
        if key := request.headers.get("authorization"):
            self.keys.add(key)
        if self.status != 200:
            return httpx.Response(self.status, text="no")
        if request.url.path.endswith("/models"):
            return httpx.Response(200, json={"data": [{"id": "tiny"}, {"id": "huge"}]})
        body = json.loads(request.content)
        self.asked.append((request.url.host, body))
        events = [
            {"choices": [{"delta": {"content": "Good "}}]},
            {"choices": [{"delta": {"content": "day"}, "finish_reason": "stop"}]},
            {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
        ]
        text = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
        return httpx.Response(200, text=text)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    """Servers without sockets."""
    made = World()
    client = httpx.AsyncClient

    def in_memory(**options: object) -> httpx.AsyncClient:
        return client(**options, transport=httpx.MockTransport(made.answer))  # type: ignore[arg-type]

    monkeypatch.setattr(openai_http.httpx, "AsyncClient", in_memory)
    return made


@asynccontextmanager
async def connected(**settings: object) -> AsyncIterator[tuple[Fleet, RemoteModels]]:
    """The agent with two servers."""
    member = Member(RemoteConnectorAgent, machine="pc2", **{"servers": SERVERS} | settings)
    async with fleet_of(member) as fleet:
        yield fleet, fleet.peer(RemoteModels)


@virtual_time
async def test_an_answer_comes_from_the_server_that_was_asked(world: World) -> None:
    """Server and model may be named or left to the first; the answer says which it was, and what it took."""
    async with connected() as (_, remote):
        first = await remote.generate("hello", system_prompt="be kind")
        assert (first.text, first.server, first.model, first.finish) == ("Good day", "attic", "tiny", "stop")
        assert first.usage is not None
        assert first.usage.completion_tokens == 2
        other = await remote.generate("hello", model="huge", server="cloud")
        assert (other.server, other.model) == ("cloud", "huge")
    assert [(host, body["model"]) for host, body in world.asked] == [
        ("attic.example.org", "tiny"), ("cloud.example.org", "huge"),
    ]  # fmt: skip
    assert world.asked[0][1]["messages"] == [
        {"role": "system", "content": "be kind"}, {"role": "user", "content": "hello"},
    ]  # fmt: skip
    assert world.keys == {"Bearer k"}


@virtual_time
async def test_only_certain_answers_are_remembered(world: World) -> None:
    """What would come out the same is asked once until it is old; what is left to chance is asked every time."""
    async with connected(remember_s=100.0, remembered=1) as (_, remote):
        assert not (await remote.generate("a", options=SURE)).cached
        assert (await remote.generate("a", options=SURE)).cached
        await asyncio.sleep(101)
        assert not (await remote.generate("a", options=SURE)).cached
        assert not (await remote.generate("b", options=SURE)).cached
        assert not (await remote.generate("a", options=SURE)).cached
        assert not (await remote.generate("a")).cached
        assert not (await remote.generate("a")).cached


@virtual_time
async def test_an_answer_can_be_streamed(world: World) -> None:
    """Pieces arrive one by one, the last with the reason it ended."""
    async with connected() as (_, remote):
        chunks = [chunk async for chunk in remote.chat([Message("user", "hello")])]
    assert [chunk.text for chunk in chunks if chunk.text] == ["Good ", "day"]


@virtual_time
async def test_a_server_that_is_away_is_told_and_forgotten_when_it_is_back(world: World) -> None:
    """The agent is degraded while a server does not answer, callers get a typed error, and both end with it."""
    async with connected() as (fleet, remote):
        world.down = True
        with pytest.raises(Unreachable):
            await remote.generate("hello", model="tiny")
        assert {status.state for status in await remote.check_status()} == {"unreachable"}
        assert len(await fleet.agent(RemoteConnectorAgent).check()) == 2
        world.down = False
        await asyncio.sleep(LOOK_EVERY_S + 1)
        assert await fleet.agent(RemoteConnectorAgent).check() == []
        assert fleet.agent(RemoteConnectorAgent).capabilities == ["attic", "cloud"]
        assert (await remote.check_status("attic"))[0].models == ["tiny", "huge"]


@pytest.mark.parametrize(("status", "error"), [(401, PermissionDenied), (429, Overloaded), (404, NotFound)])
@virtual_time
async def test_what_a_server_refuses_reaches_the_caller(
    world: World, status: int, error: type[Exception]
) -> None:
    """A bad key, a busy server and a missing model are different errors for the caller."""
    async with connected() as (_, remote):
        world.status = status
        with pytest.raises(error):
            await remote.generate("hello", model="tiny")
        if status == 401:
            assert (await remote.check_status("cloud"))[0].state == "refuses"


@virtual_time
async def test_what_cannot_be_asked_is_refused(world: World) -> None:
    """Nothing to say, a server nobody configured, and no server at all are said plainly and ask nobody."""
    async with connected() as (_, remote):
        with pytest.raises(InvalidArguments):
            await remote.generate("  ")
        with pytest.raises(NotFound, match="attic"):
            await remote.generate("hello", server="cellar")
    async with connected(servers={}) as (fleet, remote):
        with pytest.raises(NotFound, match="no model server"):
            await remote.generate("hello")
        assert await remote.check_status() == []
        assert await fleet.agent(RemoteConnectorAgent).check() == []
    assert world.asked == []


async def test_models_are_listed_in_the_servers_order() -> None:
    """The first model is the default one, so order matters."""
    world = World()
    client = httpx.AsyncClient(base_url="http://x/v1/", transport=httpx.MockTransport(world.answer))
    assert await OpenAIModel("", client).list_models() == ["tiny", "huge"]
    await client.aclose()
