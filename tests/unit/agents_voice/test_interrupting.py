"""``tandem talk --follow``: whoever calls the assistant while it speaks is listened to."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tandem.agent.testing import virtual_time
from tandem.core.errors import TandemError, Unavailable
from tandem_agents.audio_interface.contracts import Heard, Wake
from tandem_agents.commands import hands_free, talking
from tandem_agents.commands.interrupting import PHRASE_S, holds_name
from tandem_agents.commands.spoken_turn import LISTENING, NothingHeard
from tandem_agents.core_services.contracts import Answer, TalkPiece
from tandem_agents.engines.audio import to_wav
from tandem_agents.engines.kinds import Audio, Pcm

ASKED_S = 2.0
"""Where in the sound every request ends."""
TALE = ("Once upon a time.", "There was a king.", "He had three sons.")
SENTENCE_S = 10.0


class House:
    """A front door that tells tales of any length, a microphone, a wake word detector and a loudspeaker.

    ``tales`` are the answers, one turn after the other: a sentence every second, each taking ten to be heard.
    ``requests`` is what is understood each time. ``calls`` are the seconds at which somebody calls while the first is told.
    """

    front_door = "RequestCoordinator@mainpc"

    def __init__(self) -> None:
        self.tales: list[tuple[str, ...]] = [TALE]
        self.requests = ["tell me a tale"]
        self.calls: list[float] = []
        self.deaf: TandemError | None = None
        self.opened = self.closed = 0
        self.listened: list[tuple[str, bool, float]] = []
        self.watched: list[float] = []
        self.told: list[str] = []
        self.begun_s = self.pushed_s = 0.0
        self.pushed = asyncio.Event()
        self.heard_s: list[float] = []

    def peer(self, contract: object, at: str = "") -> House:
        return self

    async def open(self, kind: str) -> str:
        self.opened += 1
        return f"{kind} {self.opened}"

    async def close(self, source: str) -> None:
        self.closed += 1

    async def push(self, source: str, pcm: Pcm, last: bool) -> None:
        self.pushed_s += pcm.seconds
        if last:
            self.pushed.set()

    async def converse(
        self, source: str, *, session: str, wake: bool, whole: bool, since_s: float
    ) -> AsyncIterator[TalkPiece]:
        self.listened.append((source, wake, since_s))
        if whole:
            await self.pushed.wait()
        if not self.requests:
            await asyncio.Event().wait()
        request = self.requests.pop(0)
        self.begun_s = asyncio.get_running_loop().time()
        yield TalkPiece(
            heard=Heard(
                text=request, language="en", final=True, started_s=since_s, ended_s=since_s + ASKED_S, addressed=True
            )
        )
        if not request:
            return
        tale = self.tales.pop(0)
        for sentence in tale:
            await asyncio.sleep(1)
            self.told.append(sentence)
            yield TalkPiece(said=sentence)
            yield TalkPiece(sound=Pcm(bytes(2 * int(SENTENCE_S * 100)), 100))
        yield TalkPiece(answer=Answer(answer=" ".join(tale), intent="question", turn="t", timings={}))

    async def detect(self, source: str, since_s: float) -> AsyncIterator[Wake]:
        self.watched.append(since_s)
        if self.deaf is not None:
            deaf, self.deaf = self.deaf, None
            raise deaf
        calls, self.calls = self.calls, []
        for call_s in calls:
            await asyncio.sleep(self.begun_s + call_s - asyncio.get_running_loop().time())
            yield Wake("Hey Jarvis", since_s + call_s)
        await asyncio.Event().wait()

    async def announcements(self) -> AsyncIterator[Any]:
        await asyncio.Event().wait()
        yield


class Mouth:
    """A playback in virtual time: notes for how many seconds there was something to be heard."""

    def __init__(self, house: House):
        self._house = house
        self._left_s = 0.0
        self._began_s: float | None = None

    def add(self, piece: Pcm) -> None:
        self._began_s = asyncio.get_running_loop().time() if self._began_s is None else self._began_s
        self._left_s += piece.seconds

    async def finish(self) -> None:
        assert self._began_s is not None
        await asyncio.sleep(self._began_s + self._left_s - asyncio.get_running_loop().time())
        self.silence()

    def silence(self) -> None:
        if self._began_s is not None:
            played_s = asyncio.get_running_loop().time() - self._began_s
            self._house.heard_s.append(min(played_s, self._left_s))
        self._began_s = None


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    made = House()

    @asynccontextmanager
    async def connect(fleet: str | None, *, budget_s: float) -> AsyncIterator[Any]:
        yield made

    for module in (hands_free, talking):
        monkeypatch.setattr(module, "connect", connect)
    monkeypatch.setattr(talking.Loudspeaker, "find", lambda *, look_again: made)
    monkeypatch.setattr(talking, "Playback", Mouth)
    return made


async def follow(seconds: float, *, as_json: bool = False) -> None:
    """Stay for so long, then press Ctrl-C."""
    conversation = talking.Conversation(session="main", wake=False, narrate=not as_json, aloud=True)
    staying = asyncio.create_task(hands_free.stay(conversation, None, None, 120.0, as_json=as_json))
    await asyncio.sleep(seconds)
    staying.cancel()
    await asyncio.gather(staying, return_exceptions=True)


@virtual_time
async def test_nobody_calls(house: House) -> None:
    """An answer is heard to its end while the microphone stays open, and the next one who calls is listened to afresh."""
    await follow(60)
    assert house.heard_s == [30.0]
    assert house.watched == [ASKED_S]
    assert house.listened == [("microphone 1", True, 0.0), ("microphone 2", True, 0.0)]
    assert (house.opened, house.closed) == (2, 2)


@virtual_time
async def test_the_phrase_breaks_an_answer_off(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """Sound and answer end at once, and what is said from the phrase on is a request of the same sound session."""
    house.calls, house.requests, house.tales = [2.5], ["tell me a tale", "stop"], [TALE, ("Stopped.",)]
    await follow(60)
    assert house.heard_s == [1.5, 10.0]
    assert house.told == [*TALE[:2], "Stopped."]
    called_s = ASKED_S + 2.5 - PHRASE_S
    assert house.listened == [
        ("microphone 1", True, 0.0),
        ("microphone 1", False, called_s),
        ("microphone 2", True, 0.0),
    ]
    assert house.watched == [ASKED_S, called_s + ASKED_S]
    said = capsys.readouterr()
    assert "you:    stop\nanswer: Stopped.\n" in said.out
    assert said.err.splitlines() == [hands_free.CALLING, LISTENING, hands_free.CALLING]


@virtual_time
async def test_an_answer_that_is_only_being_played_can_be_interrupted(house: House) -> None:
    """Also when the answer has been made to its end, what was not heard yet is dropped."""
    house.calls, house.requests, house.tales = [20.0], ["tell me a tale", "stop"], [TALE, ("Stopped.",)]
    await follow(60)
    assert house.heard_s == [19.0, 10.0]
    assert house.told == [*TALE, "Stopped."]


@virtual_time
async def test_who_only_calls_may_speak_afterwards(house: House) -> None:
    """After the phrase and a pause, what is said next is the request, and the microphone has missed nothing of it."""
    house.requests = ["", "tell me a tale"]
    await follow(60)
    assert house.listened[:2] == [("microphone 1", True, 0.0), ("microphone 1", False, ASKED_S)]
    assert house.heard_s == [30.0]


@virtual_time
async def test_who_interrupts_need_not_go_on(house: House) -> None:
    """Whoever says nothing more after the phrase has silenced it; after eight seconds it waits to be called again."""
    house.calls = [2.5]
    await follow(2.6 + 8)
    assert [wake for _, wake, _ in house.listened] == [True, False, True]
    assert house.heard_s == [1.5]


@virtual_time
async def test_its_own_name_does_not_interrupt_it(house: House) -> None:
    """Once it has said its name, the phrase may be its own voice: nothing it says after that makes it stop."""
    house.tales = [("You call me by saying hey Jarvis.", *TALE)]
    house.calls = [2.5, 20.0]
    await follow(60)
    assert house.heard_s == [40.0]
    assert [wake for _, wake, _ in house.listened] == [True, True]


@virtual_time
async def test_without_the_detector_answers_are_heard(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """While nobody listens for the phrase the answer goes on, which is said, and once somebody does it can be interrupted."""
    house.deaf = Unavailable("no wake word model", hint="tandem models fetch")
    house.calls, house.requests, house.tales = [9.0], ["tell me a tale", "stop"], [TALE, ("Stopped.",)]
    await follow(60)
    assert house.watched[:2] == [ASKED_S, ASKED_S]
    assert house.heard_s == [8.0, 10.0]
    said = capsys.readouterr().err
    assert said.count("(the answer cannot be interrupted: no wake word model (tandem models fetch))") == 1


@virtual_time
async def test_programs_read_what_was_said_before(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--json`` an answer that was broken off is an object of its own: what was said of it, without intent and turn."""
    house.calls, house.requests, house.tales = [2.5], ["tell me a tale", "stop"], [TALE, ("Stopped.",)]
    await follow(60, as_json=True)
    broken, whole = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert (broken["transcript"], broken["answer"]) == ("tell me a tale", " ".join(TALE[:2]))
    assert (broken["intent"], broken["turn"]) == ("", "")
    assert (whole["transcript"], whole["answer"], whole["intent"]) == ("stop", "Stopped.", "question")


@virtual_time
async def test_a_single_request_is_answered_to_its_end(house: House) -> None:
    """Without ``--follow`` nobody listens for the phrase, the microphone is shut while the answer is heard, and its sound
    is given to who asked."""
    house.calls = [2.5]
    conversation = talking.Conversation(session="main", wake=False, narrate=True, aloud=True)
    holding = asyncio.create_task(conversation.hold(None, None, 120.0))
    await asyncio.sleep(20)
    assert (house.closed, house.heard_s) == (1, [])
    result, speech = await holding
    assert (result.transcript, result.answer, result.intent) == ("tell me a tale", " ".join(TALE), "question")
    assert speech is not None
    assert speech.seconds == 30
    assert (house.heard_s, house.watched, house.listened) == ([30.0], [], [("microphone 1", False, 0.0)])


@pytest.mark.parametrize(("wake", "why"), [(False, "no speech was heard"), (True, "no wake phrase was heard")])
@virtual_time
async def test_a_single_request_that_nobody_makes(house: House, tmp_path: Path, wake: bool, why: str) -> None:
    """A recording in which nothing is said, or nobody is called, is refused in words; all of it has been handed in."""
    clip = tmp_path / "hum.wav"
    clip.write_bytes(to_wav(Audio(np.sin(np.arange(40_000) / 20).astype(np.float32) / 2, 16_000)))
    house.requests = [""]
    conversation = talking.Conversation(session="main", wake=wake, narrate=False, aloud=False)
    with pytest.raises(NothingHeard, match=why):
        await conversation.hold(clip, None, 120.0)
    assert house.listened == [("file 1", wake, 0.0)]
    assert house.pushed_s == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("sentence", "phrase", "holds"),
    [
        ("Say “Hey Jarvis”.", "Hey Jarvis", True),
        ("It is JARVIS's turn.", "Hey Jarvis", True),
        ("Hey, how are you?", "Hey Jarvis", False),
        ("Alexander the Great", "Alexa", False),
        ("I am Alexa", "Alexa", True),
    ],
)
def test_names_in_sentences(sentence: str, phrase: str, holds: bool) -> None:
    """The name is the last word of a phrase, as a word of the sentence however it is written."""
    assert holds_name(sentence, phrase) is holds
