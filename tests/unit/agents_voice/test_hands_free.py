"""``tandem talk --follow``: it stays, whatever goes away meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from typer.testing import CliRunner

from tandem.agent.testing import virtual_time
from tandem.core.errors import Unavailable, Unreachable
from tandem_agents.commands import hands_free, talking
from tandem_agents.commands import talk as command
from tandem_agents.core_services.contracts import Announcement, Answer, TalkPiece

HALF = "an answer that breaks off"


class House:
    """A connection to a front door and a microphone. ``says`` is what is answered, one turn after the other; an
    error is raised instead, and None is a question nobody answers."""

    front_door = "RequestCoordinator@mainpc"

    def __init__(self) -> None:
        self.says: list[str | Exception | None] = []
        self.listened: list[bool] = []
        self.unasked: list[str | Exception] = []

    def peer(self, contract: object, at: str = "") -> House:
        return self

    async def open(self, kind: str) -> str:
        return kind

    async def close(self, source: str) -> None: ...

    async def converse(
        self, source: str, *, session: str, wake: bool, whole: bool, since_s: float
    ) -> AsyncIterator[TalkPiece]:
        self.listened.append(wake)
        if not self.says:
            await asyncio.Event().wait()
        said = self.says.pop(0)
        if isinstance(said, Exception):
            raise said
        if said is HALF:
            yield TalkPiece(said="Well,")
        if said in (None, HALF):
            await asyncio.Event().wait()
        answer = Answer(answer=str(said), intent="question", turn="t", timings={})
        yield TalkPiece(said=answer.answer)
        yield TalkPiece(answer=answer)

    async def announcements(self) -> AsyncIterator[Announcement]:
        while self.unasked:
            said = self.unasked.pop(0)
            if isinstance(said, Exception):
                raise said
            yield Announcement(id="a", text=said, at=1_772_636_400.0)
        await asyncio.Event().wait()


@pytest.fixture
def house(monkeypatch: pytest.MonkeyPatch) -> House:
    made = House()

    @asynccontextmanager
    async def connect(fleet: str | None, *, budget_s: float) -> AsyncIterator[Any]:
        yield made

    for module in (hands_free, talking):
        monkeypatch.setattr(module, "connect", connect)
    return made


async def follow(seconds: float, *, as_json: bool = False) -> None:
    """Stay for so long, then press Ctrl-C."""
    conversation = talking.Conversation(session="main", wake=False, narrate=not as_json, aloud=False)
    staying = asyncio.create_task(hands_free.stay(conversation, None, None, 120.0, as_json=as_json))
    await asyncio.sleep(seconds)
    staying.cancel()
    await asyncio.gather(staying, return_exceptions=True)


@virtual_time
async def test_every_turn_begins_with_the_wake_phrase(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """One turn follows the other, each for who calls; answers and what is said unasked are printed."""
    house.says = ["It is noon.", "Fine."]
    house.unasked = ["Your tea timer is up."]
    await follow(60)
    assert house.listened == [True, True, True]
    out = capsys.readouterr().out
    assert "answer: It is noon.\nanswer: Fine.\n" in out
    assert ":00  Your tea timer is up." in out


@virtual_time
async def test_what_it_asks_back_is_answered_without_calling_it(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    """After a question of its own it listens at once, for eight seconds, and then waits to be called again; each is said."""
    house.says = ["For how long?", "Timer set.", "For how long?", None]
    await follow(60)
    assert house.listened == [True, False, True, False, True]
    calling, asking = hands_free.CALLING, "Listening …"
    assert capsys.readouterr().err.splitlines() == [calling, asking, calling, asking, calling]


@virtual_time
async def test_who_goes_away_is_waited_for(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """A front door that is replaced and a microphone that is missing are said once each, and tried again."""
    house.says = [Unavailable("there is no microphone"), Unavailable("there is no microphone"), "Here I am."]
    house.unasked = [Unreachable("RequestCoordinator was lost", hint="tandem up"), "Your tea timer is up."]
    await follow(60)
    said = capsys.readouterr()
    assert said.err.count("(not listening: there is no microphone)") == 1
    assert said.err.count("(timers that ring are not shown: RequestCoordinator was lost (tandem up))") == 1
    assert "answer: Here I am." in said.out
    assert "Your tea timer is up." in said.out


@virtual_time
async def test_an_answer_that_stops_half_way_is_given_up(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """Whoever began to answer and does not go on is not waited for all day; the next one who calls is answered."""
    house.says = [HALF, "Here I am."]
    await follow(300)
    said = capsys.readouterr()
    assert said.err.count("(not listening: the answer did not go on for 120 s)") == 1
    assert "answer: Here I am." in said.out


@virtual_time
async def test_programs_read_one_object_a_line(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--json`` turns and announcements are objects, and nothing else is printed."""
    house.says = ["It is noon."]
    house.unasked = ["Your tea timer is up."]
    await follow(10, as_json=True)
    said = capsys.readouterr()
    assert sorted(line[:9] for line in said.out.splitlines()) == ['{"answer"', '{"id":"a"']
    assert said.err == ""


def test_one_file_cannot_hold_many_answers() -> None:
    """``--out`` with ``--follow`` is refused before anything is listened to."""
    result = CliRunner().invoke(command.app, ["--follow", "--out", "answer.wav"])
    assert result.exit_code != 0
    assert "--follow" in str(result.exception)
