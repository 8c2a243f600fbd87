"""The OpenAI chat format, which llama.cpp in-process and servers over HTTP both speak."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tandem.core.errors import Unavailable
from tandem_agents.engines.kinds import ChatChunk, ChatOptions, Finish, Message, Usage


class _Delta(Struct, frozen=True):
    content: str | None = None


class _Token(Struct, frozen=True):
    logprob: float = 0.0


class _Tokens(Struct, frozen=True):
    content: list[_Token] | None = None


class _Choice(Struct, frozen=True):
    delta: _Delta = _Delta()
    logprobs: _Tokens | None = None
    finish_reason: str | None = None


class _Event(Struct, frozen=True):
    choices: list[_Choice] = []
    usage: Usage | None = None


def chat_request(messages: Sequence[Message], options: ChatOptions) -> dict[str, Any]:
    """The body of a streaming ``/chat/completions`` request, without the model's name."""
    body: dict[str, Any] = {
        "messages": [{"role": message.role, "content": message.content} for message in messages],
        "max_tokens": options.max_tokens,
        "temperature": options.temperature,
        "top_p": options.top_p,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if options.seed is not None:
        body["seed"] = options.seed
    if options.stop:
        body["stop"] = list(options.stop)
    if options.measure == "certainty":
        body["logprobs"] = True
    if options.json_schema is not None:
        schema = {"name": "answer", "strict": True, "schema": options.json_schema}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    return body


def chat_chunk(event: object) -> ChatChunk:
    """One ``chat.completion.chunk`` (decoded JSON). Raises ``Unavailable`` when it is something else."""
    try:
        parsed = msgspec.convert(event, _Event)
    except msgspec.ValidationError as error:
        raise Unavailable(f"the language model sent something that is not a chat chunk: {error}") from error
    if not parsed.choices:
        return ChatChunk(usage=parsed.usage)
    choice = parsed.choices[0]
    tokens = choice.logprobs.content if choice.logprobs is not None else None
    return ChatChunk(
        choice.delta.content or "",
        _finish(choice.finish_reason),
        parsed.usage,
        tuple(min(0.0, token.logprob) for token in tokens or ()),
    )


def _finish(reason: str | None) -> Finish | None:
    if reason is None:
        return None
    return "length" if reason == "length" else "stop"
