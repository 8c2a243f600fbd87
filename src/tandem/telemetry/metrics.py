"""Counters, gauges and histograms of one process, rendered as Prometheus text (exposition format 0.0.4).

Children are plain objects whose updates are single attribute or list operations: a few hundred nanoseconds,
and whole under CPython's interpreter lock without one of our own.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

LATENCY_BUCKETS_S = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
"""Upper bounds in seconds: from a call between neighbours (100 µs) to a model's answer (10 s)."""

MAX_SERIES = 2000
"""Children of one metric; a label that takes unbounded values must not eat the process."""

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


class CounterChild:
    """One series that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def inc(self, amount: float = 1.0) -> None:
        """Add ``amount`` (not negative)."""
        self.value += amount


class GaugeChild:
    """One series that goes up and down."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0

    def set(self, value: float) -> None:
        self.value = value

    def inc(self, amount: float = 1.0) -> None:
        self.value += amount

    def dec(self, amount: float = 1.0) -> None:
        self.value -= amount


class HistogramChild:
    """One distribution: counts per bucket (not cumulative) and the sum of what was observed."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float] = LATENCY_BUCKETS_S) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value


Child = TypeVar("Child", bound=CounterChild | GaugeChild | HistogramChild)
Labels = tuple[str, ...]


class Metric(Generic[Child]):
    """A named family of series, one per combination of label values."""

    def __init__(
        self, name: str, help_text: str, label_names: Sequence[str], make: Callable[[], Child], kind: str
    ) -> None:
        self.name = name
        self.help_text = help_text
        self.kind = kind
        self.label_names = tuple(label_names)
        self._make = make
        self._children: dict[Labels, Child] = {}
        self._overflow = make()
        if not _NAME.fullmatch(name) or not all(map(_LABEL.fullmatch, self.label_names)):
            raise ValueError(f"not a metric name and labels: {name} {self.label_names}")

    def labels(self, *values: str) -> Child:
        """The series of these values, in the order the labels were declared; keep it and update it directly.

        Beyond :data:`MAX_SERIES` further combinations share one series whose labels are all ``_other``.
        """
        child = self._children.get(values)
        if child is not None:
            return child
        if len(values) != len(self.label_names):
            raise ValueError(f"{self.name} has labels {self.label_names}, got {values}")
        if len(self._children) >= MAX_SERIES:
            values = ("_other",) * len(values)
            self._children.setdefault(values, self._overflow)
            return self._overflow
        return self._children.setdefault(values, self._make())

    def remove(self, *values: str) -> None:
        """Forget a series, for instance of an agent that is gone."""
        self._children.pop(values, None)

    def series(self) -> list[tuple[dict[str, str], Child]]:
        """Every series with its labels by name."""
        children = list(self._children.items())
        return [(dict(zip(self.label_names, values, strict=True)), child) for values, child in children]


class Metrics:
    """The metrics of one process (or of one agent in a test)."""

    def __init__(self) -> None:
        self._rendered: dict[str, Callable[[], Iterator[str]]] = {}

    def counter(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Metric[CounterChild]:
        """A counter; ``name`` ends in ``_total``. Raises ``ValueError`` for a name already taken."""
        metric = Metric(name, help_text, labels, CounterChild, "counter")
        self.register(name, lambda: _render_simple(metric))
        return metric

    def gauge(self, name: str, help_text: str, labels: Sequence[str] = ()) -> Metric[GaugeChild]:
        metric = Metric(name, help_text, labels, GaugeChild, "gauge")
        self.register(name, lambda: _render_simple(metric))
        return metric

    def histogram(
        self,
        name: str,
        help_text: str,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = LATENCY_BUCKETS_S,
    ) -> Metric[HistogramChild]:
        """A histogram; ``buckets`` are ascending upper bounds without infinity."""
        bounds = tuple(buckets)
        metric = Metric(name, help_text, labels, lambda: HistogramChild(bounds), "histogram")
        self.register(name, lambda: _render_histogram(metric, bounds))
        return metric

    def computed(
        self, name: str, help_text: str, labels: Mapping[str, str], read: Callable[[], float], kind: str = "gauge"
    ) -> None:
        """One series whose value is read when rendered."""

        def render() -> Iterator[str]:
            yield from _header(name, help_text, kind)
            yield f"{name}{_labels(labels)} {_number(read())}"

        self.register(name, render)

    def register(self, name: str, render: Callable[[], Iterator[str]]) -> None:
        """Add lines computed at the time of rendering."""
        if name in self._rendered:
            raise ValueError(f"there is a metric {name} already")
        self._rendered[name] = render

    def render(self) -> str:
        """Everything as Prometheus text, ending in a newline."""
        lines = [line for render in list(self._rendered.values()) for line in render()]
        return "\n".join(lines) + "\n" if lines else ""


class RequestMetrics:
    """``agent_requests_total`` and ``agent_request_duration_seconds`` of one agent, from one observation each.

    Labels: ``agent``, ``machine``, ``method`` and ``outcome`` (``ok``, else the error's wire code).
    """

    LABELS = ("agent", "machine", "method", "outcome")

    def __init__(self, metrics: Metrics, agent: str, machine: str) -> None:
        self._agent = agent
        self._machine = machine
        self._known: dict[tuple[str, str], Callable[[float], None]] = {}
        self._durations = metrics.histogram(
            "agent_request_duration_seconds", "Time from receiving a request to its last reply", self.LABELS
        )
        metrics.register("agent_requests_total", self._render_totals)

    def observe(self, method: str, seconds: float, outcome: str = "ok") -> None:
        """Count one finished request."""
        known = self._known.get((method, outcome))
        if known is None:
            known = self._durations.labels(self._agent, self._machine, method, outcome).observe
            if len(self._known) < MAX_SERIES:
                self._known[method, outcome] = known
        known(seconds)

    def totals(self) -> dict[tuple[str, str], int]:
        """Requests so far by (method, outcome)."""
        return {
            (labels["method"], labels["outcome"]): sum(child.counts)
            for labels, child in self._durations.series()
        }

    def _render_totals(self) -> Iterator[str]:
        yield from _header("agent_requests_total", "Requests answered", "counter")
        for labels, child in self._durations.series():
            yield f"agent_requests_total{_labels(labels)} {sum(child.counts)}"


def _header(name: str, help_text: str, kind: str) -> Iterator[str]:
    escaped = help_text.replace("\\", r"\\").replace("\n", r"\n")
    yield f"# HELP {name} {escaped}"
    yield f"# TYPE {name} {kind}"


def _labels(labels: Mapping[str, str]) -> str:
    if not labels:
        return ""
    escape = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
    return "{" + ",".join(f'{name}="{value.translate(escape)}"' for name, value in labels.items()) + "}"


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return "NaN" if math.isnan(value) else repr(float(value))


def _render_simple(metric: Metric[CounterChild] | Metric[GaugeChild]) -> Iterator[str]:
    yield from _header(metric.name, metric.help_text, metric.kind)
    for labels, child in metric.series():
        yield f"{metric.name}{_labels(labels)} {_number(child.value)}"


def _render_histogram(metric: Metric[HistogramChild], bounds: Sequence[float]) -> Iterator[str]:
    """Cumulative buckets, sum and count of every series."""
    yield from _header(metric.name, metric.help_text, metric.kind)
    for labels, child in metric.series():
        counts, running = list(child.counts), 0
        for bound, count in zip((*bounds, math.inf), counts, strict=True):
            running += count
            yield f"{metric.name}_bucket{_labels({**labels, 'le': _number(bound)})} {running}"
        yield f"{metric.name}_sum{_labels(labels)} {_number(child.total)}"
        yield f"{metric.name}_count{_labels(labels)} {running}"
