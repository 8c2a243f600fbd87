"""A household in memory: every text agent on its machine, with a made-up language model."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from tandem.agent.testing import Fleet, Member, fleet_of
from tandem.core.errors import Unavailable
from tandem_agents.audio_interface.streaming_language_analyzer import StreamingLanguageAnalyzer
from tandem_agents.core_services.model_manager_suite import ModelManagerSuite
from tandem_agents.core_services.request_coordinator import RequestCoordinator
from tandem_agents.engines.kinds import ChatChunk, ChatOptions, LanguageModel, Message, Usage
from tandem_agents.infrastructure.async_processor import AsyncProcessor
from tandem_agents.infrastructure.task_scheduler import TaskScheduler
from tandem_agents.language_processing.chitchat_agent import ChitchatAgent
from tandem_agents.language_processing.model_orchestrator import ModelOrchestrator
from tandem_agents.language_processing.nlu_agent import NLUAgent
from tandem_agents.language_processing.responder import Responder
from tandem_agents.memory_services.memory_orchestrator_service import MemoryOrchestratorService
from tandem_agents.memory_system.memory_client import MemoryClient
from tandem_agents.memory_system.session_memory_agent import SessionMemoryAgent


class Parrot:
    """A language model that answers with scripted words, a sentence a second, and remembers what it was told."""

    def __init__(self, name: str = "parrot", answer: str = "First sentence here. Second sentence here."):
        self.name, self.answer = name, answer
        self.asked: list[list[Message]] = []
        self.closed = 0
        self.finished = 0
        self.sure: float | None = None
        """The probability of each of its sentences, if it tells."""
        self.limit = 0
        """Characters after which an answer is cut off, if it is."""

    async def chat(
        self, messages: Sequence[Message], options: ChatOptions | None = None
    ) -> AsyncGenerator[ChatChunk, None]:
        self.asked.append(list(messages))
        left = self.limit or len(self.answer) + 2
        for sentence in self.answer.split(". "):
            await asyncio.sleep(1)
            text = sentence if sentence.endswith((".", "?", "!", "`")) else sentence + ". "
            yield ChatChunk(text=text[:left], log_probabilities=(math.log(self.sure),) if self.sure else ())
            left -= len(text)
            if left <= 0:
                break
        self.finished += 1
        yield ChatChunk(finish="length" if self.limit else "stop", usage=Usage(10, 5))

    async def close(self) -> None:
        self.closed += 1


class Suite(ModelManagerSuite):
    """The models' owner with parrots instead of models; ``present`` says which there are."""

    present: dict[str, Parrot]

    async def start(self) -> None:
        self.present = {}
        await super().start()

    async def open_model(self, model_id: str) -> LanguageModel:
        if model_id not in self.present:
            raise Unavailable(
                f"the model {model_id} is not on this computer", hint=f"tandem models fetch {model_id}"
            )
        return self.present[model_id]


DEFAULT = "qwen2.5-0.5b"


def household(state: Path | None = None, *more: Member) -> Fleet:
    """Every text agent, and ``more``; the model is missing until :func:`teach`."""
    mainpc = (
        NLUAgent, StreamingLanguageAnalyzer, Responder, MemoryClient, SessionMemoryAgent,
        Member(Suite, name="ModelManagerSuite"), ChitchatAgent, ModelOrchestrator, RequestCoordinator,
    )  # fmt: skip
    pc2 = (
        Member(MemoryOrchestratorService, machine="pc2", embeddings="none"), Member(AsyncProcessor, machine="pc2"),
        Member(TaskScheduler, machine="pc2"),
    )  # fmt: skip
    return fleet_of(*pc2, *mainpc, *more, state=state)


async def teach(fleet: Fleet, answer: str = "First sentence here. Second sentence here.") -> Parrot:
    """Give the household a language model."""
    parrot = Parrot(answer=answer)
    fleet.agent(Suite, "ModelManagerSuite").present[DEFAULT] = parrot
    await asyncio.sleep(15)
    return parrot


@pytest.fixture
def home() -> SimpleNamespace:
    """``household()``, ``teach(fleet)``, ``Parrot`` and ``Suite`` of this module."""
    return SimpleNamespace(household=household, teach=teach, Parrot=Parrot, Suite=Suite, DEFAULT=DEFAULT)
