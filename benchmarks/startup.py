"""77 minimal agents from nothing until every one answers, and the memory they take, beside other process managers.

Tandem's time runs from typing `tandem up` in an empty home: certificates, servers, registry, identities and the node
included. The others start the same agent module as plain programs. All of them import the same modules, and all are
asked by the same means, from the moment the command is given.
"""

from __future__ import annotations

import asyncio
import compileall
import resource
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

import tandem
from _fleet import AGENTS, Fleet, answer_all, cpu_seconds, proportional_set
from _managers import Manager, installed, wait_until_idle
from _rows import Row, compare, run, say
from minimal_agent import IMPORTS

RUNS = 3
"""Starts of Tandem of which the median counts; the others take so long that one each must do."""


class Start(Struct, frozen=True):
    """Seconds until all answer, CPU seconds until then, bytes of memory after that."""

    seconds: float
    cpu_s: float
    pss_bytes: float


METRICS = (("startup.all_healthy_s", "s"), ("startup.cpu_s", "s"), ("startup.pss_bytes", "B"))


def measure_tandem() -> Start:
    """The median of each figure over ``RUNS`` starts in an empty home."""
    starts = []
    for number in range(RUNS):
        with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
            fleet = Fleet(Path(folder))
            began, spent = time.monotonic(), _spent_by_children()
            try:
                with fleet.begin("up") as up:
                    asyncio.run(answer_all({agent: fleet.socket(agent) for agent in AGENTS}))
                    seconds = time.monotonic() - began
                    said, _nothing = up.communicate()
                if up.returncode != 0:
                    raise RuntimeError(f"tandem up ended with {up.returncode}: {said}")
                returned = time.monotonic() - began
                processes = fleet.processes()
                cpu = cpu_seconds(processes) + _spent_by_children() - spent
                starts.append(Start(seconds, cpu, proportional_set(processes)))
            finally:
                fleet.tandem("down")
        say(f"tandem run {number + 1}: {_in_words(starts[-1])}; `tandem up` returned after {returned:.2f} s")
    middle = [statistics.median(figures) for figures in zip(*map(_figures, starts), strict=True)]
    return Start(*middle)


def measure_other(kind: type[Manager]) -> Start:
    with tempfile.TemporaryDirectory(prefix="tb", dir="/tmp") as folder:
        manager = kind(Path(folder), AGENTS)
        began = time.monotonic()
        try:
            manager.start()
            asyncio.run(answer_all({agent: manager.socket(agent) for agent in AGENTS}))
            seconds = time.monotonic() - began
            processes = manager.processes()
            return Start(seconds, cpu_seconds(processes), proportional_set(processes))
        finally:
            manager.stop()


def _spent_by_children() -> float:
    """CPU seconds of the command line, which ends before it can be looked at."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _figures(start: Start) -> tuple[float, float, float]:
    return start.seconds, start.cpu_s, start.pss_bytes


def _in_words(start: Start) -> str:
    return f"{start.seconds:.2f} s, {start.cpu_s:.2f} s of CPU, {start.pss_bytes / 2**20:.0f} MiB; every agent answered"


def measure() -> Sequence[Row]:
    # Once is enough for Tandem, while each process of the others would compile what is not compiled.
    compileall.compile_dir(Path(tandem.__file__).parent, quiet=2)
    say(f"every agent imports: {', '.join(IMPORTS)}")
    managers = installed("supervisord", "circus", "honcho", "pm2")
    ours = measure_tandem()
    rows = []
    for name, kind in managers.items():
        wait_until_idle()
        theirs = measure_other(kind)
        say(f"{name}: {_in_words(theirs)}")
        for (metric, unit), mine, its in zip(METRICS, _figures(ours), _figures(theirs), strict=True):
            rows.append(compare(metric, unit, mine, name, its))
    if not rows:
        rows = [Row(id=metric, ours=mine, unit=unit) for (metric, unit), mine in zip(METRICS, _figures(ours), strict=True)]
    return rows


if __name__ == "__main__":
    run("startup", measure)
