"""`tandem ask` as a person and as a program use it."""

from __future__ import annotations

import asyncio
import io
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from typer.testing import CliRunner

from tandem.core.deadline import current_deadline
from tandem.core.errors import InvalidArguments
from tandem_agents.commands import ask as command
from tandem_agents.core_services.contracts import Announcement, Answer

TURN = "01m7y5n1dpc76js0dfstk0dcz4"


class Door:
    """A front door that repeats the question."""

    front_door = "RequestCoordinator@mainpc"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []
        self.answered = asyncio.Event()
        self.is_asked = True

    def peer(self, who: object, at: str) -> Door:
        return self

    async def ask(self, text: str, session: str, user: str) -> Answer:
        self.asked.append((text, session))
        self.answered.set()
        return Answer(answer=f"you said {text}", intent="question", turn=TURN, timings={"total": 0.5})

    async def announcements(self) -> AsyncIterator[Announcement]:
        assert current_deadline() is None
        if self.is_asked:
            await self.answered.wait()
        yield Announcement(id="a", text="Your tea timer is up.", at=1_772_636_400.0)


@pytest.fixture
def door(monkeypatch: pytest.MonkeyPatch) -> Door:
    made = Door()

    @asynccontextmanager
    async def connect(fleet: str | None, *, budget_s: float) -> AsyncIterator[Door]:
        assert budget_s == 120.0
        yield made

    monkeypatch.setattr(command, "connect", connect)
    return made


def test_the_answer_is_printed(door: Door) -> None:
    """A person sees the answer and nothing else; several words are one question."""
    result = CliRunner().invoke(command.app, ["what", "time", "is", "it", "--session", "desk"])
    assert (result.exit_code, result.output) == (0, "you said what time is it\n")
    assert door.asked == [("what time is it", "desk")]


def test_json_has_exactly_the_promised_fields(door: Door) -> None:
    """Programs get answer, intent, turn and timings."""
    result = CliRunner().invoke(command.app, ["hello", "--json"])
    assert json.loads(result.output) == {
        "answer": "you said hello",
        "intent": "question",
        "turn": TURN,
        "timings": {"total": 0.5},
    }


def test_a_dash_reads_standard_input(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long texts come by pipe."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("kumusta ño".encode())))
    assert command.read_question(["-"]) == "kumusta ño"


def test_bytes_are_refused_before_anything_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Binary data, on the command line or by pipe, gets a clear message."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe\x00")))
    for words in (["-"], ["bad \udcff byte"], [""], [" "], []):
        with pytest.raises(InvalidArguments):
            command.read_question(words)


def test_what_is_said_unasked_is_heard(door: Door) -> None:
    """With --follow the answer comes first, then what rings, each with its time; for programs one object a line."""
    said = CliRunner().invoke(command.app, ["-f", "set", "a", "timer"])
    assert said.exit_code == 0
    first, ring = said.output.splitlines()
    assert first == "you said set a timer"
    assert re.fullmatch(r"\d\d:\d\d:00  Your tea timer is up\.", ring)
    door.is_asked = False
    heard = CliRunner().invoke(command.app, ["--follow", "--json"])
    assert json.loads(heard.output)["text"] == "Your tea timer is up."
    assert door.asked == [("set a timer", "main")]
