"""What a benchmark reports, and how it is printed.

A benchmark is a script ``benchmarks/NAME.py`` that ends with ``run(NAME, measure)``. ``measure`` tells its progress
on standard error and returns rows. ``python benchmarks/NAME.py --json`` and ``tandem bench NAME --json`` print the
same object: ``{"bench", "rows": [{"id", "ours", "unit", "peer", "peer_value", "ratio"}]}``.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec
from msgspec import Struct

Better = Literal["lower", "higher"]


class Row(Struct, frozen=True, kw_only=True):
    """One figure in SI units. ``ratio`` above 1 means ours is that many times better than the peer's.

    ``ours`` is None where only the peer could be measured, the peer's fields where nothing is compared.
    """

    id: str
    ours: float | None
    unit: str
    peer: str | None = None
    peer_value: float | None = None
    ratio: float | None = None


def compare(metric: str, unit: str, ours: float, peer: str, theirs: float, better: Better = "lower") -> Row:
    """Ours beside a peer's."""
    ratio = theirs / ours if better == "lower" else ours / theirs
    return Row(id=metric, ours=ours, unit=unit, peer=peer, peer_value=theirs, ratio=ratio)


FROM_EXTRA = "pip install 'tandem-fleet[bench]'"


def not_measured(peer: str, how_to_get: str = FROM_EXTRA, why: str = "is not installed") -> None:
    """Say loudly that a peer is left out, and how to get it."""
    say(f"NOT MEASURED: {peer} {why} ({how_to_get})")


def say(text: str) -> None:
    """Progress, for people."""
    print(text, file=sys.stderr, flush=True)


def table(rows: Sequence[Row]) -> str:
    """The rows aligned, for a terminal or a Markdown code block."""
    cells = [("metric", "ours", "", "peer", "peer's", "ratio")]
    cells += [
        (
            row.id,
            figure(row.ours),
            row.unit,
            row.peer or "",
            figure(row.peer_value),
            "" if row.ratio is None else f"{row.ratio:.2f}x",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    right = {1, 4, 5}
    return "\n".join(
        "  ".join(
            text.rjust(width) if column in right else text.ljust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in cells
    )


def figure(value: float | None) -> str:
    """Four significant digits."""
    return "" if value is None else f"{value:.4g}"


def run(name: str, measure: Callable[[], Sequence[Row]]) -> None:
    """Measure and print, as JSON with ``--json``. A TERM ends it like Ctrl-C: what it has started is ended first."""
    signal.signal(signal.SIGTERM, lambda number, _frame: sys.exit(128 + number))
    rows = list(measure())
    if "--json" in sys.argv[1:]:
        print(msgspec.json.encode({"bench": name, "rows": rows}).decode())
    else:
        print(table(rows))
