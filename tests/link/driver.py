"""An operator at one computer: JSON lines in, calls of that computer's agents, JSON lines out.

In:  {"id", "peer", "action", "args", "timeout"}     Out: {"id", "seconds", "result"} or {"id", "seconds", "error"}
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

from tandem.api import Connection, connect
from tandem.core.deadline import Deadline, deadline_scope
from tandem.core.errors import TandemError


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    running: set[asyncio.Task[None]] = set()
    async with connect(budget_s=24 * 3600.0) as connection:
        _say({"id": 0})
        while line := await reader.readline():
            task = loop.create_task(_serve(connection, json.loads(line)))
            running.add(task)
            task.add_done_callback(running.discard)


async def _serve(connection: Connection, question: dict[str, Any]) -> None:
    started = time.monotonic()
    answer: dict[str, Any] = {"id": question["id"]}
    try:
        with deadline_scope(Deadline.after(question["timeout"])):
            action = getattr(connection.peer(question["peer"]), question["action"])
            answer["result"] = await action(**question["args"])
    except TandemError as error:
        answer["error"] = {"code": error.code, "message": error.message}
    _say(answer | {"seconds": time.monotonic() - started})


def _say(answer: dict[str, Any]) -> None:
    print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
