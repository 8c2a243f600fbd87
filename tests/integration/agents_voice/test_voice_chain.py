"""The voice agents with real models: what the assistant says, it hears."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import numpy as np
import pytest

from tandem.agent.testing import Fleet, fleet_of, virtual_time
from tandem.core.errors import NotFound, TooLarge, Unavailable
from tandem.core.health import Status
from tandem_agents.audio_interface.audio_capture import AudioCapture
from tandem_agents.audio_interface.contracts import (
    Capture,
    Heard,
    Hearing,
    Reading,
    UtteranceHeard,
    WakeWordHeard,
    Waking,
)
from tandem_agents.audio_interface.fused_audio_preprocessor import FusedAudioPreprocessor
from tandem_agents.audio_interface.streaming_speech_recognition import StreamingSpeechRecognition
from tandem_agents.audio_interface.streaming_tts_agent import StreamingTTSAgent
from tandem_agents.audio_interface.wake_word_detector import WakeWordDetector
from tandem_agents.engines.audio import concat, from_pcm, resample, silence, to_pcm
from tandem_agents.engines.kinds import Audio, Pcm
from tandem_agents.engines.models import Store, builtin_catalogue
from tandem_agents.speech_services.contracts import Dictation, Voicing
from tandem_agents.speech_services.stt_service import STTService
from tandem_agents.speech_services.tts_service import TTSService

pytestmark = [pytest.mark.integration, pytest.mark.models]

EARS = (AudioCapture, FusedAudioPreprocessor, WakeWordDetector, STTService, StreamingSpeechRecognition)
MOUTH = (TTSService, StreamingTTSAgent)


@pytest.fixture(autouse=True)
def _models() -> None:
    store, catalogue = Store.from_environment(), builtin_catalogue()
    for kind in ("stt", "tts", "vad", "wake"):
        try:
            store.paths(catalogue.default(kind))
        except Unavailable as missing:
            pytest.skip(f"{missing.message}: {missing.hint}")


async def say(fleet: Fleet, text: str) -> Audio:
    pieces = [from_pcm(piece) async for piece in fleet.peer(Reading).speak(text)]
    return concat(pieces)


async def hear(fleet: Fleet, sound: Audio, *, wake: bool = False) -> list[Heard]:
    """Everything heard in ``sound``, which arrives in real-time sized pieces."""
    capture = fleet.peer(Capture)
    session = await capture.open("network")

    async def play() -> None:
        step = sound.rate // 10
        for at in range(0, len(sound.samples), step):
            await capture.push(session, to_pcm(Audio(sound.samples[at : at + step], sound.rate)))
            await asyncio.sleep(0.1)
        await capture.push(session, Pcm(b"", sound.rate), last=True)

    playing = asyncio.create_task(play())
    heard = [one async for one in fleet.peer(Hearing).listen(session, wake)]
    await playing
    return heard


def words(text: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "'" else " " for c in text.lower()).split()


@virtual_time
async def test_what_is_said_is_heard() -> None:
    """A spoken sentence comes back as its words, final once, announced once, with its times."""
    async with fleet_of(*EARS, *MOUTH) as fleet:
        speech = await say(fleet, "What time is it?")
        heard = await hear(fleet, concat([silence(0.7, speech.rate), speech, silence(1.0, speech.rate)]))
        announced = fleet.published(UtteranceHeard)

    (final,) = [one for one in heard if one.final]
    assert words(final.text) == ["what", "time", "is", "it"]
    assert [event.heard for event in announced] == [final]
    assert final.started_s == pytest.approx(0.7, abs=0.4)


@virtual_time
async def test_partial_transcripts_come_while_somebody_speaks() -> None:
    """A long sentence gives partial transcripts before the final one."""
    async with fleet_of(*EARS, *MOUTH) as fleet:
        speech = await say(fleet, "Remember that the boiler code is written on the inside of the kitchen door.")
        heard = await hear(fleet, concat([speech, silence(1.0, speech.rate)]))

    assert heard[-1].final
    assert sum(1 for one in heard if not one.final) >= 1
    assert "boiler" in heard[-1].text.lower()


@virtual_time
async def test_two_utterances_are_two() -> None:
    """A pause of more than a second separates two utterances."""
    async with fleet_of(*EARS, *MOUTH) as fleet:
        first, second = await say(fleet, "Set a timer for five minutes."), await say(fleet, "What is the date today?")
        gap = silence(1.5, first.rate)
        finals = [one for one in await hear(fleet, concat([first, gap, second, gap])) if one.final]

    assert len(finals) == 2
    assert "timer" in finals[0].text.lower()
    assert "date" in finals[1].text.lower()


@virtual_time
async def test_with_wake_only_what_is_addressed_is_given() -> None:
    """Speech before the wake phrase is ignored; the request after it is given without the name."""
    async with fleet_of(*EARS, *MOUTH) as fleet:
        chatter, request = await say(fleet, "I had soup for lunch."), await say(fleet, "Hey Jarvis! What time is it?")
        gap = silence(8.0, chatter.rate)
        finals = [
            one
            for one in await hear(fleet, concat([chatter, gap, request, silence(1.0, request.rate)]), wake=True)
            if one.final
        ]
        woken = fleet.published(WakeWordHeard)

    assert len(woken) >= 1
    assert all(one.addressed for one in finals)
    assert "soup" not in " ".join(one.text for one in finals).lower()
    assert "time" in finals[-1].text.lower()


@virtual_time
async def test_silence_and_noise_are_nothing() -> None:
    """Silence and steady noise give no transcript at all."""
    noise = np.random.default_rng(7).normal(0, 0.01, 32_000).astype(np.float32)
    async with fleet_of(*EARS) as fleet:
        assert await hear(fleet, silence(2.0, 16_000)) == []
        assert await hear(fleet, Audio(noise, 16_000)) == []


@virtual_time
async def test_telephone_quality_is_understood() -> None:
    """8 kHz sound is understood as well as 24 kHz sound."""
    async with fleet_of(*EARS, *MOUTH) as fleet:
        speech = resample(await say(fleet, "What is the date today?"), 8_000)
        (final,) = [one for one in await hear(fleet, concat([speech, silence(1.0, 8_000)])) if one.final]

    assert "date" in final.text.lower()


@virtual_time
async def test_speech_stops_when_told() -> None:
    """Stopping a session silences it at the next piece; another session speaks on."""
    async with fleet_of(*MOUTH) as fleet:
        reading = fleet.peer(Reading)
        stopped = 0
        async with contextlib.aclosing(reading.speak("One. Two. Three. Four. Five.", session="a")) as pieces:  # type: ignore[type-var]
            async for _ in pieces:
                stopped += await reading.stop("a")
        whole = [piece async for piece in reading.speak("Six.", session="b")]

    assert stopped == 1
    assert whole


@virtual_time
async def test_repeats_are_remembered() -> None:
    """The same sentence in the same voice is synthesised once; another voice is not the same."""
    async with fleet_of(*MOUTH) as fleet:
        voicing = fleet.peer(Voicing)
        first = [piece async for piece in voicing.synthesize("Good morning.")]
        again = [piece async for piece in voicing.synthesize("Good morning.")]
        stats = await voicing.performance_metrics()
        other = next(voice.id for voice in await voicing.voices() if voice.id != "af_heart")
        before = await voicing.set_voice(other)
        different = [piece async for piece in voicing.synthesize("Good morning.")]

    assert again == first != different
    assert stats.requests == 1
    assert before == "af_heart"


@virtual_time
async def test_missing_voice_is_named() -> None:
    """An unknown voice is refused with the ones there are."""
    async with fleet_of(*MOUTH) as fleet:
        with pytest.raises(NotFound, match="af_heart"):
            await fleet.peer(Voicing).set_voice("nobody")


@virtual_time
async def test_too_long_a_clip_is_refused() -> None:
    """A clip beyond the limit is refused before it costs anything."""
    async with fleet_of(STTService) as fleet:
        with pytest.raises(TooLarge, match="120"):
            await fleet.peer(Dictation).transcribe(Pcm(bytes(2 * 8_000 * 121), 8_000))


@virtual_time
async def test_without_its_model_an_agent_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without its model TTSService runs, is unhealthy, and both its health and its errors name the mend."""
    monkeypatch.setenv("TANDEM_MODELS", str(tmp_path))
    async with fleet_of(TTSService) as fleet:
        report = await fleet.peer("TTSService").health_check()
        with pytest.raises(Unavailable) as refused:
            [piece async for piece in fleet.peer(Voicing).synthesize("Hello.")]

    assert report["status"] == Status.UNHEALTHY
    assert "tandem models fetch" in report["issues"][0]["fix"]
    assert "tandem models fetch" in (refused.value.hint or "")


@virtual_time
async def test_listening_may_begin_later() -> None:
    """From a time on, only what is said after it is heard and calls the assistant, and times count from the session's start."""
    async with fleet_of(*EARS, *MOUTH) as fleet:
        first, second = await say(fleet, "Hey Jarvis! What is the date today?"), await say(fleet, "Hey Jarvis! What time is it?")
        sound = concat([first, silence(3.0, first.rate), second, silence(1.5, first.rate)])
        capture, since_s = fleet.peer(Capture), first.seconds + 1.5
        session = await capture.open("file")
        await capture.push(session, to_pcm(sound), last=True)
        finals = [one async for one in fleet.peer(Hearing).listen(session, False, since_s) if one.final]
        wakes = [wake async for wake in fleet.peer(Waking).detect(session, since_s)]

    (final,) = finals
    assert "time" in final.text.lower()
    assert final.started_s == pytest.approx(first.seconds + 3.0, abs=0.4)
    (wake,) = wakes
    assert final.started_s < wake.at_s < final.ended_s
