"""How llama.cpp's answers and errors are taken, with its library played by a script."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tandem.core import errors
from tandem_agents.engines.chatting import complete
from tandem_agents.engines.kinds import Message
from tandem_agents.engines.llama import LlamaModel, LlamaOptions
from tandem_agents.engines.worker import Worker

ASK = [Message("user", "Where?")]


class Library:
    """Feeds events to the callback, as the library does: until it returns true, and deaf to its exceptions."""

    def __init__(self, *events: Any, fails: Exception | None = None):
        self.events = events
        self.fails = fails
        self.delivered = 0

    def handle_chat_completions(self, request: dict[str, Any], receive: Callable[[Any], bool]) -> None:
        if self.fails:
            raise self.fails
        for event in self.events:
            self.delivered += 1
            try:
                if receive(event):
                    return
            except Exception:
                return


def text(content: str) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": content}}]}


def model_of(library: Library) -> LlamaModel:
    return LlamaModel("m", library, Worker("t"))


async def test_an_answer_arrives_chunk_by_chunk() -> None:
    """The library's events become the stream."""
    model = model_of(Library(text("Par"), text("is")))
    assert (await complete(model, ASK)).text == "Paris"
    await model.close()


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        (
            {"error": {"code": 400, "type": "exceed_context_size_error", "message": "930 tokens"}},
            errors.TooLarge,
        ),
        (
            {"error": {"code": 400, "type": "invalid_request_error", "message": "bad"}},
            errors.InvalidArguments,
        ),
        ({"error": {"code": 500, "type": "server_error", "message": "oops"}}, errors.Unavailable),
        ({"choices": 5}, errors.Unavailable),
    ],
)
async def test_an_error_event_is_raised_though_the_library_swallows_exceptions(
    event: dict[str, Any], kind: type[Exception]
) -> None:
    """The error reaches the caller typed, and the generation stops."""
    library = Library(text("Par"), event, text("is"))
    model = model_of(library)
    with pytest.raises(kind):
        await complete(model, ASK)
    assert library.delivered == 2
    await model.close()


async def test_a_refused_request_is_an_invalid_argument() -> None:
    """A schema llama.cpp cannot turn into a grammar is the caller's mistake."""
    model = model_of(Library(fails=ValueError("unrecognized type")))
    with pytest.raises(errors.InvalidArguments, match="unrecognized type"):
        await complete(model, ASK)
    await model.close()


async def test_a_missing_file_is_said_before_the_library_is_loaded(tmp_path: Path) -> None:
    """The path is in the message."""
    with pytest.raises(errors.Unavailable, match=r"nothing\.gguf"):
        await LlamaModel.load("m", tmp_path / "nothing.gguf", LlamaOptions())
