"""RPC round trips and rates, ours beside a bare pyzmq echo, HTTP and a Ray actor.

    python benchmarks/rpc.py [--rounds 5] [--only tandem,pyzmq] [--json rows.json]

Server and caller are two processes for every subject. Subjects take turns within each round, so that whatever else
the computer does falls on all of them; a figure is the median of its rounds. A subject whose packages are missing is
skipped with the command that installs them: ``pip install 'tandem-fleet[bench]'``.
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from _rpc_subjects import READY, SUBJECTS, Measured, Plan

if TYPE_CHECKING:
    from collections.abc import Iterable

_HTTP = ("aiohttp", "starlette", "uvicorn", "httptools")
NEEDS = {"http": _HTTP, "http-bare": _HTTP, "ray": ("ray",)}
"""Packages of a subject beyond our own dependencies."""

TARGETS = [
    ("rpc.unix.p50_s", "tandem", "pyzmq", 1.5),
    ("rpc.unix.p50_s", "tandem", "http", 3.0),
    ("rpc.unix.p50_s", "tandem", "ray", 5.0),
    ("rpc.unix.rate_hz", "tandem", "pyzmq", 1.5),
    ("rpc.unix.rate_hz", "tandem", "http", 5.0),
    ("rpc.zmq.p50_s", "tandem-zmq", "pyzmq-curve", 1 / 1.6),
]
"""Metric, ours, theirs, and how many times better ours must be (design 9)."""

METRICS = {
    "tandem": "rpc.unix",
    "tandem-untraced": "rpc.unix.untraced",
    "pyzmq": "rpc.unix",
    "http": "rpc.unix",
    "http-bare": "rpc.unix",
    "ray": "rpc.unix",
    "tandem-zmq": "rpc.zmq",
    "pyzmq-curve": "rpc.zmq",
}
PEERS = {"pyzmq": "pyzmq", "pyzmq-curve": "pyzmq", "http": "http", "http-bare": "http-bare", "ray": "ray"}
"""The names under which others appear in the rows; ours have none."""

STARTUP_S = 60.0


class Row(Struct, frozen=True, omit_defaults=True):
    """One figure in SI units; ``peer`` is empty for our own."""

    metric: str
    value: float
    unit: str
    peer: str = ""


def missing(subject: str) -> list[str]:
    """Packages the subject needs and this interpreter lacks."""
    return [name for name in NEEDS.get(subject, ()) if importlib.util.find_spec(name) is None]


def run(subject: str, plan: Plan) -> Measured:
    """One round of one subject, in two processes."""
    script = str(Path(__file__).with_name("_rpc_subjects.py"))
    planned = msgspec.json.encode(plan).decode()
    with tempfile.TemporaryDirectory(prefix="rpc-") as where:
        server = subprocess.Popen(
            [sys.executable, script, "serve", subject, where, planned], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout is not None
            if server.stdout.readline().strip() != READY:
                raise RuntimeError(f"the server of {subject} did not start")
            caller = subprocess.run(
                [sys.executable, script, "measure", subject, where, planned],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                timeout=STARTUP_S + 60 * plan.load_s,
            )
        finally:
            server.kill()
            server.wait()
    return msgspec.json.decode(caller.stdout.splitlines()[-1], type=Measured)


def medians(rounds: Iterable[Measured]) -> Measured:
    """Figure by figure."""
    listed = list(rounds)
    return Measured(
        statistics.median(m.p50_s for m in listed),
        statistics.median(m.p99_s for m in listed),
        statistics.median(m.rate_hz for m in listed),
    )


def rows_of(results: dict[str, Measured]) -> list[Row]:
    """Every figure under its stable id."""
    rows = []
    for subject, measured in results.items():
        metric, peer = METRICS[subject], PEERS.get(subject, "")
        rows += [
            Row(f"{metric}.p50_s", measured.p50_s, "s", peer),
            Row(f"{metric}.p99_s", measured.p99_s, "s", peer),
            Row(f"{metric}.rate_hz", measured.rate_hz, "Hz", peer),
        ]
    return rows


def report(results: dict[str, Measured]) -> None:
    """For people: the figures, then each target with what was reached."""
    print(f"{'subject':<18}{'p50 µs':>10}{'p99 µs':>10}{'calls/s':>12}")
    for subject, m in results.items():
        print(f"{subject:<18}{m.p50_s * 1e6:>10.1f}{m.p99_s * 1e6:>10.1f}{m.rate_hz:>12,.0f}")
    print()
    for metric, ours, theirs, target in TARGETS:
        if ours not in results or theirs not in results:
            continue
        field = metric.rpartition(".")[2]
        own, other = getattr(results[ours], field), getattr(results[theirs], field)
        ratio = own / other if field == "rate_hz" else other / own
        verdict = "reached" if ratio >= target else "MISSED"
        print(f"{metric:<20} {ours} vs {theirs:<12} {ratio:6.2f}x  (must reach {target:.2f}x: {verdict})")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=Plan().calls, help="sequential calls per round")
    parser.add_argument("--load-s", type=float, default=Plan().load_s, help="seconds with 50 calls in flight")
    parser.add_argument("--only", default="", help=f"comma-separated, of {', '.join(SUBJECTS)}")
    parser.add_argument("--json", type=Path, help="write the rows here as well")
    options = parser.parse_args()
    plan = Plan(calls=options.calls, load_s=options.load_s)
    chosen = [name for name in SUBJECTS if not options.only or name in options.only.split(",")]
    for name in list(chosen):
        if lacking := missing(name):
            print(f"{name} skipped: needs {', '.join(lacking)} (pip install 'tandem-fleet[bench]')")
            chosen.remove(name)
    rounds: dict[str, list[Measured]] = defaultdict(list)
    for number in range(options.rounds):
        for name in chosen:
            print(f"round {number + 1}/{options.rounds}: {name}", file=sys.stderr)
            rounds[name].append(run(name, plan))
    results = {name: medians(rounds[name]) for name in chosen}
    report(results)
    if options.json:
        options.json.write_bytes(msgspec.json.format(msgspec.json.encode(rows_of(results)), indent=2))


if __name__ == "__main__":
    main()
