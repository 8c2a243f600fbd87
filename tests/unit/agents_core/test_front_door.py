"""Requests from the front door to the answer, through every text agent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from tandem.agent.testing import Fleet, virtual_time
from tandem.core.errors import InvalidArguments, Overloaded, TooLarge
from tandem_agents.core_services.contracts import Answer, FrontDoor
from tandem_agents.core_services.request_coordinator import RequestCoordinator
from tandem_agents.language_processing.contracts import Chitchat
from tandem_agents.memory_services.contracts import MemoryUpkeep
from tandem_agents.memory_services.memory_orchestrator_service import MemoryOrchestratorService
from tandem_agents.memory_system.contracts import Conversations


async def ask(fleet: Fleet, text: str, **more: object) -> Answer:
    return await fleet.peer(FrontDoor).ask(text, **more)  # type: ignore[arg-type]


async def said(fleet: Fleet, text: str) -> tuple[str, str]:
    answer = await ask(fleet, text)
    return answer.intent, answer.answer


@virtual_time
async def test_an_answer_returns_to_the_caller(home: SimpleNamespace) -> None:
    """The answer comes with what was understood, a turn and the seconds of every stage."""
    async with home.household() as fleet:
        answer = await ask(fleet, "What is 17 plus 25?")
    assert (answer.intent, answer.answer) == ("sum", "17 + 25 is 42.")
    assert len(answer.turn) == 26
    assert set(answer.timings) == {"language", "nlu", "queue", "respond", "total"}
    assert all(seconds >= 0 for seconds in answer.timings.values())


@virtual_time
async def test_the_skills_answer(home: SimpleNamespace) -> None:
    """Time, date, sums, devices, greetings and help are answered without any language model."""
    async with home.household() as fleet:
        for text, intent, part in (
            ("what time is it", "time", "It is "), ("what's the date today", "date", "Today is "), ("what is 1/0", "sum", "divide by zero"),
            ("turn on the lamp", "device", "nothing changes about the lamp"), ("play the Beatles", "device", "cannot play music"),
            ("will it rain tomorrow", "unsupported", "weather"), ("hello", "greeting", "Good "), ("help", "help", "timers"),
            ("thanks", "thanks", "welcome"), ("who are you", "small_talk", "Tandem"), ("?!", "empty", "words"),
            ("what time is it in Tokyo", "time", "in Tokyo"), ("what time is it in Nowhereville", "time", "do not know"),
            ("anong oras na", "time", " ng "), ("what day is december 25", "date", "December 25"),
        ):  # fmt: skip
            found, words = await said(fleet, text)
            assert (found, part in words) == (intent, True), f"{text}: {found}, {words}"


@virtual_time
async def test_a_fact_is_remembered_recalled_changed_and_forgotten(home: SimpleNamespace) -> None:
    """The boiler code comes back, the newer one replaces it, and forgetting is forgetting."""
    async with home.household() as fleet:
        assert (await said(fleet, "remember that the boiler code is 4711"))[0] == "remember"
        assert await said(fleet, "what is the boiler code?") == ("recall", "The boiler code is 4711.")
        await ask(fleet, "remember that the boiler code is 5000")
        assert await said(fleet, "do you remember the boiler code") == ("recall", "The boiler code is 5000.")
        assert await said(fleet, "what do you remember") == (
            "list_memories",
            "I remember 1: The boiler code is 5000.",
        )
        assert await said(fleet, "forget the boiler code") == (
            "forget",
            "Forgotten: The boiler code is 5000.",
        )
        assert "do not remember" in (await said(fleet, "what did I tell you about the boiler code"))[1]
        assert "not asked me" in (await said(fleet, "what do you remember"))[1]
        assert "not asked me" in (await said(fleet, "forget everything"))[1]


@virtual_time
async def test_what_is_forgotten_is_forgotten_in_small_talk_too(home: SimpleNamespace) -> None:
    """Nothing is left of the talk in which it may have been told, and nobody has to be there for that."""
    async with home.household() as fleet:
        chat = fleet.peer(Chitchat)
        await chat.chitchat("hello", intent="greeting")
        await ask(fleet, "remember that the boiler code is 4711")
        await ask(fleet, "forget the boiler code")
        assert await chat.clear_history("you") == 0
        await ask(fleet, "remember that the boiler code is 4711")
        await fleet.stop("ChitchatAgent")
        assert (await said(fleet, "forget the boiler code"))[1] == "Forgotten: The boiler code is 4711."


@virtual_time
async def test_what_people_say_of_themselves_is_said_back_to_them(home: SimpleNamespace) -> None:
    """My keys become your keys."""
    async with home.household() as fleet:
        await ask(fleet, "remember my keys are in the blue drawer")
        assert (await said(fleet, "where are my keys"))[1] == "Your keys are in the blue drawer."


@virtual_time
async def test_several_facts_are_not_mixed_up(home: SimpleNamespace) -> None:
    """A question that fits two facts tells both; forgetting asks which."""
    async with home.household() as fleet:
        await ask(fleet, "remember that the boiler code is 1")
        await ask(fleet, "remember that the garage code is 2")
        words = (await said(fleet, "what did I tell you about codes"))[1]
        assert "boiler code is 1" in words
        assert "garage code is 2" in words
        assert "which one" in (await said(fleet, "forget the code"))[1]
        assert (await said(fleet, "what is the garage code"))[1] == "The garage code is 2."


@virtual_time
async def test_what_is_told_of_a_person_adds_up(home: SimpleNamespace) -> None:
    """Two things about Anna are both kept; telling one of them again changes nothing."""
    async with home.household() as fleet:
        for fact in ("is my sister", "is allergic to nuts", "is my sister"):
            await ask(fleet, f"remember that Anna {fact}")
        for question in ("what do you know about Anna", "who is Anna"):
            words = (await said(fleet, question))[1]
            assert sorted(words.rstrip(".").split("; ")) == [
                "Anna is allergic to nuts",
                "Anna is your sister",
            ]


@virtual_time
async def test_secrets_are_never_guessed(home: SimpleNamespace) -> None:
    """A code nobody has told is not known, however glad the language model would be to invent one."""
    async with home.household() as fleet:
        parrot = await home.teach(fleet, "It is 1234.")
        assert await said(fleet, "what is the alarm code") == (
            "recall",
            "I do not remember anything about the alarm code.",
        )
        assert parrot.asked == []


@virtual_time
async def test_notes_answer_questions_about_ones_own_things(home: SimpleNamespace) -> None:
    """Where something is is looked up among the notes before a model is asked; the world's questions are not."""
    async with home.household() as fleet:
        parrot = await home.teach(fleet, "In Paris.")
        await ask(fleet, "remember that the spare key hangs behind the fuse box")
        for question in ("where is the spare key", "do you know where the spare key is"):
            assert await said(fleet, question) == ("recall", "The spare key hangs behind the fuse box.")
        assert await said(fleet, "where is the Eiffel tower") == ("question", "In Paris.")
        assert len(parrot.asked) == 1


@virtual_time
async def test_memory_outlives_everything(home: SimpleNamespace, tmp_path: Path) -> None:
    """A fact and a timer are there after the whole household went down and up."""
    async with home.household(tmp_path) as fleet:
        await ask(fleet, "remember that the boiler code is 4711")
        await ask(fleet, "remind me to call Mom tomorrow at 9")
    async with home.household(tmp_path) as fleet:
        assert (await said(fleet, "what is the boiler code"))[1] == "The boiler code is 4711."
        assert "call Mom" in (await said(fleet, "what reminders do I have"))[1]


@virtual_time
async def test_without_a_model_open_questions_say_how_to_get_one(home: SimpleNamespace) -> None:
    """The mend is named; what is remembered about the question is told all the same."""
    async with home.household() as fleet:
        intent, words = await said(fleet, "who wrote Noli Me Tangere")
        assert (intent, "tandem models fetch" in words) == ("question", True)
        await ask(fleet, "remember that Anna likes orchids")
        intent, words = await said(fleet, "what does Anna like")
        assert (intent, "Anna likes orchids" in words) == ("recall", True)
        assert "tandem models fetch" in (await said(fleet, "tell me a joke"))[1]


@virtual_time
async def test_with_a_model_open_questions_are_answered_in_context(home: SimpleNamespace) -> None:
    """The model hears the earlier turns and what was remembered; the answer names its stages."""
    async with home.household() as fleet:
        parrot = await home.teach(fleet, "Orchids.")
        await ask(fleet, "remember that Anna likes orchids")
        await ask(fleet, "what is 1 + 1")
        await asyncio.sleep(1)
        answer = await ask(fleet, "and what should I give Anna")
        assert (answer.intent, answer.answer) == ("question", "Orchids.")
        assert answer.timings["thinking.model"] >= 1
        told = parrot.asked[-1]
        assert "Anna likes orchids" in told[0].content
        assert [message.content for message in told[1:]][-3:] == [
            "what is 1 + 1",
            "1 + 1 is 2.",
            "and what should I give Anna",
        ]


@virtual_time
async def test_missing_words_are_asked_back(home: SimpleNamespace) -> None:
    """A timer without a length, a reminder without anything: the next sentences complete it."""
    async with home.household() as fleet:
        assert (await said(fleet, "set a timer"))[1] == "For how long?"
        assert (await said(fleet, "ten minutes"))[1] == "Timer set for 10 minutes."
        assert "remind you of" in (await said(fleet, "remind me"))[1]
        assert "When" in (await said(fleet, "buy milk"))[1]
        assert "buy milk" in (await said(fleet, "tomorrow at 5 pm"))[1]
        # Another command drops the question; a minute of silence does, too.
        await ask(fleet, "set a timer")
        await ask(fleet, "what time is it")
        assert (await said(fleet, "ten minutes"))[0] != "set_timer"
        await ask(fleet, "set a timer")
        await asyncio.sleep(61)
        assert (await said(fleet, "ten minutes"))[0] != "set_timer"
        assert len(await fleet.peer(FrontDoor).list_alarms()) == 2


@virtual_time
async def test_sessions_do_not_answer_for_each_other(home: SimpleNamespace) -> None:
    """A question asked back in the kitchen is not answered from the bedroom."""
    async with home.household() as fleet:
        await ask(fleet, "set a timer", session="kitchen")
        assert (await ask(fleet, "ten minutes", session="bedroom")).intent != "set_timer"
        assert (await ask(fleet, "ten minutes", session="kitchen")).intent == "set_timer"


@virtual_time
async def test_every_turn_is_in_the_session(home: SimpleNamespace) -> None:
    """What was said and answered is appended, beside the answer."""
    async with home.household() as fleet:
        answer = await ask(fleet, "what is 17 plus 25", session="desk")
        await asyncio.sleep(1)
        [turn] = await fleet.peer(Conversations).get_context("desk")
        assert (turn.said, turn.answer, turn.intent, turn.turn) == (
            "what is 17 plus 25",
            "17 + 25 is 42.",
            "sum",
            answer.turn,
        )
        assert (await fleet.peer(MemoryUpkeep).stats()).by_kind["turn"] == 1


@virtual_time
async def test_stop_ends_thinking_at_once(home: SimpleNamespace) -> None:
    """A long answer under way is broken off, the model stops, and the stop itself is answered."""
    async with home.household() as fleet:
        parrot = await home.teach(fleet, ". ".join(["A long sentence"] * 60) + ".")
        thinking = asyncio.ensure_future(ask(fleet, "tell me everything about tea"))
        await asyncio.sleep(2)
        assert (await said(fleet, "stop"))[1] == "All right, stopped."
        async with asyncio.timeout(1):
            assert (await thinking).answer == "Stopped."
        await asyncio.sleep(120)
        assert parrot.finished == 0


@virtual_time
async def test_stop_does_not_undo(home: SimpleNamespace) -> None:
    """A timer that was set stays set."""
    async with home.household() as fleet:
        await ask(fleet, "set a timer for 5 minutes")
        await ask(fleet, "stop")
        assert len(await fleet.peer(FrontDoor).list_alarms()) == 1


@virtual_time
async def test_the_line_is_bounded_and_stop_empties_it(home: SimpleNamespace) -> None:
    """With the workers busy a hundred wait, one more is refused, and stop sends the waiting away."""
    async with home.household() as fleet:
        await home.teach(fleet, ". ".join(["A long sentence"] * 60) + ".")
        settings = fleet.agent(RequestCoordinator).settings
        crowd = settings.parallel + settings.queue_limit
        asked = [asyncio.ensure_future(ask(fleet, f"tell me about number {n} of many")) for n in range(crowd)]
        await asyncio.sleep(1)
        with pytest.raises(Overloaded):
            await ask(fleet, "one too many to think about")
        assert await fleet.peer(FrontDoor).stop() == crowd
        assert {answer.answer for answer in await asyncio.gather(*asked)} == {"Stopped."}


@virtual_time
async def test_an_answer_comes_sentence_by_sentence(home: SimpleNamespace) -> None:
    """The first sentence is there long before the last; the whole answer comes at the end."""
    async with home.household() as fleet:
        await home.teach(
            fleet, "The first sentence is here. The second sentence is here. The third sentence ends it."
        )
        pieces, times = [], []
        async for piece in fleet.peer(FrontDoor).answer_stream("tell me everything about tea"):
            pieces.append(piece)
            times.append(asyncio.get_running_loop().time())
    assert [piece.text for piece in pieces[:-1]] == [
        "The first sentence is here.",
        "The second sentence is here.",
        "The third sentence ends it.",
    ]
    assert times[0] < times[2]
    whole = pieces[-1].answer
    assert whole is not None
    assert (
        whole.answer == "The first sentence is here. The second sentence is here. The third sentence ends it."
    )
    assert whole.timings["first_words"] < whole.timings["total"]


@virtual_time
async def test_streams_know_skills_memory_and_missing_models(home: SimpleNamespace) -> None:
    """Whatever needs no model comes in one piece, and a missing model is said."""
    async with home.household() as fleet:
        await ask(fleet, "remember that the boiler code is 4711")
        for text, part in (
            ("what is 2 + 2", "is 4"),
            ("what is the boiler code", "4711"),
            ("who was Rizal", "tandem models fetch"),
            ("stop", "stopped"),
            ("set a timer", "how long"),
        ):
            pieces = [piece async for piece in fleet.peer(FrontDoor).answer_stream(text)]
            assert len(pieces) == 2
            assert part in pieces[0].text
        assert (await said(fleet, "five minutes"))[1] == "Timer set for 5 minutes."


@virtual_time
async def test_stop_ends_a_stream(home: SimpleNamespace) -> None:
    """A streamed answer ends after the sentence under way when somebody says stop."""
    async with home.household() as fleet:
        await home.teach(fleet, ". ".join(["A rather long sentence"] * 60) + ".")
        pieces = []
        async for piece in fleet.peer(FrontDoor).answer_stream("tell me everything about tea"):
            pieces.append(piece)
            if len(pieces) == 2:
                await ask(fleet, "stop")
        assert len(pieces) < 8
        assert pieces[-1].answer is not None


@virtual_time
async def test_a_dead_responder_costs_no_answer(home: SimpleNamespace) -> None:
    """While the Responder is away the coordinator words answers itself."""
    async with home.household() as fleet:
        await fleet.stop("Responder")
        assert (await said(fleet, "what is 17 plus 25"))[1] == "17 + 25 is 42."


@virtual_time
async def test_a_dead_worker_is_said(home: SimpleNamespace) -> None:
    """When the agent that should answer is away, the answer says so and everything else works."""
    async with home.household() as fleet:
        await fleet.stop("ChitchatAgent")
        assert "not answering" in (await said(fleet, "hello"))[1]
        assert (await said(fleet, "what is 1 + 1"))[0] == "sum"


@virtual_time
async def test_memory_that_is_away_is_not_memory_that_is_empty(home: SimpleNamespace) -> None:
    """With the whole memory chain down recall says it cannot reach it, instead of denying."""
    async with home.household() as fleet:
        await fleet.stop("MemoryClient")
        assert "cannot reach my memory" in (await said(fleet, "where are my keys"))[1]


@virtual_time
async def test_remembering_while_pc2_is_away_says_where(home: SimpleNamespace) -> None:
    """A fact told while PC2 is down is kept on MainPC, is recalled from there, and the answer says so."""
    async with home.household() as fleet:
        await fleet.stop("MemoryOrchestratorService")
        assert "mainpc" in (await said(fleet, "remember that the boiler code is 4711"))[1]
        assert (await said(fleet, "what is the boiler code"))[1] == "The boiler code is 4711."


@virtual_time
async def test_what_is_no_request_is_refused(home: SimpleNamespace) -> None:
    """A hundred thousand characters and binary data get a clear message; the next question works."""
    async with home.household() as fleet:
        with pytest.raises(TooLarge, match="100,000 characters"):
            await ask(fleet, "x" * 100_000)
        with pytest.raises(InvalidArguments, match="not text"):
            await ask(fleet, "\x00\x01\x02binary")
        assert (await said(fleet, "what is 1 + 1"))[0] == "sum"


@virtual_time
async def test_a_full_disk_acknowledges_nothing(home: SimpleNamespace) -> None:
    """A timer and a fact that cannot be stored are refused in words, and nothing else is disturbed."""
    async with home.household() as fleet:
        desk = fleet.agent(RequestCoordinator)._desk
        memory = fleet.agent(MemoryOrchestratorService)
        for worker, database in (
            (desk._worker, desk._book._database),
            (memory._worker, memory._store.database),
        ):
            size = (await worker(database.rows, "PRAGMA page_count"))[0][0]
            await worker(database.rows, f"PRAGMA max_page_count={size}")
        assert "disk is full" in (await said(fleet, f"remember that the story is {'word ' * 3000}"))[1]
        refused = 0
        for number in range(60):
            refused += (
                "disk is full" in (await said(fleet, f"set a tea number {number} timer for 5 minutes"))[1]
            )
        assert refused
        assert len(await fleet.peer(FrontDoor).list_alarms()) == 60 - refused
        assert (await said(fleet, "what is 1 + 1"))[1] == "1 + 1 is 2."
