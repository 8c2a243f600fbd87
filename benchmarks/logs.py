"""One agent writes to its log as fast as it can; the others must not notice, and the disk must not fill."""

from __future__ import annotations

import asyncio
import json
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _fleet import AGENTS, Fleet, running
from _rows import Row, compare, run, say
from tandem.supervise.wire import LogLimits

NEIGHBOURS = AGENTS[:20]
SECONDS = 15.0
PAUSE_S = 0.01
"""Between two calls of a neighbour: often enough to see a stall, too rarely to be the load."""
WINDOW_S = LogLimits().rate_window_s + 5
CHATTY = '      Chatty: {class: "chatty_agent:ChattyAgent"}\n'


async def disturbed(fleet: Fleet) -> tuple[list[float], list[float], int]:
    """Seconds a neighbour's answer takes, in silence and under the noise, and the lines written meanwhile."""
    async with fleet.connect() as connection:
        peers = [connection.peer(name) for name in NEIGHBOURS]
        await asyncio.gather(*(peer.ping() for peer in peers))
        quiet = await latencies(peers, SECONDS)
        shouting = asyncio.create_task(connection.peer("Chatty").shout(seconds=SECONDS))
        loud = await latencies(peers, SECONDS)
        return quiet, loud, await shouting


async def latencies(peers: list[Any], seconds: float) -> list[float]:
    took, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        for peer in peers:
            began = time.perf_counter()
            await peer.ping()
            took.append(time.perf_counter() - began)
            await asyncio.sleep(PAUSE_S)
    return took


def kept(logs: Path) -> tuple[int, int]:
    """Lines of the chatty agent in its files, and those its log says were left out."""
    lines, suppressed = 0, 0
    for path in sorted(logs.glob("Chatty*.log")):
        for line in path.read_text().splitlines():
            left_out = json.loads(line).get("suppressed")
            suppressed += left_out or 0
            lines += left_out is None
    return lines, suppressed


def settled(logs: Path, written: int) -> tuple[int, int]:
    """What was :func:`kept` once the count of what was left out is written, at the end of the limit's window."""
    until = time.monotonic() + WINDOW_S
    while sum(kept(logs)) < written and time.monotonic() < until:
        time.sleep(1)
    return kept(logs)


def measure() -> Sequence[Row]:
    with running(NEIGHBOURS, CHATTY) as (fleet, _seconds):
        quiet, loud, written = asyncio.run(disturbed(fleet))
        logs = fleet.folder / "home" / "machines" / "bench" / "logs"
        lines, suppressed = settled(logs, written)
        size = sum(path.stat().st_size for path in logs.iterdir())
    say(f"{written} lines written in {SECONDS:g} s: {lines} kept, {suppressed} counted as left out")
    rows = [Row(id="logs.read_hz", ours=written / SECONDS, unit="Hz"), Row(id="logs.disk_bytes", ours=size, unit="B")]
    rows.append(Row(id="logs.unaccounted", ours=written - lines - suppressed, unit="1"))
    for name, at in (("p50", 50), ("p99", 99)):
        before, under = (statistics.quantiles(sample, n=100)[at - 1] for sample in (quiet, loud))
        rows.append(compare(f"logs.neighbour.{name}_s", "s", under, "silence", before))
    return rows


if __name__ == "__main__":
    run("logs", measure)
