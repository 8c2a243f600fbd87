"""Sound through a loudspeaker: in order, silenced at once, and nothing pretended where there is none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
import pytest

from tandem.agent import Agent, action
from tandem.agent.testing import Member, fleet_of, virtual_time
from tandem.core.errors import Unavailable
from tandem_agents.audio_interface import loudspeaker, sound_device
from tandem_agents.audio_interface.chime import chime
from tandem_agents.audio_interface.contracts import Reading
from tandem_agents.audio_interface.loudspeaker import Loudspeaker, Playback
from tandem_agents.audio_interface.streaming_tts_agent import ANNOUNCING_PAUSE_S, StreamingTTSAgent
from tandem_agents.engines.kinds import Pcm

VOICE_RATE = 24_000
WORDS = Pcm(np.full(2400, 1000, dtype="<i2").tobytes(), VOICE_RATE)


class Stream:
    """An output stream of :class:`Card`."""

    def __init__(self, card: Card, rate: int):
        self._card, self.rate = card, rate

    def __enter__(self) -> Stream:
        assert len(self._card.opened) == self._card.closed, "two streams at once"
        self._card.opened.append(self.rate)
        return self

    def __exit__(self, *_: object) -> None:
        self._card.closed += 1

    def write(self, data: bytes) -> None:
        if self._card.broken:
            raise self._card.PortAudioError("device unplugged")
        self._card.played += data
        self._card.wrote.set()
        self._card.may_play.wait()

    def abort(self) -> None:
        self._card.aborted += 1


class Card:
    """``sounddevice`` with one loudspeaker that plays at 48 kHz, and at ``rates``."""

    class PortAudioError(Exception):
        """As the library's own."""

    def __init__(self) -> None:
        self.rates = {VOICE_RATE}
        self.broken = self.absent = self.known_absent = False
        self.looks = 0
        self.opened: list[int] = []
        self.played = b""
        self.closed = self.aborted = 0
        self.wrote, self.may_play = threading.Event(), threading.Event()
        self.may_play.set()

    def load(self, *, look_again: bool = False) -> Card:
        self.known_absent = self.absent if look_again or not self.looks else self.known_absent
        self.looks += 1
        return self

    def query_devices(self, kind: str) -> dict[str, float]:
        assert kind == "output"
        if self.known_absent:
            raise self.PortAudioError("no default output device")
        return {"default_samplerate": 48_000.0}

    def check_output_settings(self, *, channels: int, dtype: str, samplerate: int) -> None:
        if samplerate not in self.rates:
            raise self.PortAudioError("invalid sample rate")

    def RawOutputStream(self, *, samplerate: int, channels: int, dtype: str) -> Stream:
        assert (channels, dtype) == (1, "int16")
        return Stream(self, samplerate)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Card:
    made = Card()
    monkeypatch.setattr(sound_device, "load_sounddevice", made.load)
    return made


async def test_pieces_are_played_in_their_order(card: Card) -> None:
    """All of it is heard, as it was made, before ``finish`` returns."""
    playback = Playback(Loudspeaker.find())
    pieces = [Pcm(bytes([number, 0]) * 3000, VOICE_RATE) for number in range(4)]
    for piece in pieces:
        playback.add(piece)
    await playback.finish()
    assert card.played == b"".join(piece.data for piece in pieces)
    assert (card.opened, card.closed, card.aborted) == ([VOICE_RATE], 1, 0)


async def test_a_device_with_its_own_rate_gets_that(card: Card) -> None:
    """Sound that the device cannot play as it is, is played at the device's rate, as long as before."""
    card.rates = set()
    playback = Playback(Loudspeaker.find())
    for _ in range(5):
        playback.add(WORDS)
    await playback.finish()
    assert card.opened == [48_000]
    seconds = len(card.played) / 2 / 48_000
    assert seconds == pytest.approx(5 * WORDS.seconds, abs=0.02)


async def test_silence_is_obeyed_at_once(card: Card) -> None:
    """Once silenced, no further block is handed to the card, however much waits, and the device is given back."""
    card.may_play.clear()
    playback = Playback(Loudspeaker.find())
    playback.add(Pcm(b"\1\0" * 10 * VOICE_RATE, VOICE_RATE))
    await asyncio.to_thread(card.wrote.wait)
    playback.silence()
    card.may_play.set()
    await playback.finish()
    assert len(card.played) == 2 * int(loudspeaker.BLOCK_S * VOICE_RATE)
    assert (card.aborted, card.closed) == (1, 1)


async def test_what_cannot_be_played_is_said(card: Card) -> None:
    """A device that fails, and none at all, are ``Unavailable`` with the library's own words."""
    playback = Playback(Loudspeaker.find())
    card.broken = True
    playback.add(WORDS)
    with pytest.raises(Unavailable, match="unplugged"):
        await playback.finish()
    card.absent = True
    with pytest.raises(Unavailable, match="no default output device"):
        Loudspeaker.find(look_again=True)


async def test_nothing_to_play_opens_no_device(card: Card) -> None:
    """An answer without sound leaves the device alone."""
    await Playback(Loudspeaker.find()).finish()
    assert card.opened == []


class Voices(Agent):
    """A TTS that says a tenth of a second, or nothing while it is ``hoarse``."""

    hoarse = False

    @action
    async def synthesize(self, text: str, voice: str = "", speed: float = 0.0) -> AsyncGenerator[Pcm, None]:
        if self.hoarse:
            raise Unavailable("the model is missing")
        yield WORDS


def house(**settings: Any) -> Any:
    return fleet_of(Member(Voices, name="TTSService"), Member(StreamingTTSAgent, **settings))


@virtual_time
async def test_an_announcement_is_said_again_and_again(card: Card) -> None:
    """A chime and the words, three times with a pause."""
    once = chime(VOICE_RATE).data + WORDS.data
    async with house() as fleet:
        assert await fleet.peer(Reading).announce("The tea is ready.")
        await asyncio.sleep(1)
        assert card.played == once
        await asyncio.sleep(10 * ANNOUNCING_PAUSE_S)
        assert card.played == 3 * once
        assert fleet.agent(StreamingTTSAgent).capabilities == ["loudspeaker"]


@virtual_time
async def test_announcements_take_turns(card: Card) -> None:
    """Two at once are both said three times, and never at the same time."""
    async with house() as fleet:
        for text in ("The tea is ready.", "The eggs are ready."):
            assert await fleet.peer(Reading).announce(text)
        await asyncio.sleep(20 * ANNOUNCING_PAUSE_S)
        assert card.played == 6 * (chime(VOICE_RATE).data + WORDS.data)


@virtual_time
async def test_stop_ends_an_announcement(card: Card) -> None:
    """Whoever says stop, in whatever session, is obeyed, and no repetition follows."""
    async with house() as fleet:
        await fleet.peer(Reading).announce("The tea is ready.", session="kitchen")
        await asyncio.sleep(1)
        assert await fleet.peer(Reading).stop("desk") == 1
        before = card.played
        await asyncio.sleep(10 * ANNOUNCING_PAUSE_S)
        assert card.played == before
        assert await fleet.peer(Reading).stop() == 0


@virtual_time
async def test_without_a_voice_there_is_the_chime(card: Card) -> None:
    """A timer whose words cannot be spoken is heard all the same."""
    async with house(announce_times=1) as fleet:
        fleet.agent(Voices, "TTSService").hoarse = True
        await fleet.peer(Reading).announce("The tea is ready.")
        await asyncio.sleep(5)
        assert card.played == chime(VOICE_RATE).data


@virtual_time
async def test_without_a_loudspeaker_nothing_is_pretended(card: Card) -> None:
    """No device is no fault unless one was insisted on; ``none`` does not even look."""
    card.absent = True
    for audio, issues in (("auto", 0), ("loudspeaker", 1), ("none", 0)):
        card.absent = audio != "none"
        async with house(audio=audio) as fleet:
            assert not await fleet.peer(Reading).announce("The tea is ready.")
            agent = fleet.agent(StreamingTTSAgent)
            assert (len(list(await agent.check())), agent.capabilities) == (issues, [])
    assert card.opened == []


@virtual_time
async def test_a_loudspeaker_that_comes_later_is_found(card: Card) -> None:
    """One that is plugged in after the start, or a sound server that starts later, is found when something is to be said."""
    card.absent = True
    async with house(announce_times=1) as fleet:
        assert not await fleet.peer(Reading).announce("The tea is ready.")
        card.absent = False
        assert await fleet.peer(Reading).announce("The tea is ready.")
        await asyncio.sleep(5)
        assert card.played == chime(VOICE_RATE).data + WORDS.data
        assert fleet.agent(StreamingTTSAgent).capabilities == ["loudspeaker"]


@virtual_time
async def test_a_loudspeaker_that_fails_is_an_error_and_no_crash(card: Card) -> None:
    """What cannot be played is reported, and the next announcement is tried again."""
    async with house(announce_times=1) as fleet:
        card.broken = True
        assert await fleet.peer(Reading).announce("The tea is ready.")
        await asyncio.sleep(5)
        card.broken = False
        assert await fleet.peer(Reading).announce("The tea is ready.")
        await asyncio.sleep(5)
        assert card.played == chime(VOICE_RATE).data + WORDS.data
        assert not list(await fleet.agent(StreamingTTSAgent).check())


def test_the_chime_can_be_heard_and_does_not_click() -> None:
    """About a second of two notes, well below full scale, beginning and ending near silence."""
    samples = np.frombuffer(chime(VOICE_RATE).data, "<i2").astype(int)
    assert 0.5 < len(samples) / VOICE_RATE < 1.5
    assert 8_000 < np.abs(samples).max() < 16_000
    assert abs(samples[0]) < 200 and not samples[-100:].any()
    spectrum = np.abs(np.fft.rfft(samples[: int(0.35 * VOICE_RATE)]))
    assert np.argmax(spectrum) / 0.35 == pytest.approx(880, abs=5)
