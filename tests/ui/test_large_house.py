"""The house of a thousand agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from synthetic_hub import Served, serve
from ui_kit import PATIENCE_MS

pytestmark = [pytest.mark.ui, pytest.mark.timeout(300)]

AGENTS = 1_000


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with serve(AGENTS, tmp_path) as served:
        yield served


@pytest.fixture
def house(browser: Browser, served: Served) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(served.link())
    page.wait_for_selector('#link[data-link="live"]')
    yield page
    page.close()


def test_a_thousand_agents(house: Page, served: Served) -> None:
    """All of them are there; one that falls ill is seen among them, counted, named above, found by its name, and heals."""
    assert house.locator("a.agent").count() == AGENTS
    expect(house.locator("#headline")).to_have_text("All 1,000 agents are well.")
    served.do(lambda: served.hub.set_state("Agent0003@mainpc", "unhealthy"))
    ill = house.locator('a.agent[data-agent="Agent0003@mainpc"]')
    expect(ill).to_have_attribute("data-tone", "trouble", timeout=PATIENCE_MS)
    expect(ill).to_contain_text("unhealthy")
    expect(house.locator("#headline")).to_have_text("1 of 1,000 agents needs help.", timeout=PATIENCE_MS)
    expect(house.locator("#notices")).to_contain_text("Agent0003")
    house.get_by_label("Find an agent").fill("0003")
    expect(house.locator("a.agent:visible")).to_have_count(1, timeout=PATIENCE_MS)
    house.get_by_label("Find an agent").fill("")
    served.do(lambda: served.hub.set_state("Agent0003@mainpc", "healthy"))
    expect(house.locator("#headline")).to_have_text("All 1,000 agents are well.", timeout=PATIENCE_MS)
    expect(house.locator("a.agent:visible")).to_have_count(AGENTS, timeout=PATIENCE_MS)


def test_pointing_draws_only_what_concerns_it(house: Page) -> None:
    """A thousand agents' wires are not drawn at once; those of the agent one points at are."""
    assert house.locator("#wires path").count() == 0
    house.locator('a.agent[data-agent="Agent0000@mainpc"]').hover()
    expect(house.locator("#wires path.from")).to_have_count(6)
