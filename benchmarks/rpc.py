"""RPC round trips and rates, ours beside a bare pyzmq echo, HTTP and a Ray actor.

    python benchmarks/rpc.py [--rounds 5] [--only tandem,pyzmq] [--json]

Server and caller are two processes for every subject. Subjects take turns within each round, so that whatever else
the computer does falls on all of them; a figure is the median of its rounds. A subject whose packages are missing is
skipped with the command that installs them: ``pip install 'tandem-fleet[bench]'``.

What must be reached (design 9): on one machine, authentication and tracing on, 1.5 times pyzmq, 3 times HTTP and 5
times Ray in latency, and under load 1.5 times pyzmq's rate and 5 times HTTP's; between machines a round trip of at
most 1.6 times pyzmq's with CURVE (a ratio of 0.62).
"""

from __future__ import annotations

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import msgspec

from _rows import Row, compare, not_measured, run, say
from _rpc_process import Measured, Plan
from _rpc_subjects import READY, SUBJECTS

_HTTP = ("aiohttp", "starlette", "uvicorn", "httptools")
NEEDS = {"http": _HTTP, "http-bare": _HTTP, "ray": ("ray",)}
"""Packages of a subject beyond our own dependencies."""

COMPARED = {
    "rpc.unix": ("tandem", {"pyzmq": "pyzmq", "http": "http", "http-bare": "http-bare", "ray": "ray"}),
    "rpc.zmq": ("tandem-zmq", {"pyzmq-curve": "pyzmq"}),
    "rpc.unix.untraced": ("tandem-untraced", {}),
}
"""By metric: our subject, and the others with the names they have in the rows."""

STARTUP_S = 60.0


def missing(subject: str) -> list[str]:
    """Packages the subject needs and this interpreter lacks."""
    return [name for name in NEEDS.get(subject, ()) if importlib.util.find_spec(name) is None]


def one_round(subject: str, plan: Plan) -> Measured:
    """One round of one subject, in two processes."""
    script = str(Path(__file__).with_name("_rpc_process.py"))
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
    """Ours beside each of the others that was measured."""
    rows: list[Row] = []
    for metric, (subject, others) in COMPARED.items():
        if subject not in results:
            continue
        ours = results[subject]
        theirs = {peer: results[name] for name, peer in others.items() if name in results}
        for field, unit in (("p50_s", "s"), ("p99_s", "s"), ("rate_hz", "Hz")):
            own = getattr(ours, field)
            better = "higher" if field == "rate_hz" else "lower"
            rows += [
                compare(f"{metric}.{field}", unit, own, peer, getattr(measured, field), better)
                for peer, measured in theirs.items()
            ] or [Row(id=f"{metric}.{field}", ours=own, unit=unit)]
    return rows


def measure() -> list[Row]:
    """Every chosen subject, round by round."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=Plan().calls, help="sequential calls per round")
    parser.add_argument("--load-s", type=float, default=Plan().load_s, help="seconds with 50 calls in flight")
    parser.add_argument("--only", default="", help=f"comma-separated, of {', '.join(SUBJECTS)}")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    plan = Plan(calls=options.calls, load_s=options.load_s)
    chosen = [name for name in SUBJECTS if not options.only or name in options.only.split(",")]
    for name in list(chosen):
        if lacking := missing(name):
            not_measured(name, why=f"needs {', '.join(lacking)}")
            chosen.remove(name)
    rounds: dict[str, list[Measured]] = defaultdict(list)
    for number in range(options.rounds):
        for name in chosen:
            measured = one_round(name, plan)
            rounds[name].append(measured)
            say(
                f"round {number + 1}/{options.rounds} {name:<16} p50 {measured.p50_s * 1e6:7.1f} us  "
                f"p99 {measured.p99_s * 1e6:8.1f} us  {measured.rate_hz:9,.0f} calls/s"
            )
    return rows_of({name: medians(rounds[name]) for name in chosen})


if __name__ == "__main__":
    run("rpc", measure)
