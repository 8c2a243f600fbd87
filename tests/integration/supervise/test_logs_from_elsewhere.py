"""The logs of another computer, over two linked event servers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tandem.core.errors import Unreachable
from tandem.core.paths import Home
from tandem.events import Connection
from tandem.supervise.remote_logs import LogFilter, LogQuestion, LogService, ask_for_logs

pytestmark = pytest.mark.integration


async def test_logs_cross_the_link(nats_pair: Any, tmp_path: Path) -> None:
    """A node answers over the link, follows on, says what is wrong with a question, and its absence is told at once."""
    home = Home(tmp_path / "home")
    home.machine("pc2").logs.mkdir(parents=True)
    path = home.machine("pc2").logs / "Gone.log"
    path.write_text('{"ts":"2024-01-01T00:00:01.000Z","level":"ERROR","agent":"Gone","msg":"last words"}\n')
    there, here = Connection(nats_pair.pc2.access, "node"), Connection(nats_pair.mainpc.access, "node")
    LogService(there, home, "pc2")
    there.start()
    here.start()
    try:
        await there.client(30)
        client = await here.client(30)
        question = LogQuestion(names=["Gone"], mark="m")
        answer = await _patiently(client, question)
        assert [line.level for line in answer.lines] == ["ERROR"]
        assert answer.known == ["Gone", "Gone@pc2"]
        with path.open("a") as file:
            file.write('{"ts":"2024-01-01T00:00:02.000Z","level":"INFO","agent":"Gone","msg":"more"}\n')
        assert [line.ts for line in (await ask_for_logs(client, "pc2", question)).lines] == ["2024-01-01T00:00:02.000Z"]
        with pytest.raises(Unreachable, match="no regular expression"):
            await ask_for_logs(client, "pc2", LogQuestion(passing=LogFilter(grep="(")))
        with pytest.raises(Unreachable, match="logs of pc3 cannot be read"):
            await ask_for_logs(client, "pc3", LogQuestion())
    finally:
        await there.close()
        await here.close()


async def _patiently(client: Any, question: LogQuestion) -> Any:
    """Interest in a subject takes a moment to cross the link."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await ask_for_logs(client, "pc2", question)
            except Unreachable:
                await asyncio.sleep(0.05)
