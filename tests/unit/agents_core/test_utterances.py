"""The table of utterances: what people say, and what they get."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from msgspec import Struct

from tandem.agent.testing import virtual_time
from tandem.agent.virtual_time import VirtualTimeLoop
from tandem_agents.core_services.contracts import FrontDoor
from tandem_agents.language_processing.contracts import Intent

WEDNESDAY_AFTERNOON = 1_772_636_400.0
"""4 March 2026, 15:00 UTC."""

SHORT_S = 0.02
"""Between two lines: a turn is remembered beside its answer."""


class Line(Struct, frozen=True, forbid_unknown_fields=True):
    say: str
    intent: Intent | None = None
    answer: str | None = None
    like: str | None = None


class Conversation(Struct, frozen=True, forbid_unknown_fields=True):
    about: str
    talk: list[Line]


TABLE = msgspec.yaml.decode((Path(__file__).parent / "utterances.yaml").read_bytes(), type=list[Conversation])


@pytest.fixture
def _utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The table's times are UTC, whatever this computer's are."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize("conversation", TABLE, ids=lambda conversation: conversation.about)
@pytest.mark.usefixtures("_utc")
@virtual_time
async def test_a_conversation(conversation: Conversation, home: SimpleNamespace) -> None:
    """Every line of the conversation is understood and answered as the table says."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    loop.set_wall_time(WEDNESDAY_AFTERNOON)
    wrong = []
    async with home.household() as fleet:
        for line in conversation.talk:
            await asyncio.sleep(SHORT_S)
            got = await fleet.peer(FrontDoor).ask(line.say)
            fine = (
                line.intent in (None, got.intent)
                and line.answer in (None, got.answer)
                and (line.like is None or re.search(line.like, got.answer) is not None)
            )
            if not fine:
                wrong.append(f"{line.say!r}: {got.intent}: {got.answer!r}")
    assert wrong == []
