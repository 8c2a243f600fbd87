"""What the speech services do around their engines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest

from tandem.agent.declare import declarations
from tandem.agent.testing import fleet_of, virtual_time
from tandem.core.errors import InvalidArguments, NotFound, Overloaded, Unavailable
from tandem.telemetry import tracing
from tandem_agents.audio_interface.contracts import Reading
from tandem_agents.audio_interface.streaming_tts_agent import StreamingTTSAgent, louder, spoken_parts
from tandem_agents.engines.kinds import Audio, Pcm, Transcript, Voice
from tandem_agents.language_processing.contracts import Reply, Speaking, VoiceProfile
from tandem_agents.language_processing.responder import Responder
from tandem_agents.speech_services import stt_service, tts_service
from tandem_agents.speech_services.batch import ClipQueue
from tandem_agents.speech_services.contracts import Dictation, Voicing

CLIP = Pcm(b"\1\0" * 1600, 16_000)


class Scribe:
    """Writes down how long a clip is, after a second of thought."""

    name, languages = "scribe", ("en",)

    async def transcribe(self, audio: Audio) -> Transcript:
        await asyncio.sleep(1)
        if audio.rate == 8_000:
            raise InvalidArguments("too dull")
        return Transcript(f"{audio.seconds:g} seconds", "en", audio.seconds)

    async def close(self) -> None: ...


class Speaker:
    """Says a tenth of a second per word, and notes what it was told to say and how."""

    name, rate = "speaker", 16_000
    voices = (Voice("anna", "en-US", "female"), Voice("luis", "es", "male"))

    def __init__(self) -> None:
        self.said: list[tuple[str, str | None, float]] = []

    async def synthesize(
        self, text: str, *, voice: str | None = None, speed: float = 1.0
    ) -> AsyncGenerator[Audio, None]:
        self.said.append((text, voice, speed))
        for _ in text.split():
            await asyncio.sleep(0.1)
            yield Audio(np.full(1600, 0.5, dtype=np.float32), self.rate)

    async def close(self) -> None: ...


@pytest.fixture
def scribe(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether there is a recogniser; an empty list means not yet."""
    there: list[bool] = [True]

    async def open_scribe(_settings: object) -> Scribe:
        if not there:
            raise Unavailable("no model", hint="tandem models fetch")
        return Scribe()

    monkeypatch.setattr(stt_service, "open_speech_to_text", open_scribe)
    return there


@pytest.fixture
def speaker(monkeypatch: pytest.MonkeyPatch) -> Speaker:
    made = Speaker()

    async def open_speaker(_settings: object) -> Speaker:
        return made

    monkeypatch.setattr(tts_service, "open_text_to_speech", open_speaker)
    return made


@virtual_time
async def test_queued_clips_are_written_down(scribe: list[bool]) -> None:
    """A ticket is waiting, then done with its transcript; a clip that cannot be used has failed and says why."""
    async with fleet_of(stt_service.STTService) as fleet:
        stt = fleet.peer(Dictation)
        good = await stt.queue_for_batch(CLIP)
        bad = await stt.queue_for_batch(Pcm(CLIP.data, 8_000))
        assert [one.state for one in await stt.batch_results([good, bad])] == ["waiting", "waiting"]
        await asyncio.sleep(5)
        first, second = await stt.batch_results([good, bad])
        assert first.transcript == Transcript("0.1 seconds", "en", 0.1)
        assert (second.state, second.problem) == ("failed", "too dull")
        with pytest.raises(NotFound):
            await stt.batch_results(["nobody's"])


@virtual_time
async def test_queued_clips_outlive_a_restart_and_wait_for_a_model(
    scribe: list[bool], tmp_path: Path
) -> None:
    """What was queued without a model is written down after a restart, once there is one."""
    scribe.clear()
    async with fleet_of(stt_service.STTService, state=tmp_path) as fleet:
        ticket = await fleet.peer(Dictation).queue_for_batch(CLIP)
        await asyncio.sleep(60)
        assert (await fleet.peer(Dictation).batch_results([ticket]))[0].state == "waiting"
        await fleet.kill("STTService")
        await fleet.start("STTService")
        scribe.append(True)
        await asyncio.sleep(30)
        assert (await fleet.peer(Dictation).batch_results([ticket]))[0].state == "done"


@virtual_time
async def test_who_speaks_now_goes_first(scribe: list[bool]) -> None:
    """While a clip somebody waits for is written down no queued one is begun."""
    async with fleet_of(stt_service.STTService) as fleet:
        stt = fleet.peer(Dictation)
        live = asyncio.ensure_future(stt.transcribe(CLIP))
        await asyncio.sleep(0.1)
        ticket = await stt.queue_for_batch(CLIP)
        await live
        assert (await stt.batch_results([ticket]))[0].state == "waiting"
        await asyncio.sleep(3)
        assert (await stt.batch_results([ticket]))[0].state == "done"


def test_the_queue_is_bounded(tmp_path: Path) -> None:
    """One clip too many is refused; results make room, and are gone a day later."""
    queue = ClipQueue(tmp_path / "clips.db", 2)
    queue.add("a", CLIP, 0.0)
    queue.add("b", CLIP, 1.0)
    with pytest.raises(Overloaded):
        queue.add("c", CLIP, 2.0)
    oldest = queue.oldest()
    assert oldest is not None
    assert (oldest.ticket, oldest.audio) == ("a", CLIP)
    queue.done("a", Transcript("hi", "en", 0.1))
    queue.add("c", CLIP, 90_000.0)
    with pytest.raises(NotFound):
        queue.results(["a"])
    queue.close()


@virtual_time
async def test_speaking_chooses_a_voice_by_language_and_stops(speaker: Speaker) -> None:
    """A language takes one of its voices, one nobody speaks is refused, and ``stop`` ends what is being spoken."""
    async with fleet_of(tts_service.TTSService) as fleet:
        tts = fleet.peer(Voicing)
        heard = [piece async for piece in tts.speak("uno dos", language="es", speed=1.5)]
        assert (len(heard), speaker.said) == (2, [("uno dos", "luis", 1.5)])
        with pytest.raises(NotFound, match="tl"):
            await anext(aiter(tts.speak("isa", language="tl")))
        long = tts.speak("one two three four five six seven eight", voice="anna")
        await anext(aiter(long))
        assert await tts.stop() == 1
        assert len([piece async for piece in long]) < 7
        assert await tts.stop() == 0


@virtual_time
async def test_old_names_of_speaking_and_stopping(speaker: Speaker) -> None:
    """``text`` speaks and ``STOP_SPEAKING`` silences, as programs of the first assistant expect."""
    async with fleet_of(tts_service.TTSService, StreamingTTSAgent) as fleet:
        old = fleet.agent(StreamingTTSAgent)
        said = old.read_text("one two three four five six")
        await anext(said)
        assert await old.stop_speaking() == 1
        assert len([piece async for piece in said]) < 5
        assert {"text", "STOP_SPEAKING"} <= set(declarations(StreamingTTSAgent).actions)


@virtual_time
async def test_volume_and_speed_are_the_assistants_until_said_otherwise(speaker: Speaker) -> None:
    """A volume scales what is heard, a speed given with the text wins, and what is out of range is refused."""
    async with fleet_of(tts_service.TTSService, StreamingTTSAgent) as fleet:
        reading = fleet.peer(Reading)
        await reading.update_voice_settings(volume=0.5, speed=1.2)
        loud = [piece async for piece in reading.speak("hi", speed=2.0)]
        assert speaker.said[-1][2] == 2.0
        assert np.frombuffer(loud[0].data, dtype="<i2").max() == pytest.approx(0.25 * 32767, abs=3)
        for wrong in ({"volume": 3.0}, {"speed": 9.0}):
            with pytest.raises(InvalidArguments):
                await reading.update_voice_settings(**wrong)  # type: ignore[arg-type]


@virtual_time
async def test_a_turn_shows_how_much_was_heard_and_said(scribe: list[bool], speaker: Speaker) -> None:
    """Recognition and synthesis have spans of their own, with the model's name and the seconds of sound."""
    spans = tracing.SpanQueue()
    tracing.set_sink(spans)
    try:
        async with fleet_of(stt_service.STTService, tts_service.TTSService) as fleet:
            with tracing.start_turn():
                await fleet.peer(Dictation).transcribe(CLIP)
                assert len([piece async for piece in fleet.peer(Voicing).synthesize("one two three")]) == 3
    finally:
        tracing.set_sink(None)
    seconds = {span.name: span.attributes["tandem.audio_s"] for span in spans.drain() if "tandem.audio_s" in span.attributes}
    assert seconds == {"transcribe scribe": pytest.approx(0.1), "speak speaker": pytest.approx(0.3)}


def test_what_is_too_loud_is_cut_off() -> None:
    """Twice a loud sample is full scale, not a wrapped-around one."""
    piece = Pcm(np.array([30_000, -30_000, 100], dtype="<i2").tobytes(), 16_000)
    assert list(np.frombuffer(louder(piece, 2.0).data, dtype="<i2")) == [32767, -32768, 200]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("It is noon.", ["It is noon."]),
        ("I cannot switch or see devices yet, so nothing changes about the lamp. Sorry.",
         ["I cannot switch or see devices yet,", "so nothing changes about the lamp.", "Sorry."]),
        ("A sentence of some length without any clause in it at all.", ["A sentence of some length without any clause in it at all."]),
        ("Well, this opening is too short to be spoken on its own, so it is joined.",
         ["Well, this opening is too short to be spoken on its own,", "so it is joined."]),
        ("", []),
    ],
)  # fmt: skip
def test_a_long_first_sentence_begins_with_its_first_clause(text: str, parts: list[str]) -> None:
    """Sound begins after a clause rather than a whole long sentence; nothing is lost and short sentences stay whole."""
    assert spoken_parts(text) == parts


@virtual_time
async def test_everybody_is_spoken_to_in_the_voice_they_like(speaker: Speaker, tmp_path: Path) -> None:
    """A profile comes with that user's answers, outlives a restart, and is refused for a voice that does not exist."""
    async with fleet_of(tts_service.TTSService, Responder, state=tmp_path) as fleet:
        responder = fleet.peer(Speaking)
        before = await responder.add_user_voice_profile(VoiceProfile(user="eva", voice="luis", speed=1.3))
        assert before == VoiceProfile(user="eva")
        with pytest.raises(NotFound, match="nobody"):
            await responder.add_user_voice_profile(VoiceProfile(user="eva", voice="nobody"))
        with pytest.raises(InvalidArguments):
            await responder.add_user_voice_profile(VoiceProfile(user="eva", speed=7.0))
        await fleet.kill("Responder")
        await fleet.start("Responder")
        worded = await responder.respond(Reply(text="Hi."), "eva")
        assert (worded.text, worded.voice, worded.speed) == ("Hi.", "luis", 1.3)
        assert (await responder.respond(Reply(text="Hi."), "ben")).voice == ""
