"""What tracing costs: one call between neighbours recorded and not, and one span by itself.

    python benchmarks/tracing.py [--rounds 5] [--json]

The two kinds of calls take turns within each round, so that whatever else the computer does falls on both; a figure is
the median of its rounds. The ratio compares recorded with unrecorded calls: 0.9 means that recording costs a tenth.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from _rows import Row, compare, run, say
from _rpc_process import Measured, Plan
from rpc import medians, one_round
from tandem.telemetry.tracing import SpanQueue, set_sink, span, start_turn

SPANS = 20_000


def seconds_of(what: Callable[[], None]) -> float:
    """One repetition, the best of five."""
    best = float("inf")
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(SPANS):
            what()
        best = min(best, time.perf_counter() - began)
    return best / SPANS


def a_span() -> None:
    """As an agent writes it."""
    with span("work", **{"rpc.method": "look_up"}):
        pass


def measure() -> list[Row]:
    """Calls, then single spans."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=4000)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    rounds: dict[str, list[Measured]] = {"tandem": [], "tandem-untraced": []}
    for number in range(options.rounds):
        for name, measured in rounds.items():
            measured.append(one_round(name, Plan(calls=options.calls, load_s=1.0)))
        on, off = rounds["tandem"][-1], rounds["tandem-untraced"][-1]
        say(f"round {number + 1}: recorded {on.p50_s * 1e6:.1f} us, not recorded {off.p50_s * 1e6:.1f} us")
    on, off = medians(rounds["tandem"]), medians(rounds["tandem-untraced"])
    set_sink(SpanQueue())
    idle = seconds_of(a_span)
    with start_turn():
        recorded = seconds_of(a_span)
    set_sink(None)
    return [
        compare("tracing.call.p50_s", "s", on.p50_s, "untraced", off.p50_s),
        compare("tracing.call.p99_s", "s", on.p99_s, "untraced", off.p99_s),
        compare("tracing.call.rate_hz", "Hz", on.rate_hz, "untraced", off.rate_hz, "higher"),
        Row(id="tracing.call.added_s", ours=statistics.median(a.p50_s - b.p50_s for a, b in zip(*rounds.values(), strict=True)), unit="s"),
        Row(id="tracing.span_s", ours=recorded, unit="s"),
        Row(id="tracing.span_outside_of_a_turn_s", ours=idle, unit="s"),
    ]


if __name__ == "__main__":
    run("tracing", measure)
