"""`tandem ask` as a person and as a program use it."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from typer.testing import CliRunner

from tandem.core.errors import InvalidArguments
from tandem_agents.commands import ask as command
from tandem_agents.core_services.contracts import Answer

TURN = "01m7y5n1dpc76js0dfstk0dcz4"


class Door:
    """A front door that repeats the question."""

    front_door = "RequestCoordinator@mainpc"

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def peer(self, who: object, at: str) -> Door:
        return self

    async def ask(self, text: str, session: str, user: str) -> Answer:
        self.asked.append((text, session))
        return Answer(answer=f"you said {text}", intent="question", turn=TURN, timings={"total": 0.5})


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
