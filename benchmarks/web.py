"""The hub's pages in a browser: until the house can be used, and until a change is seen, with 77 and 1,000 agents.

The fleet is made up, so that what is measured is the hub's HTTP, its pages and headless Chromium, not a thousand processes
that compete with them. ``gzip`` stands for nothing here: all of it stays on loopback.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from _rows import Row, run, say
from _synthetic_hub import Served, serve

SIZES = (77, 1_000)
LOADS = 7
CHANGES = 15
PATIENCE_MS = 60_000

WATCH = """id => {
  const link = document.querySelector(`a.agent[data-agent="${id}"]`);
  window.seen = [];
  new MutationObserver(() => window.seen.push(Date.now() / 1000)).observe(link, {attributes: true, attributeFilter: ['data-tone']});
}"""
"""Notes when an agent's shape changes, by the clock the server has too."""


def measure() -> Sequence[Row]:
    chromium = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if chromium is None:
        sys.exit("no Chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    rows: list[Row] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for size in SIZES:
            with tempfile.TemporaryDirectory() as folder, serve(size, Path(folder)) as served:
                context = browser.new_context()
                context.set_default_timeout(PATIENCE_MS)
                page = context.new_page()
                page.goto(served.link())
                page.wait_for_selector('#link[data-link="live"]')
                rows += _loads(page, served, size)
                rows += _changes(page, served, size)
                context.close()
        browser.close()
    return rows


def _loads(page: object, served: Served, size: int) -> list[Row]:
    """From typing the address until everything is drawn and live, and how much came over the wire."""
    seconds = []
    for _ in range(LOADS):
        began = time.perf_counter()
        page.goto(served.origin)
        page.wait_for_selector('#link[data-link="live"]')
        seconds.append(time.perf_counter() - began)
    transferred = page.evaluate("performance.getEntriesByType('navigation')[0].encodedBodySize")
    say(f"{size} agents: house live after {statistics.median(seconds):.3f} s (median of {LOADS}), {transferred / 1024:.0f} KiB of HTML")
    return [
        Row(id=f"web.{size}.load_s", ours=statistics.median(seconds), unit="s"),
        Row(id=f"web.{size}.html_bytes", ours=transferred, unit="B"),
    ]


def _changes(page: object, served: Served, size: int) -> list[Row]:
    """From the hub's knowing of a change until the agent's shape is another one in the page."""
    agent = "Agent0003@mainpc"
    page.evaluate(WATCH, agent)
    seconds = []
    for number in range(CHANGES):
        told: list[float] = []

        def change(state: str = ("unhealthy", "healthy")[number % 2], told: list[float] = told) -> None:
            told.append(time.time())
            served.hub.set_state(agent, state)

        served.do(change)
        page.wait_for_selector(f'a.agent[data-agent="{agent}"][data-tone="{("trouble", "well")[number % 2]}"]')
        seconds.append(page.evaluate("window.seen.at(-1)") - told[0])
        page.wait_for_timeout(500)
    median, worst = statistics.median(seconds), max(seconds)
    say(f"{size} agents: a change is seen after {median:.3f} s (median of {CHANGES}), at most {worst:.3f} s")
    return [
        Row(id=f"web.{size}.update_p50_s", ours=median, unit="s"),
        Row(id=f"web.{size}.update_max_s", ours=worst, unit="s"),
    ]


if __name__ == "__main__":
    run("web", measure)
