"""Whole answers and typed answers from any language model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import aclosing
from typing import TypeVar

import msgspec

from tandem.core.errors import Unavailable
from tandem_agents.engines.kinds import (
    DEFAULT_CHAT,
    ChatOptions,
    Completion,
    Finish,
    LanguageModel,
    Message,
    Usage,
    certainty,
)

T = TypeVar("T")

EXACT = ChatOptions(temperature=0.0)

_FENCE = re.compile(r"^\s*```(?:json)?\s*\n(.*?)\n\s*```\s*$", re.DOTALL)


async def complete(
    model: LanguageModel, messages: Sequence[Message], options: ChatOptions = DEFAULT_CHAT
) -> Completion:
    """The whole answer at once. Raises what :meth:`LanguageModel.chat` raises."""
    pieces: list[str] = []
    finish: Finish = "stop"
    usage: Usage | None = None
    measured: list[float] = []
    async with aclosing(model.chat(messages, options)) as chunks:
        async for chunk in chunks:
            pieces.append(chunk.text)
            finish = chunk.finish or finish
            usage = chunk.usage or usage
            measured.extend(chunk.log_probabilities)
    return Completion("".join(pieces), finish, usage, certainty(measured))


async def ask_for(
    model: LanguageModel,
    messages: Sequence[Message],
    answer: type[T],
    options: ChatOptions = EXACT,
) -> T:
    """An answer of the type ``answer`` (a Struct, say), held to its JSON Schema and checked.

    Raises ``Unavailable`` when the model's text is not such a value, for example because ``max_tokens`` cut it off.
    """
    schema = msgspec.json.schema(answer)
    completion = await complete(model, messages, msgspec.structs.replace(options, json_schema=schema))
    fenced = _FENCE.match(completion.text)
    text = fenced[1] if fenced else completion.text
    try:
        return msgspec.json.decode(text, type=answer)
    except msgspec.DecodeError as error:
        why = "it was cut off" if completion.finish == "length" else str(error)
        raise Unavailable(
            f"the language model's answer is not the JSON asked for: {why}",
            details={"answer": completion.text[:2000]},
        ) from error
