"""One process of benchmarks/rpc.py or link.py: a subject's server, or whoever asks one or several of them.

    python benchmarks/_rpc_process.py serve|measure|alternate SUBJECTS FOLDER PLAN
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import uvloop
from msgspec import Struct

from _rpc_subjects import SUBJECTS, Subject


class Plan(Struct, frozen=True):
    """How a caller measures: calls one after another, then ``in_flight`` callers for ``load_s`` seconds."""

    warm_up: int = 500
    calls: int = 4000
    in_flight: int = 50
    load_s: float = 2.0


class Measured(Struct, frozen=True):
    """Latencies in seconds, rate in calls per second."""

    p50_s: float
    p99_s: float
    rate_hz: float


class Turns(Struct, frozen=True):
    """How one process asks several subjects in turns: ``batches`` of ``calls`` each, so that all meet the same noise."""

    warm_up: int = 500
    batches: int = 200
    calls: int = 50


class Alternated(Struct, frozen=True):
    """Seconds by subject: the median of each batch, in order, and the 99th percentile of all calls."""

    medians_s: dict[str, list[float]]
    p99_s: dict[str, float]


async def measure(subject: Subject, plan: Plan) -> Measured:
    """Ask as planned."""
    async with subject.caller() as echo:
        for _ in range(plan.warm_up):
            await echo()
        latencies = []
        for _ in range(plan.calls):
            started = time.perf_counter()
            await echo()
            latencies.append(time.perf_counter() - started)
        answered = 0
        until = time.perf_counter() + plan.load_s

        async def ask() -> None:
            nonlocal answered
            while time.perf_counter() < until:
                await echo()
                answered += 1

        started = time.perf_counter()
        await asyncio.gather(*(ask() for _ in range(plan.in_flight)))
        rate = answered / (time.perf_counter() - started)
    latencies.sort()
    return Measured(latencies[len(latencies) // 2], latencies[len(latencies) * 99 // 100], rate)


async def alternate(names: list[str], where: Path, turns: Turns) -> Alternated:
    """Ask the subjects of ``where/<name>`` in turns; who begins changes from batch to batch."""
    medians: dict[str, list[float]] = {name: [] for name in names}
    everything: dict[str, list[float]] = {name: [] for name in names}
    async with AsyncExitStack() as stack:
        echoes = {name: await stack.enter_async_context(SUBJECTS[name](where / name).caller()) for name in names}
        for echo in echoes.values():
            for _ in range(turns.warm_up):
                await echo()
        for number in range(turns.batches):
            first = number % len(names)
            for name in names[first:] + names[:first]:
                batch, echo = [], echoes[name]
                for _ in range(turns.calls):
                    started = time.perf_counter()
                    await echo()
                    batch.append(time.perf_counter() - started)
                medians[name].append(statistics.median(batch))
                everything[name] += batch
    p99 = {name: sorted(found)[len(found) * 99 // 100] for name, found in everything.items()}
    return Alternated(medians, p99)


def main(role: str, name: str, where: str, plan: str) -> None:
    """``serve`` or ``measure`` one subject, or ``alternate`` between several (with commas); figures are printed as JSON."""
    if role == "alternate":
        turns = msgspec.json.decode(plan.encode(), type=Turns)
        found = uvloop.run(alternate(name.split(","), Path(where), turns))
        print(msgspec.json.encode(found).decode(), flush=True)
        return
    subject = SUBJECTS[name](Path(where))
    run = uvloop.run if subject.uvloop else asyncio.run
    if role == "serve":
        run(subject.serve())
    else:
        measured = run(measure(subject, msgspec.json.decode(plan.encode(), type=Plan)))
        print(msgspec.json.encode(measured).decode(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
