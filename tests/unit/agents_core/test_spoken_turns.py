"""Turns that are spoken, and what is said aloud without being asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from types import SimpleNamespace

import pytest

from tandem.agent import Agent, action
from tandem.agent.testing import Member, virtual_time
from tandem.telemetry import tracing
from tandem_agents.audio_interface.contracts import Heard
from tandem_agents.core_services.contracts import FrontDoor, TalkPiece
from tandem_agents.engines.kinds import Pcm

CALLED_AFTER_S = 3600.0


class Ears(Agent):
    """Hears one sentence, which takes two seconds to say; with ``wake`` an hour later."""

    @action
    async def listen(
        self, session: str, wake: bool = False, since_s: float = 0.0
    ) -> AsyncGenerator[Heard, None]:
        if wake:
            await asyncio.sleep(CALLED_AFTER_S)
        yield Heard(text="what", language="en", final=False, started_s=0, ended_s=1)
        await asyncio.sleep(2)
        yield Heard(text="what is 17 plus 25", language="en", final=True, started_s=0, ended_s=2)


class Mouth(Agent):
    """Notes what is announced and when silence is ordered."""

    async def start(self) -> None:
        self.announced: list[tuple[str, str]] = []
        self.hushed: list[str] = []

    @action
    async def speak(self, text: str, session: str = "main", voice: str = "", speed: float = 0.0) -> AsyncGenerator[Pcm, None]:
        yield Pcm(b"\1\0", 16_000)

    @action
    async def announce(self, text: str, session: str = "main") -> bool:
        self.announced.append((text, session))
        return True

    @action(name="stop", idempotent=True)
    async def fall_silent(self, session: str = "") -> int:
        self.hushed.append(session)
        return 0


EARS, MOUTH = Member(Ears, name="StreamingSpeechRecognition"), Member(Mouth, name="StreamingTTSAgent")


@pytest.fixture
def spans() -> Iterator[tracing.SpanQueue]:
    queue = tracing.SpanQueue()
    tracing.set_sink(queue)
    yield queue
    tracing.set_sink(None)


@pytest.mark.parametrize("wake", [False, True])
@virtual_time
async def test_waiting_to_be_called_is_no_part_of_the_turn(
    home: SimpleNamespace, spans: tracing.SpanQueue, wake: bool
) -> None:
    """Whether called at once or after an hour, hearing took the two seconds it was spoken for, and so says the trace."""
    async with home.household(None, EARS, MOUTH) as fleet:
        pieces: list[TalkPiece] = [piece async for piece in fleet.peer(FrontDoor).converse("microphone", wake=wake)]
    [answer] = [piece.answer for piece in pieces if piece.answer is not None]
    [timings] = [piece.timings for piece in pieces if piece.timings is not None]
    assert "42" in answer.answer
    assert timings["hear"] == pytest.approx(2, abs=0.5)
    [turn] = [span for span in spans.drain(2000) if span.name == tracing.TURN_SPAN]
    assert tracing.turn_of(turn.trace_id) == answer.turn
    assert turn.duration_s == pytest.approx(2, abs=1)


@virtual_time
async def test_a_ring_is_said_aloud(home: SimpleNamespace) -> None:
    """What rings is given to whoever has the loudspeaker, in the session it was set in."""
    async with home.household(None, MOUTH) as fleet:
        await fleet.peer(FrontDoor).ask("set a tea timer for 1 minute", session="kitchen")
        await asyncio.sleep(65)
        assert fleet.agent(Mouth, "StreamingTTSAgent").announced == [("Your tea timer is up.", "kitchen")]


@virtual_time
async def test_a_timer_rings_in_time_though_nobody_can_say_it(home: SimpleNamespace) -> None:
    """Without the agent that has the loudspeaker a ring is announced all the same, and counts as rung."""
    async with home.household() as fleet:
        await fleet.peer(FrontDoor).ask("set a tea timer for 1 minute")
        await asyncio.sleep(65)
        assert await fleet.peer(FrontDoor).list_alarms() == []


@virtual_time
async def test_stop_silences_the_loudspeaker(home: SimpleNamespace) -> None:
    """Stop ends what is being said aloud as well as what is being thought."""
    async with home.household(None, MOUTH) as fleet:
        await fleet.peer(FrontDoor).ask("stop", session="kitchen")
        await asyncio.sleep(1)
        assert fleet.agent(Mouth, "StreamingTTSAgent").hushed == ["kitchen"]


@virtual_time
async def test_a_turn_shows_the_models_work(home: SimpleNamespace, spans: tracing.SpanQueue) -> None:
    """Below the action that a model answers is a span of its own, with its name, its time and its tokens, and no words."""
    async with home.household() as fleet:
        await home.teach(fleet)
        await fleet.peer(FrontDoor).ask("tell me about the sea")
    found = spans.drain(2000)
    by_id = {span.span_id: span for span in found}
    works = [span for span in found if span.name == "chat parrot"]
    assert works
    for work in works:
        assert by_id[work.parent_id].name in ("generate", "generate_text")
        assert work.duration_s == pytest.approx(2, abs=0.5)
        assert work.attributes == {
            "gen_ai.operation.name": "chat", "gen_ai.request.model": "parrot",
            "gen_ai.usage.input_tokens": 10, "gen_ai.usage.output_tokens": 5,
        }  # fmt: skip
