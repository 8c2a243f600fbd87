"""The Errors page of a house in which a thousand things are wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, expect
from synthetic_hub import Served, fault, serve
from ui_kit import PATIENCE_MS, overhang, violations

from tandem.core import clock
from tandem.core.ids import new_id

pytestmark = [pytest.mark.ui, pytest.mark.timeout(300)]

INCIDENTS = 1_000

PLACES = """rows => rows.map(row => [row.dataset.key, row.offsetTop - row.parentElement.offsetTop])"""


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serve(7, tmp_path) as served:
        began = clock.wall() - 2 * INCIDENTS
        served.finish(served.hub.desk.report(*(fault(number, began + number) for number in range(INCIDENTS))))
        yield served


@pytest.fixture
def errors(browser: Browser, served: Served) -> Iterator[Page]:
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE_MS)
    page.goto(served.link())
    page.wait_for_selector('#link[data-link="live"]')
    page.goto(f"{served.origin}/errors")
    page.wait_for_selector('#link[data-link="live"]')
    page.evaluate("document.fonts.ready")
    yield page
    page.close()


def places(page: Page) -> Any:
    """Which rows there are, and how far below the list's beginning."""
    return page.locator(".incident").evaluate_all(PLACES)


def test_a_thousand_incidents(errors: Page, served: Served) -> None:
    """Fifty are on a page and all are counted; errors and decisions change rows in place and new causes wait to be called for;
    a key or two finds one, leads on to the next page, or acknowledges; it fits, and axe-core finds no fault."""
    rows, range_ = errors.locator(".incident"), errors.locator(".range")
    expect(range_).to_contain_text("1–50 of 1,000")
    expect(errors.locator("#open-incidents")).to_contain_text("1,000")
    expect(errors.get_by_role("link", name="Open 1,000")).to_be_visible()
    assert violations(errors) == [] and overhang(errors) == 0

    before = places(errors)
    assert len(before) == 50
    again = [replace(fault(number, clock.wall()), id=new_id()) for number in range(INCIDENTS - 50, INCIDENTS)]
    served.finish(served.hub.desk.report(*again, *(fault(INCIDENTS + number, clock.wall()) for number in range(3))))
    expect(range_).to_contain_text("3 new incidents")
    for at in (0, 49):
        expect(rows.nth(at)).to_contain_text("2 errors")
    last = rows.nth(49)
    last.get_by_role("button", name="Acknowledge").focus()
    errors.keyboard.press("Enter")
    expect(last).to_contain_text("acknowledged by operator")
    expect(last).to_be_focused()
    assert places(errors) == before

    errors.get_by_role("link", name="3 new incidents").focus()
    errors.keyboard.press("Enter")
    expect(rows.first).to_contain_text("Agent1002")
    expect(range_).not_to_contain_text("new")
    errors.get_by_role("link", name="Next 50").click()
    expect(range_).to_contain_text("51–100 of 1,003")

    errors.get_by_role("link", name="Acknowledged 1").click()
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Agent0950")
    errors.goto(f"{served.origin}/errors")
    errors.get_by_label("Agent, cause, key or note").fill("agent0123@pc2 fault")
    errors.keyboard.press("Enter")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Agent0123@pc2")
    errors.set_viewport_size({"width": 360, "height": 740})
    errors.goto(f"{served.origin}/errors?order=errors")
    expect(rows).to_have_count(50)
    assert violations(errors) == [] and overhang(errors) == 0
