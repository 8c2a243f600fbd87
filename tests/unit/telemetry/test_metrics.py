"""Metrics and their text form, read back by Prometheus' own parser."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from tandem.telemetry import metrics as module
from tandem.telemetry.metrics import Metrics, RequestMetrics


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Every sample Prometheus would scrape."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(metrics.render())
        for sample in family.samples
    }


def test_an_empty_set_renders_nothing():
    """No metrics, no text."""
    assert Metrics().render() == ""


def test_counters_and_gauges_are_scraped_with_their_labels():
    """What was counted is what Prometheus reads."""
    metrics = Metrics()
    counter = metrics.counter("jobs_total", "Jobs", ["kind"])
    counter.labels("a").inc()
    counter.labels("a").inc(2)
    gauge = metrics.gauge("depth", "Queue\ndepth \\ now")
    gauge.labels().set(5)
    gauge.labels().dec(1.5)
    assert samples(metrics) == {("jobs_total", frozenset({("kind", "a")})): 3.0, ("depth", frozenset()): 3.5}


@given(st.text())
def test_any_label_value_survives(value):
    """Quotes, backslashes and newlines in a label value are escaped as the format asks."""
    metrics = Metrics()
    metrics.counter("x_total", "X", ["l"]).labels(value).inc()
    assert samples(metrics) == {("x_total", frozenset({("l", value)})): 1.0}


@given(st.lists(st.floats(0, 20), max_size=50))
def test_histogram_buckets_are_cumulative(values):
    """Each bucket counts every value up to its bound, bound included; sum and count agree."""
    metrics = Metrics()
    histogram = metrics.histogram("t_seconds", "T", buckets=(0.1, 1.0, 10.0))
    for value in values:
        histogram.labels().observe(value)
    scraped = samples(metrics)
    if not values:
        assert scraped == {}
        return
    for bound in (0.1, 1.0, 10.0, math.inf):
        label = "+Inf" if math.isinf(bound) else str(bound)
        assert scraped["t_seconds_bucket", frozenset({("le", label)})] == sum(v <= bound for v in values)
    assert scraped["t_seconds_count", frozenset()] == len(values)
    assert scraped["t_seconds_sum", frozenset()] == pytest.approx(sum(values))


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 1e300, 0.1])
def test_special_numbers_are_readable(value):
    """Infinities and not-a-number have the spelling the format gives them."""
    metrics = Metrics()
    metrics.gauge("g", "G").labels().set(value)
    [read] = samples(metrics).values()
    assert read == value or (math.isnan(read) and math.isnan(value))


def test_requests_are_counted_and_timed_by_one_observation():
    """The counter equals the histogram's count, per method and outcome."""
    metrics = Metrics()
    requests = RequestMetrics(metrics, "NLUAgent", "mainpc")
    requests.observe("analyze", 0.002)
    requests.observe("analyze", 0.004)
    requests.observe("analyze", 1.0, "deadline_exceeded")
    base = {("agent", "NLUAgent"), ("machine", "mainpc"), ("method", "analyze")}
    scraped = samples(metrics)
    assert scraped["agent_requests_total", frozenset(base | {("outcome", "ok")})] == 2
    assert scraped["agent_requests_total", frozenset(base | {("outcome", "deadline_exceeded")})] == 1
    assert scraped["agent_request_duration_seconds_count", frozenset(base | {("outcome", "ok")})] == 2
    assert requests.totals() == {("analyze", "ok"): 2, ("analyze", "deadline_exceeded"): 1}


def test_unbounded_labels_are_folded_into_one_series(monkeypatch):
    """A method name invented by callers cannot grow a metric without limit, and nothing goes uncounted."""
    monkeypatch.setattr(module, "MAX_SERIES", 3)
    metrics = Metrics()
    requests = RequestMetrics(metrics, "A", "m")
    for number in range(10):
        requests.observe(f"method{number}", 0.1)
    totals = requests.totals()
    assert len(totals) == 4
    assert totals["_other", "_other"] == 7
    assert sum(totals.values()) == 10


def test_names_and_label_counts_are_checked():
    """A bad name, a name taken twice and a missing label value are errors where they are written."""
    metrics = Metrics()
    counter = metrics.counter("x_total", "X", ["a", "b"])
    with pytest.raises(ValueError, match="already"):
        metrics.gauge("x_total", "X")
    with pytest.raises(ValueError, match="metric name"):
        metrics.gauge("not a name", "X")
    with pytest.raises(ValueError, match="labels"):
        counter.labels("only one")


def test_a_removed_series_is_no_longer_scraped():
    """Series of something that is gone disappear."""
    metrics = Metrics()
    gauge = metrics.gauge("up", "Up", ["agent"])
    gauge.labels("A").set(1)
    gauge.labels("B").set(1)
    gauge.remove("A")
    assert list(samples(metrics)) == [("up", frozenset({("agent", "B")}))]


def test_a_computed_series_is_read_when_rendered():
    """The value is that of the moment it is scraped."""
    metrics = Metrics()
    waiting = [3]
    metrics.computed("queue_length", "Waiting", {"agent": "A"}, lambda: float(len(waiting)))
    assert samples(metrics)["queue_length", frozenset({("agent", "A")})] == 1
    waiting.append(4)
    assert samples(metrics)["queue_length", frozenset({("agent", "A")})] == 2
