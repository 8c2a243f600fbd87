"""Calls agents without a pause until standard input ends; prints what they answered and what failed, as JSON."""

from __future__ import annotations

import asyncio
import collections
import json
import sys

from tandem.api import connect
from tandem.core.errors import TandemError


async def main(fleet: str, agents: list[str]) -> None:
    """``said``: agent to its answers and how often; ``failed``: what went wrong, if anything."""
    said: dict[str, collections.Counter[str]] = {agent: collections.Counter() for agent in agents}
    failed: collections.Counter[str] = collections.Counter()
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, over.set)
    async with connect(fleet) as connection:

        async def call(agent: str) -> None:
            while not over.is_set():
                try:
                    said[agent][await connection.peer(agent).say()] += 1
                except TandemError as error:
                    failed[f"{agent}: {error!r}"] += 1
                await asyncio.sleep(0.01)

        calls = [asyncio.create_task(call(agent)) for agent in agents]
        print("begun", flush=True)
        await asyncio.gather(*calls)
    print(json.dumps({"said": said, "failed": failed}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2:]))
