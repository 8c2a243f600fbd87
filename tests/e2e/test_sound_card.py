"""The assistant through a microphone and a loudspeaker, as somebody in the room hears it."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
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

TALE = """There was once a king who lived on a hill above the sea, and he had three sons. The eldest was tall and strong.
The second could sing so well that the birds fell silent. The youngest looked after the horses, and nobody asked him
anything. One winter morning the king could not find his crown. They looked under the beds and behind the curtains. They
looked in the kitchen and in the cellar, and they emptied the well. In the evening the youngest came home from the stable
and laughed. He had seen the crown on the head of the oldest horse. The king laughed as well, for the first time in years.
From that day on the youngest was asked before anything was decided, and the horse was given the best hay of the house.
When the king grew old, he asked each of them what a crown was good for. The eldest said that it made everybody bow. The
second said that it shone so prettily in the light of the candles. The youngest said that it kept the flies off a horse.
Then the king knew whom to give it to, and the whole country danced for three days and three nights. They danced on the
bridges and in the barns, and the old horse stood in the middle of the market and was given apples by every child that came.
And if nobody has looked for the crown since, then it hangs on a nail in the stable to this day."""
TALE_S = 54.0
"""Seconds of sound in it when the assistant reads it aloud, without the pauses."""
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


def insist(sound_card: SoundCard, clip: Path, done: Callable[[], bool]) -> None:
    """Say a clip in the room until it is obeyed, as people do: a busy computer may miss a word, or be too late with it."""

    def say_again() -> bool:
        sound_card.say(clip)
        with contextlib.suppress(AssertionError):
            eventually(done, patience_s=30.0)
        return done()

    eventually(say_again, f"what comes of {clip}")


def _samples(recording: Path) -> np.ndarray:
    """What is recorded so far, -1..1; the recorder may be in the middle of a sample."""
    data = recording.read_bytes()
    return np.frombuffer(data[: len(data) // 2 * 2], "<i2") / 32768


def heard_in(household: Household, recording: Path) -> str:
    """The words in a recording."""
    samples = _samples(recording)
    if not samples.any():
        return ""
    clip = recording.with_suffix(".wav")
    clip.write_bytes(to_wav(Audio(samples.astype(np.float32), RATE)))
    return asyncio.run(transcribe(household, clip)).lower()


def is_silent_for(seconds: float, recording: Path) -> bool:
    """Whether nothing was to be heard lately."""
    latest = _samples(recording)[-int(seconds * RATE) :]
    return len(latest) == int(seconds * RATE) and not latest.any()


def heard_s(recording: Path) -> float:
    """How much was to be heard so far, in seconds of sound without pauses."""
    samples = _samples(recording)
    blocks = samples[: len(samples) // 100 * 100].reshape(-1, 100)
    return float((np.abs(blocks).max(axis=1) > 0.01).sum()) * 100 / RATE


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


def test_whoever_calls_it_interrupts_it(household: Household, sound_card: SoundCard, tmp_path: Path) -> None:
    """The wake phrase ends the sound of an answer long before its end, what follows the phrase is done, and the talk goes
    on."""
    tale = " ".join(TALE.split())
    household.ask(f"remember that the fairy tale is: {tale} {tale}")
    question, stop, sum_ = (tmp_path / f"{number}.wav" for number in range(3))
    write_clip(question, asyncio.run(synthesize(household, "Hey Jarvis! What is the fairy tale?")))
    write_clip(stop, asyncio.run(synthesize(household, "Hey Jarvis! Stop.")))
    write_clip(sum_, asyncio.run(synthesize(household, "Hey Jarvis! What is 12 times 12?")))
    talk = household.begin("talk", "--follow")
    eventually(lambda: listening(talk), "the microphone")
    with sound_card.recording("tale") as recording:
        insist(sound_card, question, lambda: heard_s(recording) > 1)
        insist(sound_card, stop, lambda: "stopped" in talk.out)
        eventually(lambda: is_silent_for(QUIET_S, recording), "silence")
        assert heard_s(recording) < TALE_S
    insist(sound_card, sum_, lambda: "144" in talk.out)
    talk.interrupt()
    assert talk.end().status == 130
