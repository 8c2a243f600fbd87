"""Calls an agent as the operator would: ``python operator_calls.py AGENT ACTION [ARGUMENT=VALUE…]``; prints JSON."""

from __future__ import annotations

import asyncio
import json
import sys

from tandem.api import connect


async def main(agent: str, action: str, *arguments: str) -> None:
    """One call, with fifteen seconds of time."""
    given = dict(argument.split("=", 1) for argument in arguments)
    async with connect(budget_s=15.0) as connection:
        print(json.dumps(await getattr(connection.peer(agent), action)(**given)))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
