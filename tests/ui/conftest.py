"""The pages of a real, running fleet in a real browser."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "e2e")]

pytest.importorskip("jinja2", reason="the extra `hub` is not installed")
pytest.importorskip("axe_playwright_python", reason="axe-playwright-python is not installed: pip install -e '.[dev]'")
playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")

from household import FLEET_AGENTS, Household, port_offset  # noqa: E402
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright  # noqa: E402
from ui_kit import FLEET, HUB_PORT, PATIENCE_MS, OpenPage, find_chromium, new_link  # noqa: E402

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Headless Chromium of this computer; playwright's own download is not used.

    Ended with its module: while it lives, an event loop of its own runs in this thread, and no asynchronous test can.
    """
    path = find_chromium()
    if path is None:
        pytest.skip("NO BROWSER: the pages were not tested. apt-get install chromium")
    with sync_playwright() as driver:
        # Chromium's sandbox refuses root, as whom containers of continuous integration run.
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def cottage(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Household]:
    """A small fleet with a hub, up: the module's own ``FLEET``, or else that of the kit."""
    directory = tmp_path_factory.mktemp("cottage")
    (directory / "fleet.yaml").write_text(getattr(request.module, "FLEET", FLEET))
    (directory / "fleet_agents").symlink_to(FLEET_AGENTS)
    with port_offset() as offset:
        household = Household(directory, directory / "fleet.yaml", offset)
        try:
            household.up()
            yield household
        finally:
            left = household.clean_up()
        assert left == [], f"tandem down left processes: {left}"


@pytest.fixture(scope="module")
def origin(cottage: Household) -> str:
    return f"http://localhost:{HUB_PORT + cottage.offset}"


@pytest.fixture(scope="module")
def session(browser: Browser, cottage: Household) -> dict[str, object]:
    """The state of a browser that is signed in."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(new_link(cottage))
    page.wait_for_selector("#house")
    state = dict(context.storage_state())
    context.close()
    return state


@pytest.fixture
def open_page(browser: Browser, origin: str, session: dict[str, object]) -> Iterator[OpenPage]:
    """``open_page(path, signed_in=True, context=None, **options of the browser)``: a live page.

    Ends the test in failure when a script failed, a dialog opened, or the page tried what its policy forbids.
    """
    contexts: list[BrowserContext] = []
    faults: list[str] = []

    def hear(message: object) -> None:
        text = getattr(message, "text", "")
        if "Content Security Policy" in text:
            faults.append(text)

    def watched(context: BrowserContext) -> Page:
        page = context.new_page()
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", hear)
        page.on("dialog", lambda dialog: (faults.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        return page

    def make(path: str, *, signed_in: bool = True, context: BrowserContext | None = None, **options: object) -> Page:
        if context is None:
            context = browser.new_context(**({"storage_state": session} if signed_in else {}), **options)
            context.set_default_timeout(PATIENCE_MS)
            contexts.append(context)
        page = watched(context)
        page.goto(origin + path)
        if not path.startswith("/login"):
            page.wait_for_selector('#link[data-link="live"]')
        return page

    yield make
    for context in contexts:
        context.close()
    assert faults == []
