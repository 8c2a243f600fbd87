"""``tandem talk --follow``: an assistant that stays and listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import datetime
from pathlib import Path

import msgspec
import typer

from tandem.api import Connection, connect
from tandem.core.deadline import deadline_scope
from tandem.core.errors import TandemError
from tandem_agents.commands.spoken_turn import ANSWER_WITHIN_S, LISTENING, Listening, NothingHeard
from tandem_agents.commands.talk import TalkResult
from tandem_agents.commands.talking import AGAIN_S, Conversation, in_words, read
from tandem_agents.core_services.contracts import FrontDoor
from tandem_agents.engines.kinds import Audio

CALLING = 'Listening for "hey Jarvis" (Ctrl-C ends it) …'
FOR_THE_PHRASE = Listening(wake=True, prompt=CALLING)
FOR_AN_ANSWER = Listening(wake=False, prompt=LISTENING, patience_s=ANSWER_WITHIN_S)


async def stay(
    conversation: Conversation, file: Path | None, fleet: str | None, budget_s: float, *, as_json: bool
) -> None:
    """Answer the request in ``file``, if given, then whatever follows the wake phrase, until cancelled.

    What is said unasked is printed; the fleet itself says it aloud. A part of the fleet that goes away, even the front
    door, is waited for. Raises :class:`TandemError` only when the fleet file or ``file`` cannot be used.
    """
    sound = None if file is None else read(file)
    async with connect(fleet, budget_s=budget_s) as connection:
        company = _Company(conversation, connection, answer_s=budget_s, as_json=as_json)
        unasked = asyncio.create_task(company.tell_unasked())
        # Whoever asks for a timer of a second must not begin to listen after it.
        await asyncio.sleep(0)
        try:
            if sound is not None:
                await company.exchange(sound, Listening(wake=conversation.wake))
            with deadline_scope(None):
                await company.listen()
        finally:
            unasked.cancel()
            await asyncio.gather(unasked, return_exceptions=True)


class _Company:
    """What goes on between a person and the assistant while the command stays."""

    def __init__(self, conversation: Conversation, connection: Connection, *, answer_s: float, as_json: bool):
        self._conversation = conversation
        self._connection = connection
        self._answer_s = answer_s
        self._as_json = as_json

    def tell(self, result: TalkResult) -> None:
        """For programs, the turn as one line; people have read it while it was said."""
        if self._as_json:
            typer.echo(msgspec.json.encode(result).decode())

    async def exchange(self, sound: Audio | None, listening: Listening, answer_s: float | None = None) -> str:
        """A request and what interrupts its answer; returns what was said last. Raises as :meth:`Conversation.exchange`."""
        said = ""
        results = self._conversation.exchange(self._connection, sound, listening, answer_s=answer_s)
        async with aclosing(results):
            async for result in results:
                self.tell(result)
                said = result.answer
        return said

    async def listen(self) -> None:
        """One exchange after the other. What the assistant asks back may be answered without calling it again."""
        listening = FOR_THE_PHRASE

        async def once() -> None:
            nonlocal listening
            now, listening = listening, FOR_THE_PHRASE
            said = ""
            try:
                said = await self.exchange(None, now, self._answer_s)
            except NothingHeard:
                if now is FOR_THE_PHRASE:
                    # A microphone that ends by itself may do so again at once.
                    await asyncio.sleep(AGAIN_S)
            listening = FOR_AN_ANSWER if said.endswith("?") else FOR_THE_PHRASE

        await self._for_ever(once, "not listening")

    async def tell_unasked(self) -> None:
        """Print announcements, one a line."""
        door = self._connection.peer(FrontDoor, self._connection.front_door)

        async def hear() -> None:
            async for said in door.announcements():
                if self._as_json:
                    typer.echo(msgspec.json.encode(said).decode())
                else:
                    typer.echo(f"{datetime.fromtimestamp(said.at):%H:%M:%S}  {said.text}")

        with deadline_scope(None):
            await self._for_ever(hear, "timers that ring are not shown")

    async def _for_ever(self, work: Callable[[], Awaitable[None]], without: str) -> None:
        """Do ``work`` again and again; what it fails of is said once, and waited out."""
        trouble = ""
        while True:
            try:
                await work()
                trouble = ""
            except TandemError as error:
                if error.message != trouble:
                    trouble = error.message
                    self._conversation.remark(f"({without}: {in_words(error)})")
                await asyncio.sleep(AGAIN_S)
