"""The brain behind open questions."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from msgspec import Struct

from tandem.agent import Agent, action
from tandem.core import clock
from tandem.core.deadline import deadline_scope, effective_deadline
from tandem.core.errors import TandemError, Unavailable
from tandem_agents.core_services.contracts import Models
from tandem_agents.core_services.turn import timed
from tandem_agents.engines.kinds import ChatOptions, Message
from tandem_agents.language_processing.calendar_words import local
from tandem_agents.language_processing.code_check import python_error
from tandem_agents.language_processing.contracts import Task, TaskKind, TaskResult
from tandem_agents.language_processing.prompts import OPTIONS, conversation, relevant_turns, system_prompt
from tandem_agents.language_processing.task_kinds import classify
from tandem_agents.memory_services.contracts import MemoryStore
from tandem_agents.memory_system.contracts import Conversations, Interaction

CONTEXT_BUDGET_S = 1.5
MAX_FIXES = 2


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
        with timed(timings, "model"):
            text, model = await self._generate(messages, kind)
            if kind == "code":
                text = await self._fixed(messages, text)
        return TaskResult(text=text, kind=kind, model=model, memories=memories, timings=timings)

    @action
    async def stream_task(self, task: Task) -> AsyncGenerator[str, None]:
        """The answer, piece by piece."""
        kind = task.kind or classify(task.text)
        messages, _ = await self._prepare(task, kind)
        async with aclosing(self.peer(Models).generate(messages, OPTIONS[kind])) as chunks:
            async for chunk in chunks:
                if chunk.text:
                    yield chunk.text

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
        system = system_prompt(self.settings.name, now, task.language, kind, [text for _, text in remembered])
        return conversation(system, relevant_turns(turns), task.text), [
            memory_id for memory_id, _ in remembered
        ]

    async def _gather(self, task: Task) -> tuple[list[Interaction], list[tuple[str, str]]]:
        """Recent turns and related memories; without them an answer is poorer, not impossible."""
        turns: list[Interaction] = []
        remembered: list[tuple[str, str]] = []
        with deadline_scope(effective_deadline(CONTEXT_BUDGET_S)):
            try:
                turns = await self.peer(Conversations).get_context(task.session, self.settings.context_tokens)
                found = await self.peer(MemoryStore, "MemoryClient").semantic_search(
                    task.text, self.settings.remembered * 3
                )
            except TandemError as error:
                self.log.warning("answering without memories: %s", error)
            else:
                told = [hit.memory for hit in found.hits if hit.memory.kind in ("fact", "note")]
                remembered = [(memory.id, memory.content) for memory in told[: self.settings.remembered]]
        return turns, remembered

    async def _generate(self, messages: list[Message], kind: TaskKind) -> tuple[str, str]:
        models = self.peer(Models)
        chosen = await models.select_model(kind)
        completion = await models.generate_text(messages, OPTIONS[kind], chosen.id)
        text = completion.text.strip()
        if not text:
            raise Unavailable("the language model had nothing to say", hint="ask again in other words")
        return text, chosen.id

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
            text, _ = await self._generate(again, "code")
        return text
