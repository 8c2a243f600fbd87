"""What the tests of the pages share: a small fleet, words to type, and how a page is judged."""

from __future__ import annotations

import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

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


CONTRASTS = """() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1}).getContext('2d', {willReadFrequently: true});
  const rgb = (colour) => { canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data]; };
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (element) => { for (let at = element; at; at = at.parentElement) { const c = rgb(getComputedStyle(at).backgroundColor); if (c[3] === 255) return c; } return [255, 255, 255, 255]; };
  const own = (element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
  return [...document.querySelectorAll('body *')].filter((e) => own(e) && e.checkVisibility() && !e.closest('.unseen, .over, noscript, option')).map((e) => {
    const [a, b] = [light(rgb(getComputedStyle(e).color)), light(ground(e))].sort((x, y) => y - x);
    return {ratio: (a + 0.05) / (b + 0.05), words: e.textContent.trim().slice(0, 40), at: e.tagName + '.' + e.className};
  });
}"""


def contrasts(page: Page) -> list[dict[str, Any]]:
    """Contrast (WCAG 2.2, 1 to 21) of every piece of text one can see, with its words."""
    found: list[dict[str, Any]] = page.evaluate(CONTRASTS)
    return found


NAMELESS = """() => [...document.querySelectorAll('a, button, input, select, textarea, summary')].filter((e) => e.checkVisibility()).filter((e) =>
  !((e.getAttribute('aria-label') ?? '') + (e.textContent ?? '') + [...(e.labels ?? [])].map((l) => l.textContent).join('') + (e.querySelector('img[alt]')?.alt ?? '')).trim()
).map((e) => e.outerHTML)"""


def nameless(page: Page) -> list[str]:
    """Links, buttons and fields a screen reader has no word for."""
    found: list[str] = page.evaluate(NAMELESS)
    return found
