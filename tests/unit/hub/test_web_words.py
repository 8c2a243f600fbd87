"""How figures, times and states are said, and how turns are drawn."""

from __future__ import annotations

import pytest

pytest.importorskip("jinja2", reason="the extra `hub` is not installed")

from tandem.hub.web.drawing import WIDTH, draw_waterfall, line, path_of
from tandem.hub.web.words import Tone, figure, plural_of, sentence, size, span, title, tone
from tandem.telemetry.tracing import Kind, Span
from tandem.telemetry.waterfall import waterfall


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"), (0.0, "0 µs"), (415e-6, "415 µs"), (0.0124, "12.4 ms"), (0.25, "250 ms"), (3.21, "3.2 s"), (59.9, "59.9 s"),
        (60, "1 min"), (3600, "1 h"), (11_520, "3 h 12 min"), (187_200, "2 d 4 h"), (172_800, "2 d"),
    ],
)  # fmt: skip
def test_spans_of_time(seconds: float | None, said: str) -> None:
    """A length of time has at most three digits that matter and a unit people use."""
    assert span(seconds) == said


@pytest.mark.parametrize(
    ("count", "said"),
    [(None, "–"), (0, "0 B"), (1023, "1,023 B"), (20 << 20, "20 MiB"), (1536, "1.5 KiB"), (5 << 40, "5 TiB"), (3 << 50, "3,072 TiB")],
)
def test_sizes(count: float | None, said: str) -> None:
    """Bytes are said in the largest unit that leaves a whole part."""
    assert size(count) == said


def test_figures_and_counts() -> None:
    """Small figures keep two digits after the point, large ones none; counts take the plural."""
    assert [figure(value) for value in (0.0, 0.125, 1.0, 14.26, 1024.4)] == ["0", "0.12", "1", "14.3", "1,024"]
    assert [plural_of(1, "agent"), plural_of(2, "agent"), plural_of(0, "body", "bodies")] == ["1 agent", "2 agents", "0 bodies"]
    assert title("memory_system") == "Memory system"


@pytest.mark.parametrize(
    ("state", "verdict", "expected"),
    [
        ("healthy", "up", "well"), ("degraded", "up", "degraded"), ("unhealthy", "up", "trouble"), ("backoff", "pending", "trouble"),
        ("starting", "pending", "moving"), ("waiting", "pending", "moving"), ("waiting", "trouble", "trouble"),
        ("stopped", "off", "off"), ("stopping", "off", "off"), ("draining", "up", "moving"),
    ],
)  # fmt: skip
def test_tones(state: str, verdict: str, expected: Tone) -> None:
    """What an operator stopped is no trouble, and what will not come up by itself is, whatever its phase."""
    assert tone(state, verdict) == expected


def a_span(number: int, parent: int, name: str, agent: str, start: float, took: float, kind: Kind = "internal") -> Span:
    return Span(
        trace_id="a" * 32, span_id=f"{number:016x}", parent_id=f"{parent:016x}" if parent else "", name=name, kind=kind,
        agent=agent, machine="pc2" if agent == "Memory" else "mainpc", start=100.0 + start, duration_s=took,
    )  # fmt: skip


TURN = [
    a_span(1, 0, "turn", "Door", 0.0, 1.0),
    a_span(2, 1, "recall", "Door", 0.1, 0.5, "client"),
    a_span(3, 2, "recall", "Memory", 0.2, 0.25, "server"),
    a_span(4, 3, "search", "Memory", 0.25, 0.1),
    a_span(5, 1, "say", "Door", 0.7, 0.2, "client"),
]


def test_a_call_is_one_row() -> None:
    """The two ends of a call become one row of the callee as long as the caller waited; a call nobody took stays."""
    fall = draw_waterfall(waterfall(TURN), 1.0)
    assert [(hop.row.span.name, hop.row.span.agent, hop.depth) for hop in fall.hops] == [
        ("turn", "Door", 0), ("recall", "Memory", 1), ("search", "Memory", 2), ("say", "Door", 1),
    ]  # fmt: skip
    recall = fall.hops[1]
    assert recall.duration_s == 0.5
    assert recall.waited_s == pytest.approx(0.25)
    assert (recall.bar.x, recall.bar.width) == (100.0, 500.0)
    assert fall.machines == ["mainpc", "pc2"]


def test_bars_stay_within_the_picture() -> None:
    """However short, late or long a span is, its bar can be seen and ends where the picture does."""
    late = [*TURN, a_span(6, 1, "after", "Door", 0.9999, 3.0), a_span(7, 1, "blink", "Door", 1.0, 0.0)]
    for duration in (1.0, 0.0):
        for hop in draw_waterfall(waterfall(late), duration).hops:
            assert hop.bar.width > 0
            assert 0 <= hop.bar.x <= hop.bar.x + hop.bar.width <= WIDTH + 0.1
            assert 0 <= hop.bar.own <= hop.bar.width


def test_the_path_of_a_turn() -> None:
    """From nobody to the door, then who called whom, each pair once, without an agent's calls to itself."""
    assert path_of(waterfall(TURN)) == [("", "Door@mainpc"), ("Door@mainpc", "Memory@pc2")]


def test_lines() -> None:
    """A line runs over the whole width and needs two values; nothing but zeros is a line too."""
    assert line([1.0]) == ("", "")
    stroke, area = line([0.0, 2.0])
    assert stroke == "M0.0,40.0 1000.0,2.0"
    assert area.endswith("L1000,40Z")
    assert line([0.0, 0.0])[0] == "M0.0,40.0 1000.0,40.0"


def test_messages_become_sentences() -> None:
    """A message begins with a capital and ends with a stop, once; nothing stays nothing."""
    assert sentence('there is no agent "Nobody"') == 'There is no agent "Nobody".'
    assert sentence("Why?") == "Why?"
    assert sentence("") == ""
