"""Calls agents without a pause until standard input ends; prints what they answered and what failed, as JSON.

With ``--anew`` every call comes over a connection of its own, as if from somebody else: of two instances that serve
beside each other any may be met.
"""

from __future__ import annotations

import asyncio
import collections
import json
import sys
from typing import Protocol

from tandem.agent import action, contract
from tandem.api import connect
from tandem.core.errors import TandemError


@contract("Mover")
class MoverContract(Protocol):
    """Whoever is called; a call that was lost with its agent may be repeated."""

    @action(idempotent=True)
    async def say(self) -> str: ...


async def main(fleet: str, agents: list[str], *, anew: bool) -> None:
    """``said``: agent to its answers and how often; ``failed``: what went wrong, if anything."""
    said: dict[str, collections.Counter[str]] = {agent: collections.Counter() for agent in agents}
    failed: collections.Counter[str] = collections.Counter()
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, over.set)
    async with connect(fleet, budget_s=600.0) as lasting:

        async def ask(agent: str) -> str:
            if not anew:
                return await lasting.peer(MoverContract, agent).say()
            async with connect(fleet, budget_s=600.0) as fresh:
                return await fresh.peer(MoverContract, agent).say()

        async def call(agent: str) -> None:
            while not over.is_set():
                try:
                    said[agent][await ask(agent)] += 1
                except TandemError as error:
                    failed[f"{agent}: {error!r}"] += 1
                await asyncio.sleep(0.01)

        calls = [asyncio.create_task(call(agent)) for agent in agents]
        print("begun", flush=True)
        await asyncio.gather(*calls)
    print(json.dumps({"said": said, "failed": failed}))


if __name__ == "__main__":
    words = sys.argv[1:]
    names = [word for word in words if not word.startswith("--")]
    asyncio.run(main(names[0], names[1:], anew="--anew" in words))
