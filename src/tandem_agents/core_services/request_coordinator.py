"""Front desk of the assistant."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Iterable
from typing import Any, TypeVar

from msgspec import Struct, structs

from tandem.agent import Agent, Issue, action, every
from tandem.api import start_turn
from tandem.core import clock
from tandem.core.deadline import deadline_scope
from tandem.core.errors import Cancelled, TandemError
from tandem.core.ids import new_id
from tandem_agents.core_services.alarm_desk import AlarmDesk
from tandem_agents.core_services.announcements import Announcements
from tandem_agents.core_services.contracts import AlarmRang, Announcement, Answer, Source, TalkPiece
from tandem_agents.core_services.conversation import converse
from tandem_agents.core_services.follow_ups import FollowUps
from tandem_agents.core_services.memory_skill import MemorySkill
from tandem_agents.core_services.requests import check_text, rank
from tandem_agents.core_services.routing import Router
from tandem_agents.core_services.timer_skill import TimerSkill, ring_words
from tandem_agents.core_services.turn import Turn, timed
from tandem_agents.infrastructure.contracts import Alarm, AlarmKind, Scheduling
from tandem_agents.language_processing.calendar_words import local
from tandem_agents.language_processing.contracts import (
    NLU,
    Analysis,
    Chitchat,
    LanguageLabels,
    Orchestration,
    Reply,
    Speaking,
    Wording,
)
from tandem_agents.language_processing.phrasebook import render
from tandem_agents.memory_services.contracts import MemoryStore
from tandem_agents.memory_system.contracts import Conversations, Interaction
from tandem_agents.slots import PrioritySlots

T = TypeVar("T")


class RequestCoordinator(Agent):
    """Takes every request, understands it, has the right worker do it, and returns the answer to who asked.

    Requests wait in a bounded line by priority. "Stop" never waits: it empties the line and ends what is being
    thought about, but undoes nothing that was done. Each request is one turn, whose trace shows every hop.
    """

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        parallel: int = 4
        queue_limit: int = 100

    settings: Settings

    async def start(self) -> None:
        self._slots = PrioritySlots(self.settings.parallel, self.settings.queue_limit)
        self._thinking: dict[asyncio.Task[Any], str] = {}
        self._follow_ups = FollowUps()
        self._announcements = Announcements()
        self._desk = AlarmDesk(self.peer(Scheduling), self._announce, self.log)
        await self._desk.open(self.state_dir / "alarms.db")
        self._router = Router(
            TimerSkill(self._desk),
            MemorySkill(self.peer(MemoryStore, "MemoryClient"), self.peer(Conversations)),
            self.peer(Chitchat),
            self.peer(Orchestration),
        )
        self.spawn(self._desk.watch(), "alarms")
        self.spawn(self._desk.share(), "sharing alarms with pc2")

    async def stop(self) -> None:
        await self._desk.close()

    async def check(self) -> Iterable[Issue]:
        if self._desk.away:
            return [Issue(f"alarms are kept on {self.machine} only: {self._desk.away}", fix="tandem status")]
        return ()

    @action
    async def ask(
        self,
        text: str,
        session: str = "main",
        user: str = "you",
        source: Source = "text",
        urgent: float = 0.0,
    ) -> Answer:
        """Understand, do, and answer."""
        check_text(text)
        turn_id = new_id()
        with start_turn(turn_id, session=session, source=source):
            return await self._take_turn(turn_id, text, session, user, source, urgent, {})

    @action
    async def converse(
        self, source: str, session: str = "main", user: str = "you", wake: bool = False, whole: bool = False
    ) -> AsyncGenerator[TalkPiece, None]:
        """Listen, answer, speak."""
        turn_id = new_id()

        async def answer(text: str, timings: dict[str, float]) -> Answer:
            return await self._take_turn(turn_id, text, session, user, "voice", 0.0, timings)

        with start_turn(turn_id, session=session, source="voice"):
            turn = converse(self, answer, source, session, wake=wake, whole=whole)
            async with contextlib.aclosing(turn) as pieces:
                async for piece in pieces:
                    yield piece

    async def _take_turn(
        self,
        turn_id: str,
        text: str,
        session: str,
        user: str,
        source: Source,
        urgent: float,
        timings: dict[str, float],
    ) -> Answer:
        with timed(timings, "total"):
            analysis = await self._understand(text, session, timings)
            turn = Turn(turn_id, text, session, user, source, analysis, timings)
            reply = await self._answer(turn, urgent)
            with turn.stage("respond"):
                worded = await self._word(reply, turn)
        self.log.info("turn %s: %s in %.3f s", turn_id, turn.intent, timings["total"])
        self._remember(turn, worded.text)
        return Answer(
            answer=worded.text, intent=turn.intent, turn=turn_id, timings=timings, language=worded.language
        )

    @action(name="stop")
    async def interrupt(self, session: str = "") -> int:
        """Drop what waits and end what is being thought about."""
        dropped = self._slots.clear("stopped")
        ended = [task for task, owner in self._thinking.items() if session in ("", owner)]
        for task in ended:
            task.cancel()
        return dropped + len(ended)

    @action
    async def announcements(self) -> AsyncGenerator[Announcement, None]:
        """What is said unasked, from now on."""
        async with contextlib.aclosing(self._announcements.listen()) as heard:
            async for announcement in heard:
                yield announcement

    @action(idempotent=True)
    async def list_alarms(self, kind: AlarmKind | None = None) -> list[Alarm]:
        """What is still to ring."""
        return await self._desk.pending(kind)

    @action(idempotent=True)
    async def ring(self, alarms: list[Alarm]) -> list[Alarm]:
        """Ring those that have not rung yet."""
        return await self._desk.offered(alarms)

    @every(hours=6)
    async def tidy(self) -> None:
        await self._desk.tidy()

    async def _understand(self, text: str, session: str, timings: dict[str, float]) -> Analysis:
        with timed(timings, "language"):
            guess = await self.peer(LanguageLabels).label(text)
        with timed(timings, "nlu"):
            analysis = await self.peer(NLU).analyze(text, guess.language)
        return self._follow_ups.complete(session, analysis, clock.wall())

    async def _answer(self, turn: Turn, urgent: float) -> Reply:
        if turn.analysis.intent == "stop":
            turn.intent = "stop"
            await self.interrupt(turn.session)
            return turn.say("stopped")
        waiting = sum(self._slots.waiting().values())
        place = rank(turn.source, urgent, waiting, self.settings.queue_limit)
        async with contextlib.AsyncExitStack() as held:
            try:
                with turn.stage("queue"):
                    await held.enter_async_context(self._slots.place(place))
            except Cancelled:
                turn.intent = turn.analysis.intent
                return turn.say("interrupted")
            reply = await self._interruptible(turn)
        if turn.analysis.slots.missing:
            self._follow_ups.ask(turn.session, turn.analysis, clock.wall())
        return reply

    async def _interruptible(self, turn: Turn) -> Reply:
        """Only thinking and talking may be interrupted; an action with an effect is seen through."""
        if turn.analysis.intent not in ("question", "detail", "small_talk"):
            return await self._router.route(turn)
        thinking = asyncio.ensure_future(self._router.route(turn))
        self._thinking[thinking] = turn.session
        try:
            return await thinking
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                thinking.cancel()
                raise
            return turn.say("interrupted")
        finally:
            del self._thinking[thinking]

    async def _word(self, reply: Reply, turn: Turn) -> Wording:
        """The Responder's words; our own, from the same phrasebook, while it is away."""
        try:
            return await self.peer(Speaking).respond(reply, turn.user)
        except TandemError as error:
            self.log.warning("worded without the Responder: %s", error)
            return Wording(render(reply, local(clock.wall())), reply.language)

    def _remember(self, turn: Turn, answer: str) -> None:
        """Append the turn to the session beside the answer; it must not delay it."""
        if turn.intent == "forget":
            answer = "Forgotten."
        interaction = Interaction(
            said=turn.text, answer=answer, intent=turn.intent, turn=turn.id, user=turn.user, at=clock.wall()
        )
        self.spawn(self._unhurried(self._append(turn.session, interaction)), f"remembering turn {turn.id}")

    async def _append(self, session: str, interaction: Interaction) -> None:
        try:
            await self.peer(Conversations).add_interaction(session, interaction)
        except TandemError as error:
            self.log.warning("turn %s is not in the session memory: %s", interaction.turn, error)

    async def _announce(self, alarm: Alarm, late_s: float) -> None:
        """Make an alarm heard: by who listens, in the log, and as an event."""
        said = render(ring_words(alarm, late_s), local(clock.wall()))
        heard_by = self._announcements.announce(
            Announcement(
                id=alarm.id, text=said, at=clock.wall(), session=alarm.session, user=alarm.user,
                language="fil" if alarm.language == "fil" else "en",
            )
        )  # fmt: skip
        self.log.info("%s %s rang, heard by %d: %s", alarm.kind, alarm.id, heard_by, said)
        event = AlarmRang(alarm=structs.replace(alarm, state="rung"), text=said, late_s=late_s)
        self.spawn(self._unhurried(self._publish_ring(event)), f"announcing {alarm.id}")

    async def _publish_ring(self, event: AlarmRang) -> None:
        try:
            await self.publish(event)
        except TandemError as error:
            self.log.warning("alarm %s is not on the event bus: %s", event.alarm.id, error)

    async def _unhurried(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside a call without its deadline, which ends with the answer."""
        with deadline_scope(None):
            await work
