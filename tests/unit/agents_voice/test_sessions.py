"""Sound sessions: every listener hears everything once, slow ones slow the writer down."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from tandem.agent.testing import virtual_time
from tandem.core.errors import InvalidArguments, NotFound, Overloaded
from tandem_agents.audio_interface.sessions import CHUNK_S, Session, Sessions
from tandem_agents.engines.kinds import Pcm

RATE = 16_000


def tone(seconds: float, rate: int = RATE) -> Pcm:
    samples = np.sin(np.arange(round(seconds * rate)) * 2 * np.pi * 440 / rate) * 8000
    return Pcm(samples.astype("<i2").tobytes(), rate)


async def hear(session: Session) -> bytes:
    return b"".join([chunk.pcm.data async for chunk in session.listen()])


@virtual_time
async def test_every_listener_hears_the_whole_session() -> None:
    """Listeners that come early, late and after the end all hear the same sound from the beginning."""
    session, sound = Session("file", 60), tone(1.23)
    early = asyncio.create_task(hear(session))
    await asyncio.sleep(0)
    await session.push(sound, last=False)
    late = asyncio.create_task(hear(session))
    await session.push(Pcm(b"", RATE), last=True)

    assert await early == await late == await hear(session) == sound.data


@virtual_time
async def test_sound_is_brought_to_the_speech_rate() -> None:
    """48 kHz in gives 16 kHz out with the same duration, in chunks stamped with their times."""
    session = Session("network", 60)
    await session.push(tone(1.0, 48_000), last=True)
    chunks = [chunk async for chunk in session.listen()]

    assert {chunk.pcm.rate for chunk in chunks} == {RATE}
    assert sum(chunk.pcm.seconds for chunk in chunks) == pytest.approx(1.0, abs=0.01)
    assert [chunk.at_s for chunk in chunks] == pytest.approx([n * CHUNK_S for n in range(len(chunks))])


@virtual_time
async def test_a_slow_listener_slows_the_writer() -> None:
    """With the buffer full, push waits until the slowest listener has moved on, and nothing is lost."""
    session = Session("file", 1.0)
    writer = asyncio.create_task(session.push(tone(3.0), last=True))
    listener = session.listen()
    first = await anext(listener)
    for _ in range(20):
        await asyncio.sleep(0)
    assert not writer.done()
    rest = [chunk.pcm.data async for chunk in listener]
    await writer

    assert first.pcm.data + b"".join(rest) == tone(3.0).data


@virtual_time
async def test_a_slow_listener_that_leaves_holds_nobody_up() -> None:
    """When it goes, the writer and those who have heard everything so far go on at once."""
    session = Session("file", 1.0)
    quick = asyncio.create_task(hear(session))
    slow = session.listen()
    writer = asyncio.create_task(session.push(tone(3.0), last=True))
    await anext(slow)
    for _ in range(100):
        await asyncio.sleep(0)
    assert not writer.done()
    await slow.aclose()
    async with asyncio.timeout(1):
        await writer
        assert await quick == tone(3.0).data


@virtual_time
async def test_a_microphone_never_waits() -> None:
    """A recording nobody keeps up with forgets its oldest sound instead of blocking."""
    session = Session("microphone", 1.0)
    session.record(tone(3.0))
    session.end()
    heard = [chunk async for chunk in session.listen()]

    assert sum(chunk.pcm.seconds for chunk in heard) == pytest.approx(1.0)
    assert heard[0].at_s == pytest.approx(2.0)


@virtual_time
async def test_nothing_can_be_added_after_the_end() -> None:
    """An ended session refuses more sound, and a session keeps its sample rate."""
    session = Session("file", 10)
    await session.push(tone(0.2), last=False)
    with pytest.raises(InvalidArguments, match="sample rate"):
        await session.push(tone(0.2, 8_000), last=False)
    session.end()
    with pytest.raises(InvalidArguments, match="ended"):
        await session.push(tone(0.2), last=False)


@virtual_time
async def test_sessions_are_limited_and_forgotten_when_idle() -> None:
    """Too many sessions are refused; one nobody uses for long is closed and no longer found."""
    sessions = Sessions(limit=1, capacity_s=10)
    session = sessions.open("network")
    with pytest.raises(Overloaded):
        sessions.open("network")
    await asyncio.sleep(61)

    assert sessions.close_idle(60) == [session.id]
    with pytest.raises(NotFound):
        sessions.get(session.id)


@virtual_time
async def test_a_microphone_nobody_listens_to_is_idle() -> None:
    """Its own sound keeps no session open, a listener does."""
    sessions = Sessions(limit=2, capacity_s=10)
    forgotten, heard = sessions.open("microphone"), sessions.open("microphone")
    listening = asyncio.create_task(hear(heard))
    for _ in range(70):
        forgotten.record(tone(1.0))
        heard.record(tone(1.0))
        await asyncio.sleep(1)

    assert sessions.close_idle(60) == [forgotten.id]
    sessions.close(heard.id)
    assert len(await listening) == 70 * RATE * 2


@virtual_time
async def test_a_listener_may_begin_later() -> None:
    """Who asks for the sound since a time gets the chunk at that time and all that follow, also when it is yet to come."""
    session, sound = Session("microphone", 60), tone(1.0)
    session.record(sound)
    later = [asyncio.create_task(_times(session, since_s)) for since_s in (0.45, 1.2)]
    await asyncio.sleep(0)
    session.record(tone(0.5))
    session.end()
    first, second = [await times for times in later]
    assert first == pytest.approx([n * CHUNK_S for n in range(4, 15)])
    assert second == pytest.approx([1.2, 1.3, 1.4])
    for nonsense in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InvalidArguments):
            await _times(session, nonsense)


async def _times(session: Session, since_s: float) -> list[float]:
    return [chunk.at_s async for chunk in session.listen(since_s)]
