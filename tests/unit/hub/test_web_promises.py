"""Promises in words and figures."""

from __future__ import annotations

import pytest

pytest.importorskip("jinja2", reason="the extra `hub` is not installed")

from tandem.hub.objectives import Standing, burning
from tandem.hub.web.promises import MachineJudged, headline, rate_words, shown
from tandem.telemetry.objectives import WINDOWS_S, Objective, span_name

HEALTH = Objective(measure="health", target=0.99, description="health checks pass")


def standing(good: float | None, recently: float | None = None) -> Standing:
    """``good`` in the longest window, ``recently`` in the others."""
    ratios = {window: good if window == WINDOWS_S[-1] or recently is None else recently for window in WINDOWS_S}
    burn = burning(HEALTH, ratios)
    return Standing(
        objective=HEALTH, machine="mainpc", good={span_name(w): ratio for w, ratio in ratios.items()},
        burning=burn.severity if burn else "", burn=burn, worst=["NLUAgent"] if burn else [],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("good", "tone", "verdict", "left", "width"),
    [
        (1.0, "well", "kept", "100% of 1%", 1000.0),
        (0.995, "well", "kept", "50% of 1%", 500.0),
        (None, "off", "nothing to judge yet", "–", 0.0),
    ],
)
def test_the_budget_that_is_left(good: float | None, tone: str, verdict: str, left: str, width: float) -> None:
    """Half of what may fail has failed: half of the budget is left; without events nothing is claimed."""
    promise = shown(standing(good))
    assert (promise.tone, promise.verdict, promise.left, promise.width) == (tone, verdict, left, width)


def test_a_burning_promise_names_rate_window_and_culprit() -> None:
    """A fifth of the checks fail: 20 times too fast, which is critical, although most of the budget is left."""
    promise = shown(standing(0.998, 0.8))
    assert promise.tone == "trouble"
    assert promise.verdict == "critical: more than 14.4 times too fast over 1h"
    assert promise.rates[0] == "20×" and promise.rates[-1] == "0.2×"
    assert promise.worst == ["NLUAgent"]
    assert promise.left == "80% of 1%"


def test_a_spent_budget_is_said_to_be() -> None:
    """More failed in three days than may, but not lately: nothing burns, and the budget is gone."""
    promise = shown(standing(0.95, 1.0))
    assert (promise.tone, promise.verdict, promise.left) == ("degraded", "budget is spent", "0% of 1%")


def test_the_headline_says_the_worst() -> None:
    """Broken before used up before foreseen before kept; nothing known is not called kept."""
    spent = shown(standing(0.95, 1.0))
    assert headline([MachineJudged("a", [shown(standing(1.0)), spent])]) == "1 promise has used up what may fail."
    kept, broken, unknown = shown(standing(1.0)), shown(standing(0.8)), shown(standing(None))
    assert headline([MachineJudged("a", [kept, broken]), MachineJudged("b", [broken])]) == "2 promises are being broken."
    assert headline([MachineJudged("a", [kept])]) == "What is promised is kept."
    assert headline([MachineJudged("a", [unknown]), MachineJudged("b", fault="away")]) == "Too little has happened yet to judge."


def test_hardly_any_burning_is_not_called_none() -> None:
    """A rate too small for its digits is said to be below them; none at all is nothing, unknown a dash."""
    words = ["0×", "<0.01×", "0.01×", "–"]
    assert [rate_words(rate) for rate in (0.0, 0.001, 0.01, None)] == words
