"""The assistant through a microphone and a loudspeaker, as somebody in the room hears it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import numpy as np
import pytest
from household import REAL_FLEET, Household, MakeHousehold, Running, eventually
from sound_card import RATE, SoundCard, sound_card
from voices import synthesize, transcribe, write_clip

from tandem_agents.audio_interface.streaming_tts_agent import ANNOUNCING_PAUSE_S
from tandem_agents.engines.audio import to_wav
from tandem_agents.engines.kinds import Audio

pytestmark = [pytest.mark.e2e, pytest.mark.models, pytest.mark.timeout(500)]

__all__ = ["sound_card"]

QUIET_S = ANNOUNCING_PAUSE_S + 3.0
"""More than there is between two rings."""


@pytest.fixture(scope="module")
def household(
    make_shared_household: MakeHousehold, default_models: None, sound_card: SoundCard
) -> Household:
    """The real fleet on a computer with a sound card."""
    household = make_shared_household(REAL_FLEET, **sound_card.environment)
    household.up()
    return household


def say(household: Household, sound_card: SoundCard, tmp_path: Path, words: str) -> None:
    """Have ``words`` said in the room, in the assistant's own voice."""
    clip = tmp_path / "said.wav"
    write_clip(clip, asyncio.run(synthesize(household, words)))
    sound_card.say(clip)


def heard_in(household: Household, recording: Path) -> str:
    """The words in a recording."""
    samples = np.frombuffer(recording.read_bytes()[: recording.stat().st_size // 2 * 2], "<i2") / 32768
    if not samples.any():
        return ""
    clip = recording.with_suffix(".wav")
    clip.write_bytes(to_wav(Audio(samples.astype(np.float32), RATE)))
    return asyncio.run(transcribe(household, clip)).lower()


def is_silent_for(seconds: float, recording: Path) -> bool:
    """Whether nothing was to be heard lately."""
    latest = np.frombuffer(recording.read_bytes()[: recording.stat().st_size // 2 * 2], "<i2")[-int(seconds * RATE) :]
    return len(latest) == int(seconds * RATE) and not latest.any()


def listening(talk: Running) -> bool:
    """Whether the microphone is open."""
    assert talk.process.poll() is None, talk.err
    return "Listening" in talk.err


def test_the_sound_card_is_seen(household: Household) -> None:
    """``doctor`` finds microphone and loudspeaker, and says so."""
    checks = household.tandem("doctor", "--json").json["checks"]
    [sound] = [check for check in checks if check["check"] == "sound"]
    assert (sound["verdict"], sound["message"]) == ("ok", "a microphone and a loudspeaker")


def test_a_question_asked_in_the_room(household: Household, sound_card: SoundCard, tmp_path: Path) -> None:
    """``talk`` without a file listens to the microphone and answers through the loudspeaker."""
    with sound_card.recording("answer") as recording:
        talk = household.begin("talk")
        eventually(lambda: listening(talk), "the microphone")
        say(household, sound_card, tmp_path, "What is 17 plus 25?")
        said = talk.end()
    assert said.status == 0, said.text
    assert re.search(r"you: .*plus", said.out), said.text
    assert re.search(r"answer: .*42", said.out), said.text
    assert "not played" not in said.err
    assert re.search("42|forty", heard_in(household, recording))


def test_a_timer_rings_in_the_room(household: Household, sound_card: SoundCard) -> None:
    """A timer set in writing is said aloud when it is due, again and again, until somebody says stop."""
    with sound_card.recording("ring") as recording:
        household.ask("set a soup timer for 1 second")
        eventually(lambda: heard_in(household, recording).count("soup") >= 2, "the second ring")
        assert household.tandem("ask", "--json", "stop").json["intent"] == "stop"
        eventually(lambda: is_silent_for(QUIET_S, recording), "silence")


def test_hands_free(household: Household, sound_card: SoundCard, tmp_path: Path) -> None:
    """With ``--follow`` it answers whoever calls it, asks back, and shows what rings, until Ctrl-C."""
    talk = household.begin("talk", "--follow")
    eventually(lambda: listening(talk), "the microphone")
    say(household, sound_card, tmp_path, "I had soup for lunch.")
    say(household, sound_card, tmp_path, "Hey Jarvis! What is 12 times 12?")
    eventually(lambda: "144" in talk.out, f"the answer; {talk.err}")
    assert "soup" not in talk.out
    household.ask("set a tea timer for 1 second")
    eventually(lambda: "tea timer is up" in talk.out, "the ring")
    household.ask("stop")
    talk.interrupt()
    said = talk.end()
    assert (said.status, "Interrupted" in said.err) == (130, True), said.text
