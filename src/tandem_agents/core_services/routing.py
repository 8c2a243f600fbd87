"""Which worker answers which intent, and what is said when it cannot."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from tandem.core.errors import (
    Cancelled,
    DeadlineExceeded,
    Draining,
    InvalidArguments,
    Overloaded,
    TandemError,
    TooLarge,
    Unavailable,
    Unreachable,
)
from tandem_agents.core_services import quick_skills
from tandem_agents.core_services.memory_skill import MemorySkill
from tandem_agents.core_services.sentences import sentences
from tandem_agents.core_services.timer_skill import TimerSkill
from tandem_agents.core_services.turn import Turn
from tandem_agents.language_processing.contracts import Chitchat, Intent, Orchestration, Reply, Task

Skill = Callable[[Turn], Awaitable[Reply]]


class Router:
    """The table from intent to worker."""

    def __init__(self, timers: TimerSkill, memory: MemorySkill, chitchat: Chitchat, thinking: Orchestration):
        self._memory, self._chitchat, self._thinking = memory, chitchat, thinking
        self._table: dict[Intent, Skill] = {
            "time": quick_skills.tell_time,
            "date": quick_skills.tell_date,
            "days_until": quick_skills.tell_days_until,
            "sum": quick_skills.tell_sum,
            "convert": quick_skills.convert_units,
            "chance": quick_skills.try_luck,
            "spell": quick_skills.spell,
            "unclear": quick_skills.not_understood,
            "device": quick_skills.cannot,
            "unsupported": quick_skills.cannot,
            "help": quick_skills.tell_help,
            "empty": quick_skills.heard_nothing,
            "set_timer": timers.set,
            "set_alarm": timers.set,
            "set_reminder": timers.set,
            "list_timers": timers.list,
            "cancel_timer": timers.cancel,
            "extend_timer": timers.extend,
            "repeat": memory.repeat,
            "remember": memory.remember,
            "recall": memory.recall,
            "forget": memory.forget,
            "list_memories": memory.list,
            "greeting": self._small_talk,
            "thanks": self._small_talk,
            "goodbye": self._small_talk,
            "small_talk": self._small_talk,
            "statement": self._statement,
            "detail": self._open_question,
            "question": self._open_question,
        }

    async def route(self, turn: Turn) -> Reply:
        """Have the right worker answer; its failure becomes an honest reply."""
        turn.intent = turn.analysis.intent
        try:
            return await self._table[turn.analysis.intent](turn)
        except TandemError as error:
            return await self._explain(turn, error)

    async def stream(self, turn: Turn) -> AsyncGenerator[Reply, None]:
        """The same reply in parts: sentence by sentence for what a model says, in one for everything else."""
        turn.intent = turn.analysis.intent
        if turn.analysis.intent not in ("question", "detail"):
            yield await self.route(turn)
            return
        told = await self._told_earlier(turn)
        if told is not None:
            yield told
            return
        task = Task(text=turn.text, session=turn.session, language=turn.language)
        try:
            async with aclosing(sentences(self._thinking.stream_task(task))) as said:
                async for sentence in said:
                    yield Reply(text=sentence, language=turn.language)
        except TandemError as error:
            yield await self._explain(turn, error)

    async def _small_talk(self, turn: Turn) -> Reply:
        with turn.stage("chitchat"):
            analysis = turn.analysis
            said = await self._chitchat.chitchat(analysis.text, turn.user, turn.language, analysis.intent)
        return Reply(text=said, language=turn.language)

    async def _statement(self, turn: Turn) -> Reply:
        """Something known or corrected, else talk."""
        with turn.stage("memory"):
            about_known = await self._memory.told(turn)
        if about_known is not None:
            turn.intent = "remember" if about_known.phrase == "corrected" else turn.intent
            return about_known
        return await self._small_talk(turn)

    async def _open_question(self, turn: Turn) -> Reply:
        """Something told earlier, else the language model's answer."""
        told = await self._told_earlier(turn)
        if told is not None:
            return told
        with turn.stage("thinking"):
            done = await self._thinking.execute_task(
                Task(text=turn.text, session=turn.session, language=turn.language)
            )
        turn.timings.update({f"thinking.{stage}": seconds for stage, seconds in done.timings.items()})
        return Reply(text=done.text, language=turn.language)

    async def _told_earlier(self, turn: Turn) -> Reply | None:
        if not turn.analysis.slots.subject:
            return None
        with turn.stage("memory"):
            # Where, when and who are mostly asked about one's own things; what is mostly asked about the world.
            own = turn.analysis.slots.kind in ("where", "when", "who")
            told = await self._memory.known(turn, "mentions" if own else "same")
        if told is not None:
            turn.intent = "recall"
        return told

    async def _explain(self, turn: Turn, error: TandemError) -> Reply:
        turn.answered = False
        match error:
            case Cancelled():
                return turn.say("interrupted")
            case DeadlineExceeded():
                return turn.say("too_slow")
            case InvalidArguments() | TooLarge():
                return turn.say("refused", reason=str(error))
            case Unavailable() if turn.analysis.intent == "statement":
                return turn.say("heard")
            case Unavailable() if turn.analysis.intent in ("question", "small_talk", "detail"):
                return await self._without_model(turn, error)
            case Unavailable():
                return turn.say("refused", reason=str(error))
            case Unreachable() | Draining() | Overloaded():
                return turn.say("unreachable", reason=error.message)
            case _:
                raise error

    async def _without_model(self, turn: Turn, error: Unavailable) -> Reply:
        """Open questions need a model; what is remembered about them needs none."""
        mend = error.message if not error.hint else f"To get one, run: {error.hint}"
        if turn.language == "fil" and error.hint:
            mend = f"Para magkaroon, patakbuhin ang: {error.hint}"
        mentions = await self._memory.mentions(turn)
        if mentions:
            turn.intent = "recall"
            return turn.say("no_model_but", *mentions, mend=mend)
        return turn.say("no_model", mend=mend)
