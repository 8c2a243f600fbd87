"""Houses that are not as one likes to show them: empty, with names as long as names may be, with a computer away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from synthetic_hub import MACHINES, Served, serve
from ui_kit import PATIENCE_MS, overhang, violations

pytestmark = [pytest.mark.ui, pytest.mark.timeout(300)]

LONGEST = "A" + "Very" * 14 + "Nam"
"""With the four digits behind it, 64 characters."""
WIDTHS = (320, 375, 768, 1280)
PAGES = ("/", "/errors", "/turns", "/promises", "/talk", "/doctor")

Visit = Callable[..., tuple[Served, Page]]


@pytest.fixture
def visit(browser: Browser, tmp_path: Path) -> Iterator[Visit]:
    """``visit(agents, name="Agent")``: a hub of its own, and a page signed in there, live."""
    with ExitStack() as stack:

        def make(agents: int, name: str = "Agent") -> tuple[Served, Page]:
            served = stack.enter_context(serve(agents, tmp_path, name))
            page = browser.new_page()
            stack.callback(page.close)
            page.set_default_timeout(PATIENCE_MS)
            page.goto(served.link())
            page.wait_for_selector('#link[data-link="live"]')
            return served, page

        yield make


def assert_fits(page: Page) -> None:
    """At no width anything hangs over."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        assert overhang(page) <= 0, f"{page.url} at {width} px"


def test_no_agents_are_known(visit: Visit) -> None:
    """A hub that knows no agent yet says so, instead of that all are well; its other pages stand as well."""
    served, page = visit(0)
    expect(page.locator("#headline")).to_have_text("No agents are known yet.")
    expect(page.locator("#house")).to_contain_text("fleet file names")
    assert violations(page) == []
    for path in PAGES:
        page.goto(served.origin + path)
        page.wait_for_selector('#link[data-link="live"]')
        assert_fits(page)


def test_long_names(visit: Visit) -> None:
    """Names as long as names may be widen neither the house nor an agent's own page, and stay whole for screen readers."""
    served, page = visit(9, LONGEST)
    expect(page.locator("a.agent").first).to_contain_text(LONGEST)
    served.do(lambda: served.hub.set_state(f"{LONGEST}0000@{MACHINES[0]}", "unhealthy"))
    expect(page.locator("#notices")).to_contain_text(LONGEST)
    assert_fits(page)
    assert violations(page) == []
    page.goto(f"{served.origin}/agents/{LONGEST}0000@{MACHINES[0]}")
    page.wait_for_selector('#link[data-link="live"]')
    assert_fits(page)


def test_a_computer_is_away(visit: Visit) -> None:
    """Of a computer nothing is heard of, the house says since when, above and beside it, and shows its agents as they were."""
    served, page = visit(30)
    served.do(lambda: served.hub.lose(MACHINES[1]))
    expect(page.locator("#headline")).to_have_text(f"Nothing has been heard of {MACHINES[1]} for a while.")
    away = page.locator(f'.machine[data-machine="{MACHINES[1]}"]')
    expect(away.locator(".reach")).to_contain_text("as it was")
    assert away.locator("a.agent").count() > 0
    assert_fits(page)
    assert violations(page) == []
