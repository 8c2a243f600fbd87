"""Front desk of the assistant."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import aclosing
from typing import Any

from msgspec import Struct, structs

from tandem.agent import Agent, Issue, action, every
from tandem.api import AnySpan, start_turn
from tandem.core import clock
from tandem.core.deadline import deadline_scope
from tandem.core.errors import Cancelled, TandemError
from tandem.core.ids import new_id
from tandem_agents.audio_interface.contracts import Reading
from tandem_agents.core_services.alarm_desk import AlarmDesk
from tandem_agents.core_services.announcements import Announcements
from tandem_agents.core_services.contracts import (
    AlarmRang,
    Announcement,
    Answer,
    Piece,
    Request,
    Source,
    Suggestion,
    TalkPiece,
)
from tandem_agents.core_services.conversation import Conversation
from tandem_agents.core_services.follow_ups import FollowUps
from tandem_agents.core_services.habits import HABITUAL, Habits
from tandem_agents.core_services.memory_skill import MemorySkill
from tandem_agents.core_services.requests import check_text, rank
from tandem_agents.core_services.routing import Router
from tandem_agents.core_services.senses import Look, looking_at, transcript_of
from tandem_agents.core_services.timer_skill import TimerSkill, ring_words
from tandem_agents.core_services.turn import Turn
from tandem_agents.infrastructure.contracts import Alarm, AlarmKind, Scheduling
from tandem_agents.language_processing.calendar_words import local
from tandem_agents.language_processing.contracts import (
    NLU,
    Analysis,
    Chitchat,
    Language,
    LanguageLabels,
    Orchestration,
    Reply,
    Speaking,
    Wording,
)
from tandem_agents.language_processing.phrasebook import render
from tandem_agents.memory_services.contracts import MemoryStore
from tandem_agents.memory_system.contracts import UNANSWERED, Conversations, Interaction
from tandem_agents.slots import PrioritySlots
from tandem_agents.storage import Worker

UNREAD = 0.3
"""Confidence of an utterance that no rule of the intent table claims."""


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
        self._streaming: dict[str, str] = {}
        self._follow_ups = FollowUps()
        self._announcements = Announcements()
        self._desk = AlarmDesk(self.peer(Scheduling), self._announce, self.log)
        await self._desk.open(self.state_dir / "alarms.db", self.epoch)
        self._keeper = Worker("habits")
        self._habits = await self._keeper(Habits, self.state_dir / "habits.db", self.epoch)
        chitchat = self.peer(Chitchat)
        self._router = Router(
            TimerSkill(self._desk),
            MemorySkill(self.peer(MemoryStore, "MemoryClient"), self.peer(Conversations), chitchat),
            chitchat,
            self.peer(Orchestration),
        )
        self.spawn(self._desk.watch(), "alarms")
        self.spawn(self._desk.share(), "sharing alarms with pc2")

    async def stop(self) -> None:
        await self._desk.close()
        await self._keeper(self._habits.close)
        self._keeper.close()

    async def check(self) -> Iterable[Issue]:
        away = self._desk.trouble
        if away is None:
            return ()
        return [
            Issue(f"alarms are kept on {self.machine} only: {away.message}", fix=away.hint or "tandem status")
        ]

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
        return await self._ask(self._begin(text, session, user, source), urgent)

    @action
    async def submit(self, request: Request) -> Answer:
        """A request of any type."""
        source: Source = "voice" if request.type == "audio" else "text"
        turn = self._begin(request.text, request.session, request.user, source)
        if request.type == "text":
            return await self._ask(turn, request.urgent)
        if request.type == "vision":
            return await self._ask(turn, request.urgent, looking_at(self, request.image))
        with turn.stage("hear"):
            turn.text = check_text(await transcript_of(self, request))
        answer = await self._ask(turn, request.urgent)
        return structs.replace(answer, transcript=turn.text)

    @action
    async def get_suggestion(self, user: str = "you") -> Suggestion | None:
        """What this user usually asks at this time of day."""
        return await self._keeper(self._habits.suggest, user, clock.wall())

    @action
    async def answer_stream(
        self, text: str, session: str = "main", user: str = "you", source: Source = "text"
    ) -> AsyncGenerator[Piece, None]:
        """The answer sentence by sentence as it is made."""
        turn = self._begin(text, session, user, source)
        with start_turn(turn.id, session=session, source=source) as turn.span:
            async with aclosing(self._in_pieces(turn)) as pieces:
                async for piece in pieces:
                    yield piece

    @action
    async def converse(
        self, source: str, session: str = "main", user: str = "you",
        wake: bool = False, whole: bool = False, since_s: float = 0.0,
    ) -> AsyncGenerator[TalkPiece, None]:  # fmt: skip
        """Listen, answer, speak."""
        turn_id = new_id()
        spoken: AnySpan | None

        def answer(text: str) -> AsyncGenerator[Piece, None]:
            turn = self._begin(text, session, user, "voice", turn_id)
            turn.span = spoken
            return self._in_pieces(turn)

        conversation = Conversation(self, answer, session)
        with contextlib.ExitStack() as turn_lasts:

            def begin() -> AnySpan:
                turn_lasts.enter_context(span := start_turn(turn_id, session=session, source="voice"))
                return span

            # Waiting to be called may take all day, and is no part of the turn.
            spoken = None if wake else begin()
            async with aclosing(conversation.hold(source, wake=wake, whole=whole, since_s=since_s)) as pieces:
                async for piece in pieces:
                    spoken = spoken or begin()
                    yield piece

    @action(name="stop")
    async def interrupt(self, session: str = "") -> int:
        """Drop what waits and end what is being thought about."""
        dropped = self._slots.clear("stopped")
        ended = [task for task, owner in self._thinking.items() if session in ("", owner)]
        for task in ended:
            task.cancel()
        silenced = [turn for turn, owner in self._streaming.items() if session in ("", owner)]
        for turn in silenced:
            del self._streaming[turn]
        self.spawn(self._unhurried(self._hush(session)), "falling silent")
        return dropped + len(ended) + len(silenced)

    @action
    async def announcements(self) -> AsyncGenerator[Announcement, None]:
        """What is said unasked, from now on."""
        async with aclosing(self._announcements.listen()) as heard:
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

    def _begin(self, text: str, session: str, user: str, source: Source, turn_id: str = "") -> Turn:
        nothing_yet = Analysis(intent="empty", confidence=0, text="")
        return Turn(turn_id or new_id(), check_text(text), session, user, source, nothing_yet)

    async def _in_pieces(self, turn: Turn) -> AsyncGenerator[Piece, None]:
        """The sentences of the answer as they are made, then the answer as a whole."""
        said: list[str] = []
        language: Language = "en"
        asked = clock.monotonic()
        self._streaming[turn.id] = turn.session
        try:
            with turn.stage("total"):
                await self._understand(turn)
                async with aclosing(self._answer_in_parts(turn)) as parts:
                    async for part in parts:
                        worded = await self._word(part, turn)
                        turn.timings.setdefault("first_words", clock.monotonic() - asked)
                        said.append(worded.text)
                        language = worded.language
                        yield Piece(text=worded.text, voice=worded.voice, speed=worded.speed)
        finally:
            self._streaming.pop(turn.id, None)
            turn.label()
            answer = self._finish(turn, Wording(" ".join(said), language))
        yield Piece(answer=answer)

    def _finish(self, turn: Turn, worded: Wording) -> Answer:
        self.log.info("turn %s: %s in %.3f s", turn.id, turn.intent, turn.timings["total"])
        self._remember(turn, worded.text)
        if turn.intent in HABITUAL and turn.answered:
            self.spawn(self._keeper(self._habits.note, turn.user, turn.analysis.text, clock.wall()), "habits")
        return Answer(
            answer=worded.text,
            intent=turn.intent,
            turn=turn.id,
            timings=turn.timings,
            language=worded.language,
        )

    async def _ask(self, turn: Turn, urgent: float, skill: Look | None = None) -> Answer:
        """The whole turn; ``skill`` answers it instead of the worker its intent names."""
        with start_turn(turn.id, session=turn.session, source=turn.source) as turn.span, turn.stage("total"):
            await self._understand(turn)
            reply = await (skill(turn) if skill is not None else self._answer(turn, urgent))
            worded = await self._word(reply, turn)
            turn.label()
        return self._finish(turn, worded)

    async def _understand(self, turn: Turn) -> None:
        with turn.stage("language"):
            guess = await self.peer(LanguageLabels).label(turn.text)
        with turn.stage("nlu"):
            analysis = await self.peer(NLU).analyze(turn.text, guess.language)
        analysis = self._follow_ups.complete(turn.session, analysis, clock.wall())
        if analysis.intent == "question" and analysis.confidence <= UNREAD and guess.confidence == 0:
            # No rule and not one known word: neither English nor Filipino, or no words at all.
            analysis = structs.replace(analysis, intent="unclear")
        turn.analysis = analysis
        turn.intent = turn.analysis.intent

    async def _answer(self, turn: Turn, urgent: float) -> Reply:
        if turn.analysis.intent == "stop":
            return await self._stopped(turn)
        async with contextlib.AsyncExitStack() as held:
            try:
                await self._wait_in_line(turn, urgent, held)
            except Cancelled:
                return turn.say("interrupted")
            reply = await self._interruptible(turn)
        self._ask_back(turn)
        return reply

    async def _answer_in_parts(self, turn: Turn) -> AsyncGenerator[Reply, None]:
        if turn.analysis.intent == "stop":
            del self._streaming[turn.id]
            yield await self._stopped(turn)
            return
        async with contextlib.AsyncExitStack() as held:
            try:
                await self._wait_in_line(turn, 0.0, held)
            except Cancelled:
                yield turn.say("interrupted")
                return
            parts = await held.enter_async_context(aclosing(self._router.stream(turn)))
            async for part in parts:
                if turn.id not in self._streaming:
                    return
                yield part
        self._ask_back(turn)

    async def _stopped(self, turn: Turn) -> Reply:
        await self.interrupt(turn.session)
        return turn.say("stopped")

    async def _wait_in_line(self, turn: Turn, urgent: float, held: contextlib.AsyncExitStack) -> None:
        waiting = sum(self._slots.waiting().values())
        place = rank(turn.source, urgent, waiting, self.settings.queue_limit)
        with turn.stage("queue"):
            await held.enter_async_context(self._slots.place(place))

    def _ask_back(self, turn: Turn) -> None:
        if turn.analysis.slots.missing:
            self._follow_ups.ask(turn.session, turn.analysis, clock.wall())

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
            turn.answered = False
            return turn.say("interrupted")
        finally:
            del self._thinking[thinking]

    async def _word(self, reply: Reply, turn: Turn) -> Wording:
        """The Responder's words; our own, from the same phrasebook, while it is away."""
        with turn.stage("respond"):
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
            said=turn.text,
            answer=answer,
            intent=turn.intent if turn.answered else UNANSWERED,
            turn=turn.id,
            user=turn.user,
            at=clock.wall(),
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
        self.spawn(self._unhurried(self._say_aloud(said, alarm.session)), f"saying {alarm.id} aloud")

    async def _publish_ring(self, event: AlarmRang) -> None:
        try:
            await self.publish(event)
        except TandemError as error:
            self.log.warning("alarm %s is not on the event bus: %s", event.alarm.id, error)

    async def _say_aloud(self, words: str, session: str) -> None:
        try:
            heard = await self.peer(Reading).announce(words, session)
        except TandemError as error:
            self.log.warning("not said through the loudspeaker: %s", error)
        else:
            self.log.info("said through the loudspeaker" if heard else "there is no loudspeaker to say it")

    async def _hush(self, session: str) -> None:
        with contextlib.suppress(TandemError):
            await self.peer(Reading).stop(session)

    async def _unhurried(self, work: Coroutine[Any, Any, None]) -> None:
        """Run beside a call without its deadline, which ends with the answer."""
        with deadline_scope(None):
            await work
