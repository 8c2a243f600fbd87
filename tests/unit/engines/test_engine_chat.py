"""The chat protocol, whole answers and typed answers."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence

import httpx
import msgspec
import pytest
from msgspec import Struct

from tandem.core import errors
from tandem.telemetry.tracing import ActiveSpan, start_turn
from tandem_agents.engines.chatting import ask_for, complete
from tandem_agents.engines.kinds import DEFAULT_CHAT, ChatChunk, ChatOptions, Message, Usage
from tandem_agents.engines.openai_http import OpenAIModel
from tandem_agents.engines.openai_wire import chat_chunk, chat_request

ASK = [Message("user", "Where?")]


class Place(Struct):
    city: str
    days: int


class Scripted:
    """A language model that says what it is told and notes what it was asked."""

    name = "scripted"

    def __init__(self, *chunks: ChatChunk):
        self.chunks = chunks
        self.options: ChatOptions | None = None
        self.closed = False

    async def chat(
        self, messages: Sequence[Message], options: ChatOptions = DEFAULT_CHAT
    ) -> AsyncGenerator[ChatChunk, None]:
        self.options = options
        try:
            for chunk in self.chunks:
                yield chunk
        finally:
            self.closed = True

    async def close(self) -> None:
        raise AssertionError


async def test_a_whole_answer_joins_its_chunks() -> None:
    """Text, the reason it ended and what it cost all arrive."""
    model = Scripted(ChatChunk("Par"), ChatChunk("is.", "length"), ChatChunk(usage=Usage(7, 2)))
    answer = await complete(model, ASK)
    assert (answer.text, answer.finish, answer.usage) == ("Paris.", "length", Usage(7, 2))
    assert model.closed


@pytest.mark.parametrize("text", ['{"city":"Rome","days":3}', '```json\n{"city":"Rome","days":3}\n```'])
async def test_an_answer_of_a_type_is_asked_for_by_schema_and_decoded(text: str) -> None:
    """The model is given the type's JSON Schema; a code fence around the JSON is forgiven."""
    model = Scripted(ChatChunk(text))
    assert await ask_for(model, ASK, Place) == Place("Rome", 3)
    assert model.options is not None
    assert model.options.json_schema == msgspec.json.schema(Place)


@pytest.mark.parametrize(
    ("chunk", "why"),
    [
        (ChatChunk('{"city":"Ro', "length"), "cut off"),
        (ChatChunk('{"city":"Rome"}'), "days"),
        (ChatChunk("Rome, I think"), "malformed"),
    ],
)
async def test_an_answer_that_is_not_of_the_type_is_an_error_that_says_why(
    chunk: ChatChunk, why: str
) -> None:
    """A half or wrong object never passes for an answer."""
    with pytest.raises(errors.Unavailable, match=why) as caught:
        await ask_for(Scripted(chunk), ASK, Place)
    assert caught.value.details["answer"] == chunk.text


def test_the_request_says_only_what_was_chosen() -> None:
    """Optional fields are absent unless set, since servers refuse fields they do not know."""
    body = chat_request(ASK, ChatOptions(max_tokens=5))
    assert body["messages"] == [{"role": "user", "content": "Where?"}]
    assert body["stream"] is True
    assert not {"seed", "stop", "response_format"} & body.keys()
    full = chat_request(ASK, ChatOptions(seed=1, stop=("x",), json_schema={"type": "object"}))
    assert (full["seed"], full["stop"]) == (1, ["x"])
    assert full["response_format"]["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("event", "chunk"),
    [
        ({"choices": [{"delta": {"role": "assistant", "content": None}}]}, ChatChunk()),
        ({"choices": [{"delta": {"content": "a"}, "finish_reason": None}]}, ChatChunk("a")),
        ({"choices": [{"delta": {}, "finish_reason": "length"}]}, ChatChunk("", "length")),
        ({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]}, ChatChunk("", "stop")),
        (
            {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}},
            ChatChunk(usage=Usage(1, 2)),
        ),
    ],
)
def test_chunks_of_every_shape_are_read(event: object, chunk: ChatChunk) -> None:
    """The first chunk has no text, the last no choices."""
    assert chat_chunk(event) == chunk


def test_something_that_is_no_chunk_is_an_error() -> None:
    """A proxy's error page does not become an empty answer."""
    with pytest.raises(errors.Unavailable):
        chat_chunk({"choices": "none"})


Answer = Callable[[httpx.Request], httpx.Response]


def model_of(answer: Answer) -> OpenAIModel:
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://127.0.0.1/v1/")
    return OpenAIModel("m", client)


def events(*lines: str) -> Answer:
    body = "".join(f"{line}\n" for line in lines)
    return lambda _: httpx.Response(200, text=body)


async def test_a_turns_trace_goes_on_in_the_server() -> None:
    """The request carries the ``traceparent`` of the span it is sent from, and none outside of a turn."""
    sent: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request.headers.get("traceparent"))
        return httpx.Response(200, text="data: [DONE]\n")

    await complete(model_of(answer), ASK)
    with start_turn() as turn:
        await complete(model_of(answer), ASK)
    assert isinstance(turn, ActiveSpan)
    assert sent == [None, turn.context.traceparent()]


async def test_server_sent_events_become_chunks() -> None:
    """Comments and blank lines are skipped, ``[DONE]`` ends the answer."""
    served = events(
        ": ping",
        "",
        'data: {"choices":[{"delta":{"content":"Hi"}}]}',
        "",
        'data:{"choices":[{"delta":{},"finish_reason":"stop"}]}',
        "data: [DONE]",
        "data: nonsense",
    )
    answer = await complete(model_of(served), ASK)
    assert (answer.text, answer.finish) == ("Hi", "stop")


@pytest.mark.parametrize("line", ["data: {broken", 'data: {"error":{"message":"out of memory"}}'])
async def test_an_error_in_the_middle_of_an_answer_is_raised(line: str) -> None:
    """Half an answer is not taken for the whole."""
    with pytest.raises(errors.Unavailable):
        await complete(model_of(events('data: {"choices":[{"delta":{"content":"Hi"}}]}', "", line)), ASK)


@pytest.mark.parametrize(
    ("status", "text", "kind"),
    [
        (401, "", errors.PermissionDenied),
        (403, "", errors.PermissionDenied),
        (404, "no such model", errors.NotFound),
        (400, "maximum context length is 512", errors.TooLarge),
        (400, "bad temperature", errors.InvalidArguments),
        (422, "", errors.InvalidArguments),
        (413, "", errors.TooLarge),
        (429, "", errors.Overloaded),
        (503, "", errors.Overloaded),
        (500, "", errors.Unavailable),
    ],
)
async def test_http_statuses_become_typed_errors(status: int, text: str, kind: type[Exception]) -> None:
    """A caller can tell a bad key from a busy server; the server's words are kept."""
    with pytest.raises(kind, match=str(status)):
        await complete(model_of(lambda _: httpx.Response(status, text=text)), ASK)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (httpx.ConnectError("refused"), errors.Unreachable),
        (httpx.RemoteProtocolError("peer closed"), errors.Unreachable),
        (httpx.ReadTimeout("slow"), errors.DeadlineExceeded),
    ],
)
async def test_transport_failures_become_typed_errors(raised: Exception, kind: type[Exception]) -> None:
    """Retryable failures are marked as such."""

    def answer(_: httpx.Request) -> httpx.Response:
        raise raised

    with pytest.raises(kind) as caught:
        await complete(model_of(answer), ASK)
    assert isinstance(caught.value, errors.TandemError)
    assert caught.value.retryable


async def test_the_key_is_never_sent_unencrypted_to_another_computer() -> None:
    """Plain HTTP with a key is refused unless it stays on this computer; so is anything but HTTP."""
    for address in ("http://llm.example.org/v1", "http://192.168.1.5:8000/v1"):
        with pytest.raises(errors.ConfigError, match="unencrypted"):
            await OpenAIModel.open(address, name="m", api_key="secret")
    for address in ("ftp://x/v1", "localhost:11434", ""):
        with pytest.raises(errors.ConfigError, match="not an HTTP address"):
            await OpenAIModel.open(address, name="m")
    for address in (
        "http://127.0.0.1:1/v1",
        "http://localhost:1/v1",
        "http://[::1]:1/v1",
        "https://llm.example.org/v1",
    ):
        await (await OpenAIModel.open(address, name="m", api_key="secret")).close()
