"""A front door that needs no model: it repeats what it hears, with a helper's help."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from msgspec import Struct

from tandem.agent import Agent, action
from tandem.api import start_turn
from tandem.core.ids import new_id


class Whole(Struct, frozen=True):
    answer: str
    intent: str
    turn: str
    timings: dict[str, float]


class Piece(Struct, frozen=True):
    text: str = ""
    answer: Whole | None = None


class Helper(Agent):
    """Does the work."""

    @action(idempotent=True)
    async def repeat(self, text: str) -> str:
        self.log.warning("asked to repeat %s", text)
        return f"You said: {text}"

    @action
    async def fail(self, text: str) -> str:
        raise RuntimeError(text)


class FrontDesk(Agent):
    """Takes questions. What begins with ``fail`` goes wrong at the helper's."""

    @action
    async def answer_stream(self, text: str, session: str = "main", user: str = "you") -> AsyncGenerator[Piece, None]:
        turn = new_id()
        with start_turn(turn, session=session, user=user):
            yield Piece(text="Well.")
            helper = self.peer("Helper")
            said = await (helper.fail(text=text) if text.startswith("fail") else helper.repeat(text=text))
            yield Piece(text=said)
        yield Piece(answer=Whole(f"Well. {said}", "repeat", turn, {"total": 0.01}))
