"""A conversation with the fleet's front door, in writing.

The front door is any agent with a streamed action ``answer_stream(text, session, user)`` whose items are ``{"text": …}``,
a sentence each, and last ``{"answer": {"answer": …, "intent": …, "turn": …, "timings": {"total": …}}}``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from tandem.core.deadline import Deadline, deadline_scope
from tandem.core.errors import InvalidArguments, TandemError, TooLarge, Unavailable
from tandem.hub.view import HubView
from tandem.hub.web.render import operator_of, page, view_of
from tandem.hub.web.words import span

MAX_QUESTION = 4_000
"""Characters; more than anybody types, less than a book."""

ANSWER_S = 120.0
_MAX_BODY = 4 * MAX_QUESTION + 1_000


class Question(Struct, frozen=True):
    """What a person typed into the page."""

    question: str
    session: str = "main"


class Said(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of the answer's stream: the ``text`` so far; last the turn, or what went wrong."""

    text: str = ""
    turn: str | None = None
    intent: str = ""
    total_s: str = ""
    error: str = ""


class _Whole(Struct, frozen=True):
    answer: str
    turn: str = ""
    intent: str = ""
    timings: dict[str, float] = {}


class _Piece(Struct, frozen=True):
    text: str = ""
    answer: _Whole | None = None


async def room(request: Request) -> Response:
    """The page."""
    return page(request, "talk", "talk.html", heading="Talk", front_door=view_of(request).fleet.front_door)


async def ask(request: Request) -> Response:
    """Answers with lines of JSON, :class:`Said`, as the answer is made."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_BODY:
            raise TooLarge(f"a question has at most {MAX_QUESTION} characters")
    question = msgspec.json.decode(body, type=Question)
    if not question.question.strip():
        raise InvalidArguments("nothing was asked")
    if len(question.question) > MAX_QUESTION:
        raise TooLarge(f"a question has at most {MAX_QUESTION} characters")
    answer = _answer(view_of(request), question, operator_of(request))
    return StreamingResponse(
        _lines(answer), media_type="application/x-ndjson", headers={"cache-control": "no-store"}
    )


async def _lines(answer: AsyncIterator[Said]) -> AsyncIterator[bytes]:
    async for said in answer:
        yield msgspec.json.encode(said) + b"\n"


async def _answer(view: HubView, question: Question, user: str) -> AsyncIterator[Said]:
    sentences: list[str] = []
    try:
        door = view.fleet.front_door
        if door is None:
            raise Unavailable(
                "this fleet names no front door", hint="name one with `front_door:` in the fleet file"
            )
        with deadline_scope(Deadline.after(ANSWER_S)):
            stream: Any = view.peer(str(door)).stream(
                "answer_stream", text=question.question, session=question.session, user=user
            )
        async with aclosing(stream) as items:
            async for item in items:
                piece = msgspec.convert(item, _Piece)
                if piece.text:
                    sentences.append(piece.text)
                    yield Said(text=" ".join(sentences))
                if piece.answer is not None:
                    yield _last(piece.answer)
    except TandemError as error:
        yield Said(error=str(error))
    except msgspec.ValidationError as error:
        yield Said(error=f"the front door answered what is no answer: {error}")


def _last(whole: _Whole) -> Said:
    total = whole.timings.get("total")
    return Said(
        text=whole.answer, turn=whole.turn, intent=whole.intent, total_s="" if total is None else span(total)
    )
