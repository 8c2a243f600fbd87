"""What the default language model knows it tells, and what it does not know it does not make up."""

from __future__ import annotations

import pytest

from tandem.agent.testing import fleet_of, virtual_time
from tandem.core.errors import Unavailable
from tandem_agents.core_services.model_manager_suite import ModelManagerSuite
from tandem_agents.engines.models import Store, builtin_catalogue
from tandem_agents.language_processing.contracts import Orchestration, Task
from tandem_agents.language_processing.model_orchestrator import ModelOrchestrator

pytestmark = [pytest.mark.integration, pytest.mark.models]

KNOWN = {
    "what is the capital of France": "Paris",
    "what is the capital of Japan": "Tokyo",
    "who wrote Romeo and Juliet": "Shakespeare",
    "who painted the Mona Lisa": "Leonardo",
    "where is the Eiffel Tower": "Paris",
    "when did the second world war end": "1945",
}
INVENTED = (
    "what is Zorblax Quindle",
    "who is Fintan Obermeyer-Quist",
    "how many people live in Tarvenia",
    "who is Maria Santos Delgado",
)
DOUBT = ("I do not know", "I am not sure")


@pytest.fixture(autouse=True)
def _model() -> None:
    try:
        Store.from_environment().paths(builtin_catalogue().default("llm"))
    except Unavailable as missing:
        pytest.skip(f"{missing.message}: {missing.hint}")


@virtual_time
async def test_facts_are_told_and_inventions_are_not() -> None:
    """Of the well-known facts nearly all are told, and no invented person, place or thing is told of without doubt."""
    async with fleet_of(ModelManagerSuite, ModelOrchestrator) as fleet:
        answers = {
            question: (await fleet.peer(Orchestration).execute_task(Task(text=question))).text
            for question in (*KNOWN, *INVENTED)
        }
    told = [question for question, fact in KNOWN.items() if fact in answers[question]]
    assert len(told) >= len(KNOWN) - 1, answers
    assert [question for question in INVENTED if not answers[question].startswith(DOUBT)] == []
