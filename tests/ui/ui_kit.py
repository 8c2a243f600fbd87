"""What the tests of the pages share: a small fleet, words to type, and how a page is judged."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from household import Household
from playwright.sync_api import Page

PATIENCE_MS = 60_000
HUB_PORT = 9000
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
EVIL = "<img src=x onerror=alert(1)><script>alert(2)</script>"

FLEET = """
fleet: cottage
front_door: FrontDesk
groups:
  hall:
    description: Who answers the door
    agents:
      Helper: {class: fleet_agents.front_desk:Helper}
      FrontDesk: {class: fleet_agents.front_desk:FrontDesk, needs: [Helper]}
      Neighbour: {class: fleet_agents.greeter:Greeter}
  attic:
    agents:
      ObservabilityHub: {class: "tandem.api:Hub", port: 9000, speaks: http, observer: true}
"""

OpenPage = Callable[..., Page]


def find_chromium() -> str | None:
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def new_link(cottage: Household, machine: str = "") -> str:
    """What an operator is given to sign in, at the first hub or at that of ``machine``."""
    said = cottage.tandem("hub", "open", "--print", *(["--machine", machine] if machine else []))
    assert said.status == 0, said.text
    return said.out.strip()


def sign_in(open_page: OpenPage, cottage: Household) -> Page:
    """A browser of its own, signed in by a new link."""
    page = open_page("/login", signed_in=False)
    page.goto("about:blank")
    page.goto(new_link(cottage))
    page.wait_for_selector("#house")
    return page


def fetch(url: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], str]:
    """Status, headers (names in lower case) and text of a request that no browser makes."""
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, {k.lower(): v for k, v in answer.headers.items()}, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, {k.lower(): v for k, v in error.headers.items()}, error.read().decode()


def ask(page: Page, question: str) -> None:
    """Type a question on Talk and wait until the exchange is over."""
    page.fill("#question", question)
    page.keyboard.press("Enter")
    page.wait_for_selector(".exchange:last-child .after")


STANDARD = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "resultTypes": ["violations"]}


def violations(page: Page) -> list[str]:
    """Where the page, as it is now, breaks WCAG 2.2 at level A or AA (as far as axe-core can tell): rule, element, reason."""
    found = Axe().run(page, options=STANDARD).response["violations"]
    return [
        f"{rule['id']} ({rule['impact']}) {node['html']} {node['failureSummary']}" for rule in found for node in rule["nodes"]
    ]


def overhang(page: Page) -> int:
    """Pixels by which the page is wider than its window."""
    return int(page.evaluate("document.documentElement.scrollWidth - innerWidth"))
