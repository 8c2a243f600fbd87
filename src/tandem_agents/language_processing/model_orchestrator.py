"""The brain behind open questions."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec import Struct, structs

from tandem.agent import Agent, action
from tandem.core import clock
from tandem.core.deadline import deadline_scope, effective_deadline
from tandem.core.errors import TandemError, Unavailable
from tandem_agents.core_services.model_contracts import Models
from tandem_agents.core_services.turn import timed
from tandem_agents.engines.kinds import ChatChunk, ChatOptions, Message, certainty
from tandem_agents.engines.text import SentenceSplitter
from tandem_agents.language_processing.calendar_words import local
from tandem_agents.language_processing.code_check import python_error
from tandem_agents.language_processing.contracts import Reply, Task, TaskKind, TaskResult
from tandem_agents.language_processing.doubt import (
    Limits,
    doubted,
    echoed,
    limits_of,
    pretended,
    sentences_end,
)
from tandem_agents.language_processing.phrasebook import render
from tandem_agents.language_processing.prompts import OPTIONS, conversation, relevant_turns, system_prompt
from tandem_agents.language_processing.task_kinds import classify
from tandem_agents.memory_services.contracts import MemoryStore
from tandem_agents.memory_system.contracts import Conversations, Interaction

CONTEXT_BUDGET_S = 1.5
MAX_FIXES = 2


def _instead(task: Task, kind: TaskKind, answer: str, sure: float | None, limits: Limits | None) -> Reply | None:
    """What is said instead of an answer that must not be passed on as it is."""
    doubt = doubted(answer, sure, limits, task.language) if limits else None
    echo = echoed(task.text, answer, task.language) if kind == "explanation" else None
    return echo or doubt or pretended(task.text, answer, task.language)


class ModelOrchestrator(Agent):
    """Decides what kind of work a question is, gathers what is remembered, and drives the right model to an answer.

    Code it answers with is parsed, and given back to the model with the parser's words when it is no Python.
    """

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        name: str = "Tandem"
        remembered: int = 4
        context_tokens: int = 300

    settings: Settings

    @action
    async def execute_task(self, task: Task) -> TaskResult:
        """Classify, gather context, and answer."""
        timings: dict[str, float] = {}
        kind = task.kind or classify(task.text)
        with timed(timings, "context"):
            messages, memories = await self._prepare(task, kind)
        limits = limits_of(kind, task.language)
        with timed(timings, "model"):
            text, model, sure = await self._generate(messages, kind, limits is not None)
            if kind == "code":
                text = await self._fixed(messages, text)
        instead = _instead(task, kind, text, sure, None if memories else limits)
        return TaskResult(
            text=self._words(instead) if instead else text, kind=kind, model=model, memories=memories, certainty=sure,
            timings=timings,
        )  # fmt: skip

    @action
    async def stream_task(self, task: Task) -> AsyncGenerator[str, None]:
        """The answer, piece by piece. Its first sentence is held until it is known whether it may be said."""
        kind = task.kind or classify(task.text)
        messages, memories = await self._prepare(task, kind)
        limits = None if memories else limits_of(kind, task.language)
        options = structs.replace(OPTIONS[kind], measure="certainty") if limits else OPTIONS[kind]
        async with aclosing(self.peer(Models).generate(messages, options)) as chunks:
            if kind != "code":
                async for text in self._judged(chunks, task, kind, limits):
                    yield text
                return
            async for chunk in chunks:
                if chunk.text:
                    yield chunk.text

    async def _judged(
        self, chunks: AsyncGenerator[ChatChunk, None], task: Task, kind: TaskKind, limits: Limits | None
    ) -> AsyncGenerator[str, None]:
        """The answer in whole sentences, or what is said instead when the first one is a guess or a pretence."""
        held, words = "", SentenceSplitter()
        probabilities: list[float] = []
        done: list[str] = []
        async for chunk in chunks:
            held += chunk.text
            probabilities.extend(chunk.log_probabilities)
            done += words.push(chunk.text)
            # An explanation may begin by saying the question again.
            if done and not (kind == "explanation" and echoed(task.text, " ".join(done), task.language)):
                first = " ".join(done)
                break
        else:
            first = held.strip()
        instead = _instead(task, kind, first, certainty(probabilities), limits)
        if instead is not None:
            yield self._words(instead)
            return
        yield held
        tail, is_cut = "", False
        async for chunk in chunks:
            tail, is_cut = tail + chunk.text, is_cut or chunk.finish == "length"
            if end := sentences_end(tail):
                yield tail[:end]
                tail = tail[end:]
        # Half a sentence would be said as if it were one.
        if tail and not is_cut:
            yield tail

    def _words(self, reply: Reply) -> str:
        return render(reply, local(clock.wall()))

    @action
    async def generate_text(self, prompt: str, system: str = "", max_tokens: int = 256) -> str:
        """Plain completion."""
        messages = [Message("system", system)] if system else []
        messages.append(Message("user", prompt))
        completion = await self.peer(Models).generate_text(messages, ChatOptions(max_tokens=max_tokens))
        return completion.text.strip()

    async def _prepare(self, task: Task, kind: TaskKind) -> tuple[list[Message], list[str]]:
        turns, remembered = await self._gather(task)
        now = local(clock.wall())
        told = [text for _, text in remembered]
        system = system_prompt(self.settings.name, now, task.language, kind, task.text, told)
        return conversation(system, relevant_turns(turns, task.text), task.text), [
            memory_id for memory_id, _ in remembered
        ]

    async def _gather(self, task: Task) -> tuple[list[Interaction], list[tuple[str, str]]]:
        """Recent turns and related memories; without them an answer is poorer, not impossible."""
        turns: list[Interaction] = []
        remembered: list[tuple[str, str]] = []
        with deadline_scope(effective_deadline(CONTEXT_BUDGET_S)):
            try:
                turns = await self.peer(Conversations).get_context(task.session, self.settings.context_tokens)
                memory = self.peer(MemoryStore, "MemoryClient")
                # The embedding model knows English; to it all Filipino sentences are alike.
                search = memory.semantic_search if task.language == "en" else memory.search_memory
                found = await search(task.text, self.settings.remembered * 3)
            except TandemError as error:
                self.log.warning("answering without memories: %s", error)
            else:
                told = [hit.memory for hit in found.hits if hit.memory.kind in ("fact", "note")]
                remembered = [(memory.id, memory.content) for memory in told[: self.settings.remembered]]
        return turns, remembered

    async def _generate(
        self, messages: list[Message], kind: TaskKind, doubting: bool = False
    ) -> tuple[str, str, float | None]:
        models = self.peer(Models)
        chosen = await models.select_model(kind)
        options = structs.replace(OPTIONS[kind], measure="certainty") if doubting else OPTIONS[kind]
        completion = await models.generate_text(messages, options, chosen.id)
        text = completion.text.strip()
        if completion.finish == "length" and kind != "code":
            text = text[: sentences_end(text) or None]
        if not text:
            raise Unavailable("the language model had nothing to say", hint="ask again in other words")
        return text, chosen.id, completion.certainty if doubting else None

    async def _fixed(self, messages: list[Message], text: str) -> str:
        for _ in range(MAX_FIXES):
            error = python_error(text)
            if not error:
                break
            again = [
                *messages,
                Message("assistant", text),
                Message("user", f"That does not parse: {error}. Correct it."),
            ]
            text, _, _ = await self._generate(again, "code")
        return text
