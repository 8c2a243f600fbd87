"""The orchestrator's and the chat agent's own behaviour with a language model."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from tandem.agent.testing import Fleet, Member, fleet_of, virtual_time
from tandem.core.errors import InvalidArguments
from tandem_agents.core_services.contracts import FrontDoor
from tandem_agents.infrastructure.async_processor import AsyncProcessor
from tandem_agents.infrastructure.contracts import Job, Processing
from tandem_agents.language_processing.contracts import Chitchat, Orchestration, Reply, Speaking, Task
from tandem_agents.language_processing.doubt import EXPLANATIONS
from tandem_agents.utility_services.contracts import QuickModel
from tandem_agents.utility_services.tiny_llama_service_enhanced import TinyLlamaServiceEnhanced


@virtual_time
async def test_code_that_does_not_parse_is_given_back(home: SimpleNamespace) -> None:
    """The model is told the parser's words, at most twice, and its last attempt is the answer."""
    async with home.household() as fleet:
        parrot = await home.teach(fleet, "```python\ndef f(:\n```")
        result = await fleet.peer(Orchestration).execute_task(Task(text="write a python function"))
        assert (result.kind, len(parrot.asked)) == ("code", 3)
        assert "does not parse: SyntaxError" in parrot.asked[1][-1].content


async def told_both_ways(fleet: Fleet, text: str) -> set[str]:
    """The answer to ``text`` as a whole, and as it is spoken."""
    whole = await fleet.peer(FrontDoor).ask(text)
    spoken = [piece.text async for piece in fleet.peer(FrontDoor).answer_stream(text) if piece.text]
    return {whole.answer, " ".join(spoken)}


@virtual_time
async def test_half_a_sentence_is_not_told(home: SimpleNamespace) -> None:
    """What remains of an answer that was cut off ends with its last whole sentence; one without an end is told as it is."""
    async with home.household() as fleet:
        parrot = await home.teach(fleet, "Tea is a drink. It is made of leaves. And then")
        parrot.limit = 42
        assert await told_both_ways(fleet, "tell me about tea") == {"Tea is a drink. It is made of leaves."}
        parrot.limit = 8
        assert await told_both_ways(fleet, "tell me about tea") == {"Tea is a"}


@virtual_time
async def test_deeds_are_not_pretended(home: SimpleNamespace) -> None:
    """A model that promises what takes hands is not passed on; asked for words it may begin as it likes."""
    async with home.household() as fleet:
        await home.teach(fleet, "Sure, I'll fold them. They are done.")
        refused = {"I cannot do that: I have no hands, and control no machines."}
        assert await told_both_ways(fleet, "fold my socks") == refused
        assert await told_both_ways(fleet, "tell me about your socks") != refused


@virtual_time
async def test_a_language_it_hardly_knows_is_doubted(home: SimpleNamespace) -> None:
    """In Filipino whatever the model is unsure of is left unsaid, not only facts."""
    async with home.household() as fleet:
        parrot = await home.teach(fleet, "Ang tsaa ay inumin.")
        parrot.sure = 0.3
        unsaid = {"Hindi ko iyon alam nang sapat; manghuhula lang ako."}
        assert await told_both_ways(fleet, "bakit masarap ang tsaa sa umaga") == unsaid
        parrot.sure = 0.95
        assert await told_both_ways(fleet, "bakit masarap ang tsaa sa umaga") == {"Ang tsaa ay inumin."}


WON = "France won. It was close. Many saw it. It rained."


@pytest.mark.parametrize(
    ("sure", "answer", "read_to_the_end"),
    [
        (0.9, WON, True),
        (0.75, "I am not sure, but I think: France won.", False),
        (0.2, "I do not know that well enough to tell you; I would only be guessing.", False),
        (None, WON, True),
    ],
)
@virtual_time
async def test_a_guess_is_called_one(
    sure: float | None, answer: str, read_to_the_end: bool, home: SimpleNamespace
) -> None:
    """A fact the model is unsure of is not told as if it were known, in a whole answer and in a spoken one, whose
    model is stopped after its first sentence."""
    async with home.household() as fleet:
        parrot = await home.teach(fleet, WON)
        parrot.sure = sure
        told = await fleet.peer(FrontDoor).ask("who won the cup of 1998")
        assert told.answer in (answer, answer.replace("France won.", WON))
        before = parrot.finished
        said = [piece async for piece in fleet.peer(FrontDoor).answer_stream("who won the cup of 1998")]
        assert " ".join(piece.text for piece in said if piece.text) == answer
        await asyncio.sleep(10)
        assert (parrot.finished > before) is read_to_the_end


@virtual_time
async def test_only_facts_are_doubted(home: SimpleNamespace) -> None:
    """A story need not be likely, and what stands on something the user told is not a guess."""
    async with home.household() as fleet:
        parrot = await home.teach(fleet, "Once upon a time.")
        parrot.sure = 0.1
        assert (await fleet.peer(FrontDoor).ask("tell me a story")).answer == "Once upon a time."
        await fleet.peer(FrontDoor).ask("remember that the Riverside club meets on Mondays")
        parrot.answer = "On Mondays."
        told = await fleet.peer(Orchestration).execute_task(
            Task(text="which day does the Riverside club meet")
        )
        assert (told.kind, told.text) == ("fact", "On Mondays.")


@virtual_time
async def test_explanations_are_doubted_and_echoes_left_unsaid(home: SimpleNamespace) -> None:
    """Why something is so is told only by a model that is sure enough, and never in the question's own words."""
    async with home.household() as fleet:
        parrot = await home.teach(fleet, "Air scatters blue light.")
        parrot.sure = EXPLANATIONS.sure
        assert await told_both_ways(fleet, "why is the sky blue") == {"Air scatters blue light."}
        parrot.sure = EXPLANATIONS.guessing
        guess = {"I am not sure, but I think: Air scatters blue light."}
        assert await told_both_ways(fleet, "why is the sky blue") == guess
        parrot.answer, parrot.sure = "The sky is blue. Air scatters blue light.", 0.99
        assert await told_both_ways(fleet, "why is the sky blue") == {parrot.answer}
        parrot.answer = "Sky is blue."
        unsaid = {"I do not know that well enough to tell you; I would only be guessing."}
        assert await told_both_ways(fleet, "why is the sky blue") == unsaid


@virtual_time
async def test_plain_completion_has_only_what_it_was_given(home: SimpleNamespace) -> None:
    """A completion sees its prompt and system text, no memories and no turns."""
    async with home.household() as fleet:
        parrot = await home.teach(fleet, "Done.")
        assert await fleet.peer(Orchestration).generate_text("do it", system="be brief") == "Done."
        await fleet.peer(Orchestration).generate_text("again")
        assert [[message.role for message in asked] for asked in parrot.asked] == [
            ["system", "user"],
            ["user"],
        ]


@virtual_time
async def test_thinking_does_not_wait_for_memory_that_is_away(home: SimpleNamespace) -> None:
    """With the memory chain down a question is answered, only without what is remembered."""
    async with home.household() as fleet:
        await home.teach(fleet, "An answer.")
        for name in ("MemoryOrchestratorService", "MemoryClient", "SessionMemoryAgent"):
            await fleet.stop(name)
        assert (await fleet.peer(FrontDoor).ask("tell me about tea")).answer == "An answer."


@virtual_time
async def test_small_talk_has_a_history_per_person(home: SimpleNamespace) -> None:
    """The chat agent tells the model what it and this person said before, until told to forget."""
    async with home.household() as fleet:
        parrot = await home.teach(fleet, "Ha.")
        chat = fleet.peer(Chitchat)
        await chat.chitchat("tell me a joke", user="Ana")
        await chat.chitchat("another one", user="Ana")
        await chat.chitchat("tell me a joke", user="Ben")
        assert [len(asked) for asked in parrot.asked] == [2, 4, 2]
        assert await chat.clear_history("Ana") == 2
        await chat.chitchat("and now?", user="Ana")
        assert len(parrot.asked[-1]) == 2


@virtual_time
async def test_a_phrase_that_does_not_exist_is_refused(home: SimpleNamespace) -> None:
    """A caller's mistake is told to the caller instead of being spoken."""
    async with home.household() as fleet:
        with pytest.raises(InvalidArguments, match="nonsense"):
            await fleet.peer(Speaking).respond(Reply(phrase="nonsense"))


@virtual_time
async def test_the_small_service_finds_a_model_by_itself(home: SimpleNamespace) -> None:
    """Without a setting it answers with whatever language model there is."""
    async with fleet_of(Member(home.Suite, name="ModelManagerSuite"), TinyLlamaServiceEnhanced) as fleet:
        parrot = await home.teach(fleet, "Hi.")
        suite = fleet.agent(home.Suite, "ModelManagerSuite")
        for model in await suite.list_models():
            suite.present[model.id] = parrot
        assert await fleet.peer(QuickModel).generate("hello") == "Hi."


@virtual_time
async def test_low_jobs_wait_for_a_calm_machine() -> None:
    """While the machine is busy a low job waits and a high one does not; calm lets it run."""
    async with fleet_of(AsyncProcessor) as fleet:
        processor = fleet.agent(AsyncProcessor)
        processor._calm.clear()
        low = asyncio.ensure_future(
            fleet.peer(Processing).process(Job(id="l", kind="analysis", data={"text": "a"}, priority="low"))
        )
        await fleet.peer(Processing).process(
            Job(id="h", kind="analysis", data={"text": "b"}, priority="high")
        )
        assert not low.done()
        processor._calm.set()
        assert (await low).id == "l"


@pytest.mark.parametrize(
    ("said", "verdict", "sure", "answer"),
    [
        ("My train was late again.", "bad", 0.6, "I am sorry to hear that."),
        ("My train was late again.", "bad", 0.3, "I see."),
        ("I passed my exam!", "good", 0.95, "I am glad to hear that."),
        ("I passed my exam!", "good", 0.8, "I see."),
        ("The earth is flat.", "good", 0.99, "I see."),
        ("My dog died yesterday.", "good", 0.99, "I am sorry to hear that."),
        ("We are at the office.", "neither", 0.9, "I see."),
    ],
)
@virtual_time
async def test_what_is_told_is_taken_in(
    home: SimpleNamespace, said: str, verdict: str, sure: float, answer: str
) -> None:
    """Something told is neither echoed nor made up about; nobody is congratulated unless the model is very sure."""
    async with home.household() as fleet:
        parrot = await home.teach(fleet, verdict)
        parrot.sure = sure
        reply = await fleet.peer(FrontDoor).ask(said)
    assert (reply.intent, reply.answer.startswith(answer)) == ("statement", True)
