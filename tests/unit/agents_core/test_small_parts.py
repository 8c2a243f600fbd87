"""Small pure parts of the core services: requests, sentences, follow-ups, forecasts, announcements."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.agent.testing import virtual_time
from tandem.core.errors import InvalidArguments
from tandem_agents.core_services.announcements import MAX_BEHIND, Announcements
from tandem_agents.core_services.contracts import Announcement
from tandem_agents.core_services.follow_ups import FORGET_AFTER_S, FollowUps
from tandem_agents.core_services.load_forecast import would_fit
from tandem_agents.core_services.requests import MAX_REQUEST_CHARS, check_text, rank
from tandem_agents.core_services.sentences import sentences
from tandem_agents.infrastructure.contracts import MachineReading
from tandem_agents.language_processing.contracts import Analysis, Slots
from tandem_agents.machine import read_machine


async def pieces_of(pieces: Iterable[str]) -> AsyncGenerator[str, None]:
    for piece in pieces:
        yield piece


def split(pieces: Iterable[str]) -> list[str]:
    async def run() -> list[str]:
        return [sentence async for sentence in sentences(pieces_of(pieces))]

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Tea is hot today. It is from Ceylon.", ["Tea is hot today.", "It is from Ceylon."]),
        ("Dr. Rizal wrote it. He was born in Calamba.", ["Dr. Rizal wrote it.", "He was born in Calamba."]),
        ("It costs 3.50 pesos today. Really!", ["It costs 3.50 pesos today.", "Really!"]),
        ("Yes. No. Maybe so, who knows.", ["Yes. No. Maybe so, who knows."]),
        ("A first line here\nA second line here", ["A first line here", "A second line here"]),
        ("no end at all", ["no end at all"]), ("", []), ("   ", []),
        ('He said "go away now." Then he left.', ['He said "go away now."', "Then he left."]),
    ],
)  # fmt: skip
def test_sentences(text: str, parts: list[str]) -> None:
    """Sentences end at their marks, not at abbreviations or decimals; tiny ones stay together."""
    assert split([text]) == parts


@given(st.text(alphabet="ab .!?\nDr", max_size=80), st.lists(st.integers(0, 80), max_size=6))
def test_sentences_do_not_depend_on_how_the_text_arrives(text: str, cuts: list[int]) -> None:
    """However a model's text is cut into pieces, nothing is lost and nothing is added."""
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    pieces = [text[a:b] for a, b in itertools.pairwise(places)]
    assert "".join("".join(split(pieces)).split()) == "".join(text.split())


def analysis(intent: str, text: str = "", **slots: object) -> Analysis:
    return Analysis(intent=intent, confidence=1.0, text=text, slots=Slots(**slots))  # type: ignore[arg-type]


TIMER = analysis("set_timer", kind="timer", missing="duration")


@pytest.mark.parametrize(
    ("open_request", "said", "done"),
    [
        (TIMER, analysis("detail", duration_s=60.0), "set_timer"), (TIMER, analysis("detail", at=9.0), "set_timer"),
        (TIMER, analysis("time"), "time"), (TIMER, analysis("question", "tea"), "question"),
        (analysis("set_reminder", kind="reminder", missing="text", at=5.0), analysis("question", "buy milk"), "set_reminder"),
        (analysis("set_alarm", kind="alarm", missing="moment"), analysis("detail", at=7.0), "set_alarm"),
    ],
)  # fmt: skip
def test_only_an_answer_completes_a_request(open_request: Analysis, said: Analysis, done: str) -> None:
    """What was asked back is filled by what fits; another command stands for itself."""
    follow_ups = FollowUps()
    follow_ups.ask("main", open_request, 0.0)
    result = follow_ups.complete("main", said, 1.0)
    assert result.intent == done
    if done == open_request.intent:
        assert result.slots.missing == ""
    assert follow_ups.complete("main", said, 2.0) is said


def test_a_question_is_open_for_a_minute_and_for_its_session() -> None:
    """Later, and elsewhere, the same words mean something else."""
    follow_ups, said = FollowUps(), analysis("detail", duration_s=60.0)
    follow_ups.ask("main", TIMER, 0.0)
    assert follow_ups.complete("other", said, 1.0) is said
    assert follow_ups.complete("main", said, FORGET_AFTER_S + 1) is said


def reading(at: float, cpu: float = 50.0, used: int = 4 << 30) -> MachineReading:
    return MachineReading(
        at=at, machine="m", cpu_percent=cpu, cores=2, memory_used=used, memory_total=8 << 30, disk_free=1
    )


@pytest.mark.parametrize(
    ("kind", "amount", "fits"),
    [("cpu", 40, "yes"), ("cpu", 41, "no"), ("ram", 3000, "yes"), ("ram", 3700, "no"), ("ram", 4096, "no")],
)
def test_forecasts(kind: str, amount: float, fits: str) -> None:
    """CPU up to ninety percent, memory up to all but five percent."""
    verdict = would_fit([reading(100.0)], kind, amount, 110.0)  # type: ignore[arg-type]
    assert verdict.fits == fits
    assert (verdict.left >= 0) == (fits == "yes")


def test_forecasts_go_by_the_last_minute() -> None:
    """Old readings say nothing; the worst recent memory reading decides."""
    assert would_fit([reading(0.0)], "cpu", 1, 100.0).fits == "unknown"
    assert would_fit([reading(90.0, used=7 << 30), reading(95.0)], "ram", 2000, 100.0).fits == "no"


def test_a_machine_can_be_read(tmp_path: object) -> None:
    """Readings are in their units and within their bounds."""
    from pathlib import Path

    found = read_machine("here", Path(str(tmp_path)))
    assert 0 <= found.cpu_percent <= 100
    assert 0 < found.memory_used < found.memory_total
    assert found.cores >= 1
    assert found.disk_free > 0


@virtual_time
async def test_a_listener_that_stalls_loses_the_oldest() -> None:
    """A listener that does not read costs no more than a hundred announcements, and one that left costs nothing."""
    announcements = Announcements()
    heard = announcements.listen()
    first = asyncio.ensure_future(anext(heard))
    await asyncio.sleep(0.1)
    for number in range(MAX_BEHIND + 51):
        announcements.announce(Announcement(id=str(number), text="x", at=0.0))
    assert (await first).id == "0" or int((await first).id) >= 0
    assert int((await anext(heard)).id) > 40
    await heard.aclose()
    assert announcements.announce(Announcement(id="last", text="x", at=0.0)) == 0


@pytest.mark.parametrize(
    "text", ["plain", "línea\nnew\ttab\r\n", "emoji 🍵 日本語", "x" * MAX_REQUEST_CHARS, ""]
)
def test_text_is_text(text: str) -> None:
    """Every script, line breaks and emoji pass."""
    assert check_text(text) == text


@pytest.mark.parametrize("text", ["\x00", "a\x07b", "\ud800", "bad �", "\x1b[31m"])
def test_bytes_are_not_text(text: str) -> None:
    """Control characters, lone surrogates and replacement marks are refused."""
    with pytest.raises(InvalidArguments):
        check_text(text)


@pytest.mark.parametrize(
    ("source", "urgent", "waiting", "place"),
    [
        ("voice", 0, 0, 1),
        ("text", 0, 0, 2),
        ("text", 1, 0, 1),
        ("background", 0, 0, 5),
        ("background", 0, 60, 9),
        ("background", 1, 60, 7),
        ("voice", 9, 99, 1),
        ("text", -3, 0, 2),
    ],
)
def test_ranks(source: str, urgent: float, waiting: int, place: int) -> None:
    """Spoken before typed before background; urgency moves forward; a long line moves background back."""
    assert rank(source, urgent, waiting, 100) == place  # type: ignore[arg-type]
