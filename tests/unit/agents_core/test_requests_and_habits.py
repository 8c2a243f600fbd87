"""Requests that are not text, and what is suggested from habit."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from types import SimpleNamespace

import pytest

from tandem.agent import Agent, action
from tandem.agent.testing import Member, virtual_time
from tandem.agent.virtual_time import VirtualTimeLoop
from tandem.core.errors import InvalidArguments
from tandem_agents.core_services.contracts import FrontDoor, Request
from tandem_agents.core_services.habits import DAY_S, Habits
from tandem_agents.engines.kinds import Pcm, Transcript

MORNING = 1_772_607_600.0
SOUND = Pcm(b"\0\0" * 1600, 16_000)


class Ears(Agent):
    """Hears the same in every clip."""

    said: str = "what is 2 plus 2"

    @action(idempotent=True)
    async def transcribe(self, audio: Pcm) -> Transcript:
        return Transcript(self.said, "en", audio.seconds)


class Eyes(Agent):
    """Sees how many bytes a picture has."""

    @action(idempotent=True)
    async def describe_image(self, image: str, prompt: str) -> str:
        return f"{prompt} {len(base64.b64decode(image))} bytes."


@virtual_time
async def test_each_type_of_request_is_answered(home: SimpleNamespace) -> None:
    """Text is asked, sound is written down and asked, and a picture is shown to whoever can see."""
    senses = (Member(Ears, name="STTService"), Member(Eyes, name="VisionProcessingAgent", machine="pc2"))
    async with home.household(None, *senses) as fleet:
        door = fleet.peer(FrontDoor)
        assert (await door.submit(Request(text="what is 1 plus 1"))).answer == "1 + 1 is 2."
        heard = await door.submit(Request(type="audio", audio=SOUND))
        assert (heard.answer, heard.transcript) == ("2 + 2 is 4.", "what is 2 plus 2")
        assert heard.timings["hear"] >= 0
        fleet.agent(Ears, "STTService").said = ""
        assert (await door.submit(Request(type="audio", audio=SOUND))).intent == "empty"
        seen = await door.submit(Request(type="vision", image=b"1234", text="How large is it?"))
        assert (seen.intent, seen.answer) == ("vision", "How large is it? 4 bytes.")


@virtual_time
async def test_without_eyes_nothing_is_seen(home: SimpleNamespace) -> None:
    """While no agent can see, a picture gets an answer that says so; a request without its content is refused."""
    async with home.household() as fleet:
        door = fleet.peer(FrontDoor)
        blind = await door.submit(Request(type="vision", image=b"1234"))
        assert (blind.intent, "cannot look at pictures" in blind.answer) == ("vision", True)
        for empty in (Request(type="vision"), Request(type="audio")):
            with pytest.raises(InvalidArguments):
                await door.submit(empty)


def test_a_habit_is_suggested_once_a_day(tmp_path: Path) -> None:
    """What was asked around this time on three days is suggested, with the reason; not twice, not when asked today
    already, not at another time of day, not to somebody else."""
    habits = Habits(tmp_path / "habits.db")
    for day in range(1, 4):
        habits.note("eva", "Set a timer for 5 minutes", MORNING - day * DAY_S + 600)
    assert habits.suggest("eva", MORNING + 8 * 3600) is None
    assert habits.suggest("ben", MORNING) is None
    found = habits.suggest("eva", MORNING)
    assert found is not None
    assert found.ask == "set a timer for 5 minutes"
    assert "3 of the last 14 days" in found.why
    assert habits.suggest("eva", MORNING + 60) is None
    assert habits.suggest("eva", MORNING + DAY_S) is not None
    habits.note("eva", "set a timer for 5 minutes", MORNING + 2 * DAY_S)
    assert habits.suggest("eva", MORNING + 2 * DAY_S + 60) is None
    habits.close()


@virtual_time
async def test_habits_come_from_what_was_really_asked(home: SimpleNamespace) -> None:
    """Commands of three days at the same time are suggested on the fourth; facts told and open questions never are."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.set_wall_time(MORNING)
    async with home.household() as fleet:
        door = fleet.peer(FrontDoor)
        for day in range(1, 4):
            await door.ask("what time is it in Tokyo", user="eva")
            await door.ask("remember that the boiler code is 4711", user="eva")
            await door.ask("why is the sky blue", user="eva")
            await asyncio.sleep(0.1)
            loop.set_wall_time(MORNING + day * DAY_S)
        found = await door.get_suggestion("eva")
        assert found is not None
        assert found.ask == "what time is it in tokyo"
        assert await door.get_suggestion("eva") is None
