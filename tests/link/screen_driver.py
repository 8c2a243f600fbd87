"""What the screen of `tandem top` asks, without a screen: ``screen_driver.py VERB AGENT``; one JSON object."""

from __future__ import annotations

import asyncio
import json
import sys

from tandem.cli.top_data import FleetSource
from tandem.core.paths import Home


async def main(verb: str, agent: str) -> None:
    source = FleetSource(Home.from_environment())
    try:
        await source.look()
        if verb == "logs":
            tail = source.logs(agent, 200)
            said: object = [line.text for line in await tail.read()]
            await tail.close()
        else:
            said = await source.order(verb, agent)  # type: ignore[arg-type]
        print(json.dumps(said))
    finally:
        await source.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2]))
