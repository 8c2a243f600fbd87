"""The hub's pages in a browser: until the house can be used, and until a change is seen, with 77 and 1,000 agents.

    python benchmarks/web.py [--agents 77 1000] [--json]

Real fleets of minimal agents, the hub that runs among them, and headless Chromium on the same cores. A change is an agent
that was told to stop: from the moment its process is gone (pidfd) until its shape in the page says so, by one clock.
"""

from __future__ import annotations

import argparse
import os
import select
import shutil
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from _rows import Row, run, say
from hub import HTTP, Watched

SIZES = (77, 1_000)
LOADS = 7
CHANGES = 10
PATIENCE_MS = 120_000
ORIGIN = f"http://localhost:{HTTP}"

WATCH = """id => {
  const link = document.querySelector(`a.agent[data-agent="${id}"]`);
  window.seen = [];
  new MutationObserver(() => window.seen.push(Date.now() / 1000)).observe(link, {attributes: true, attributeFilter: ['data-tone']});
}"""
"""Notes when an agent's shape changes, by the clock the server has too."""


def measure() -> Sequence[Row]:
    """The whole benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, nargs="+", default=SIZES)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    chromium = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    if chromium is None:
        sys.exit("no Chromium here: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    rows: list[Row] = []
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for size in options.agents:
            folder = Path(tempfile.mkdtemp(prefix="hw", dir="/tmp"))
            fleet = Watched(folder, size)
            try:
                say(fleet.tandem("up").strip().splitlines()[-1])
                rows += _pages(browser, fleet, size)
            finally:
                fleet.tandem("down")
                shutil.rmtree(folder, ignore_errors=True)
        browser.close()
    return rows


def _pages(browser: object, fleet: Watched, size: int) -> list[Row]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(fleet.tandem("hub", "open", "--print").strip())
    page.wait_for_selector('#link[data-link="live"]')
    page.wait_for_function(f"document.querySelectorAll('a.agent').length > {size}")
    try:
        return [*_loads(page, size), *_changes(page, fleet, size)]
    finally:
        context.close()


def _loads(page: object, size: int) -> list[Row]:
    """From typing the address until everything is drawn and live, and how much came over the wire."""
    seconds = []
    for _ in range(LOADS):
        began = time.perf_counter()
        page.goto(ORIGIN)
        page.wait_for_selector('#link[data-link="live"]')
        seconds.append(time.perf_counter() - began)
    transferred = page.evaluate("performance.getEntriesByType('navigation')[0].encodedBodySize")
    say(f"{size} agents: house live after {statistics.median(seconds):.3f} s (median of {LOADS}), {transferred / 1024:.0f} KiB of HTML")
    return [
        Row(id=f"web.{size}.load_s", ours=statistics.median(seconds), unit="s"),
        Row(id=f"web.{size}.html_bytes", ours=transferred, unit="B"),
    ]


def _changes(page: object, fleet: Watched, size: int) -> list[Row]:
    """From the end of an agent's process until its shape is another one in the page."""
    token = fleet.tandem("hub", "token").strip()
    seconds = []
    for number in range(CHANGES):
        name = f"Agent{number:04}"
        page.evaluate(WATCH, f"{name}@bench")
        ended: list[float] = []
        process = os.pidfd_open(fleet.pid(name))
        threading.Thread(target=_note_end, args=(process, ended), daemon=True).start()
        urllib.request.urlopen(
            urllib.request.Request(
                f"{ORIGIN}/api/v1/agents/{name}/stop", method="POST", headers={"authorization": f"Bearer {token}"}
            ),
            timeout=60,
        ).close()
        page.wait_for_selector(f'a.agent[data-agent="{name}@bench"][data-tone="off"]')
        seconds.append(page.evaluate("window.seen.at(-1)") - ended[0])
    median, worst = statistics.median(seconds), max(seconds)
    say(f"{size} agents: the end of an agent is seen after {median:.3f} s (median of {CHANGES}), at most {worst:.3f} s")
    return [
        Row(id=f"web.{size}.update_p50_s", ours=median, unit="s"),
        Row(id=f"web.{size}.update_max_s", ours=worst, unit="s"),
    ]


def _note_end(process: int, ended: list[float]) -> None:
    select.select([process], [], [])
    ended.append(time.time())
    os.close(process)


if __name__ == "__main__":
    run("web", measure)
