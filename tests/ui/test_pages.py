"""Journeys of an operator through the pages of a small, running fleet."""

from __future__ import annotations

import os
import re
import signal

import pytest
from household import Household, eventually
from playwright.sync_api import Page, expect
from ui_kit import EVIL, PHONE, OpenPage, ask, fetch, new_link, overhang, sign_in, violations

pytestmark = [pytest.mark.ui, pytest.mark.timeout(300)]

PAGES = ("/", "/agents/Helper", "/errors", "/turns", "/promises", "/talk", "/doctor", "/login")
REMEMBER_LIT = """() => {
    window.wasLit = new Set();
    new MutationObserver(changes => changes.forEach(({target}) => {
        if (target.matches("a.agent.lit")) window.wasLit.add(target.dataset.agent);
    })).observe(document.body, {subtree: true, attributes: true, attributeFilter: ["class"]});
}"""
"""Agents are lit for some seconds only; whoever looks may be slower."""


def agent(page: Page, name: str) -> object:
    """Its place in the house."""
    return page.locator(f'a.agent[data-agent^="{name}@"]')


# ---- who may do what ----


def test_wrong_login(open_page: OpenPage) -> None:
    """A wrong link is refused in words, starts no session, and what acts is not shown."""
    page = open_page("/login", signed_in=False)
    page.fill("#token", "http://localhost/login#nonsense")
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator("#login-says")).to_contain_text("make a new one")
    assert page.context.cookies() == []
    page.goto(page.url.replace("/login", "/agents/Helper"))
    expect(page.get_by_role("heading", name="Helper")).to_be_visible()
    assert page.locator("[data-act]").count() == 0


def test_a_link_signs_in_once(open_page: OpenPage, cottage: Household) -> None:
    """The printed link signs in and leaves no trace in the address; a second browser cannot use it again."""
    link = new_link(cottage)
    page = open_page("/login", signed_in=False)
    page.goto("about:blank")
    page.goto(link)
    page.wait_for_selector("#house")
    assert "#" not in page.url
    cookie = page.context.cookies()[0]
    assert cookie["httpOnly"] and cookie["secure"] and cookie["sameSite"] == "Strict"
    other = open_page("/login", signed_in=False)
    other.goto("about:blank")
    other.goto(link)
    expect(other.locator("#login-says")).to_contain_text("used already")


def test_signing_out(open_page: OpenPage, cottage: Household, origin: str) -> None:
    """After signing out, the browser may only read, and a copy of its cookie and proof does nothing."""
    page = sign_in(open_page, cottage)
    [cookie], proof = page.context.cookies(), page.evaluate("localStorage.getItem('tandem-proof')")
    stolen = {"Cookie": f"{cookie['name']}={cookie['value']}", "X-CSRF-Token": proof}
    restart = f"{origin}/api/v1/agents/Neighbour/restart"
    assert fetch(restart, "POST", Cookie=stolen["Cookie"])[0] == 403, "the cookie alone acted"
    assert fetch(restart, "POST", **stolen)[0] == 200
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_selector("#login")
    assert page.context.cookies() == [] and page.evaluate("localStorage.length") == 0
    assert fetch(restart, "POST", **stolen)[0] == 403


def test_nobody_else_acts(origin: str) -> None:
    """Without a session, with a foreign origin or under a foreign name, nothing is done and nothing is told."""
    for headers in ({}, {"Origin": "http://evil.example"}, {"Cookie": "tandem_00000000=1"}):
        assert fetch(f"{origin}/api/v1/agents/Neighbour/stop", "POST", **headers)[0] == 403
        assert fetch(f"{origin}/talk", "POST", **headers)[0] == 403
        assert fetch(f"{origin}/doctor", "POST", **headers)[0] == 403
    status, _, text = fetch(f"{origin}/", Host="evil.example")
    assert status == 403 and "Helper" not in text


def test_headers(origin: str) -> None:
    """Every page forbids inline script, other origins, frames, sniffing and referrers; so do missing ones."""
    for path in (*PAGES, "/agents/Nobody", "/turns/nothing", "/errors/nothing"):
        _, headers, _ = fetch(origin + path)
        policy = headers["content-security-policy"]
        assert "script-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy, path
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"


def test_what_is_not_there(open_page: OpenPage) -> None:
    """An agent, turn or incident nobody knows is said to be unknown, with the way back."""
    for path in ("/agents/Nobody", "/turns/nothing", "/errors/nothing"):
        page = open_page(path)
        expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
        expect(page.get_by_role("link", name="Back to the house")).to_be_visible()


# ---- the pages ----


def test_house_and_its_actions(open_page: OpenPage, cottage: Household) -> None:
    """The house shows every agent; stopping and starting one there is seen live by another page and by the command line."""
    page, onlooker = open_page("/"), open_page("/")
    for name in ("Helper", "FrontDesk", "Neighbour", "ObservabilityHub"):
        expect(agent(page, name)).to_contain_text("healthy")
    agent(page, "Neighbour").click()
    panel = page.locator("#panel")
    expect(panel.get_by_role("heading", name="Neighbour")).to_be_visible()
    panel.get_by_text("Stop…").click()
    panel.get_by_role("button", name="Stop Neighbour").click()
    expect(agent(onlooker, "Neighbour")).to_have_attribute("data-tone", "off")
    expect(onlooker.locator("#headline")).to_contain_text("stopped on purpose")
    assert cottage.agent("Neighbour")["state"] == "stopped"
    panel.get_by_role("button", name="Start", exact=True).click()
    expect(agent(onlooker, "Neighbour")).to_have_attribute("data-tone", "well")
    assert violations(page) == []
    before = cottage.agent("Neighbour")["pid"]
    panel.get_by_role("button", name="Restart").click()
    expect(page.locator("#flash")).to_contain_text("was restarted")
    assert cottage.agent("Neighbour")["pid"] != before


def test_a_turn_lights_its_path(open_page: OpenPage) -> None:
    """A question asked on one page lights the agents it passes in another, which then links to the turn."""
    house = open_page("/")
    talk = open_page("/talk", context=house.context)
    ask(talk, "light the way")
    house.bring_to_front()
    house.evaluate(REMEMBER_LIT)
    ask(talk, "light the way again")
    lit = {"FrontDesk", "Helper"}
    eventually(lambda: {name.partition("@")[0] for name in house.evaluate("[...window.wasLit]")} == lit, f"light on {lit}")
    house.locator("#turnline a").click()
    expect(house.get_by_role("heading", level=1)).to_contain_text("through 2 agents")


def test_talk(open_page: OpenPage) -> None:
    """The answer appears below the question, and below it the hops it took."""
    page = open_page("/talk")
    ask(page, "is it me you are looking for?")
    expect(page.locator(".exchange .a")).to_have_text("Well. You said: is it me you are looking for?")
    expect(page.locator(".exchange .hop", has_text="repeat")).to_contain_text("Helper")
    assert violations(page) == []
    expect(page.locator("#question")).to_be_focused()


def test_talk_says_what_went_wrong(open_page: OpenPage) -> None:
    """A question that fails on the way is answered with the reason, and the next one works."""
    page = open_page("/talk")
    ask(page, "fail please")
    expect(page.locator(".exchange .fail").first).to_contain_text("fail please")
    ask(page, "and now?")
    expect(page.locator(".exchange:last-child .a")).to_have_text("Well. You said: and now?")


def test_turns(open_page: OpenPage) -> None:
    """Turns are found by agent and outcome; a waterfall opens, and a hop of it by keyboard; at any width its names are whole."""
    ask(open_page("/talk"), "remember the turn")
    page = open_page("/turns")
    page.get_by_label("Agent, action or turn id").fill("nobody-of-this-name")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_text("No turn matches.")).to_be_visible()
    page.get_by_label("Agent, action or turn id").fill("helper")
    page.get_by_role("button", name="Search").click()
    page.locator("tbody tr a").first.click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("agents")
    hop = page.locator("summary.hop", has_text="Helper").first
    hop.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("on the way", exact=True).first).to_be_visible()
    assert violations(page) == []
    for width in (360, 768, 1280):
        page.set_viewport_size({"width": width, "height": 800})
        cut = "names => names.filter(name => name.scrollWidth > name.clientWidth).map(name => name.textContent)"
        assert page.locator(".call .name, .call .at").evaluate_all(cut) == [], f"names are cut at {width} px"


def test_errors(open_page: OpenPage, cottage: Household) -> None:
    """An error whose message is markup shows as text; acknowledging and resolving it reaches the hub."""
    ask(open_page("/talk"), f"fail {EVIL}")
    page = open_page("/errors")
    row = page.locator(".incident", has_text="<img src=x").first
    expect(row).to_be_visible()
    row.locator(".title a").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("<script>alert(2)</script>")
    expect(page.get_by_role("heading", name="What happened")).to_be_visible()
    assert violations(page) == []
    page.get_by_label("Note").fill(f"mine {EVIL}")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.locator(".sub.who")).to_contain_text("acknowledged by operator")
    expect(page.get_by_text("“mine <img")).to_be_visible()
    listed = cottage.tandem("errors", "list", "--json").json
    assert any(incident["state"] == "acknowledged" and incident["note"].startswith("mine") for incident in listed)
    page.get_by_role("button", name="Resolve").click()
    expect(page.locator(".sub.who")).to_contain_text("resolved by operator")


def test_markup_in_a_log(open_page: OpenPage) -> None:
    """What an agent logs is shown as it is, never obeyed."""
    ask(open_page("/talk"), EVIL)
    page = open_page("/agents/Helper")
    expect(page.locator(".log")).to_contain_text(EVIL)
    assert page.locator(".log img, .log script").count() == 0


def test_doctor(open_page: OpenPage) -> None:
    """The doctor is called from the page and says what it found, each with a word beside its shape."""
    page = open_page("/doctor")
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".checks li").first).to_be_visible()
    checks = page.locator(".checks").inner_text()
    assert "python" in checks and "kernel" in checks
    words = page.locator(".checks .state").all_inner_texts()
    assert set(words) <= {"ok", "note", "problem"} and "ok" in words
    expect(page.get_by_text("What tandem doctor found")).to_be_visible()
    assert violations(page) == []


# ---- however one comes ----


def test_the_hub_dies_and_comes_back(open_page: OpenPage, cottage: Household) -> None:
    """A page open while the hub is killed goes live again by itself, shows what happened since, and is still signed in."""
    page = open_page("/")
    before = cottage.agent("ObservabilityHub")["pid"]
    os.kill(before, signal.SIGKILL)
    eventually(lambda: cottage.agent("ObservabilityHub")["pid"] not in (None, before), "another hub")
    assert cottage.tandem("stop", "Neighbour").status == 0
    expect(agent(page, "Neighbour")).to_have_attribute("data-tone", "off")
    expect(page.locator("#link")).to_have_text("live")
    agent(page, "Neighbour").click()
    page.get_by_role("button", name="Start", exact=True).click()
    expect(agent(page, "Neighbour")).to_have_attribute("data-tone", "well")
    page.reload()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_keyboard_only(open_page: OpenPage) -> None:
    """Everything is reached by keys: the content past the bar, an agent, its panel, and the way back to where one was."""
    page = open_page("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('a.agent')"):
            break
    name = page.evaluate("document.activeElement.dataset.agent")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    expect(page.locator("#panel")).to_be_focused()
    expect(page.locator("#panel h1")).to_have_text(name.partition("@")[0])
    page.keyboard.press("Escape")
    expect(page.locator("#panel")).to_be_hidden()
    assert page.evaluate("document.activeElement.dataset.agent") == name


def test_keys_keep_their_place(open_page: OpenPage) -> None:
    """Whoever presses a button that goes away stays where it was, in a list, on an incident and beside the house, and news
    that comes meanwhile moves nobody from one row to another."""
    talk, page = open_page("/talk"), open_page("/errors")
    ask(talk, "fail at the first thing")
    row = page.locator(".incident", has_text="RuntimeError in Helper").filter(has_text="at the first thing")
    row.get_by_role("button", name="Acknowledge").focus()
    page.keyboard.press("Enter")
    expect(row).to_contain_text("acknowledged by operator")
    expect(row).to_be_focused()
    page.keyboard.press("Tab")
    expect(row.locator(".title a")).to_be_focused()
    ask(talk, "fail otherwise")
    expect(page.locator(".incident", has_text="RuntimeError in Helper").filter(has_text="otherwise")).to_be_visible()
    expect(row.locator(".title a")).to_be_focused()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Resolve").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".sub.who")).to_contain_text("resolved by operator")
    expect(page.locator("form[data-judge]")).to_be_focused()

    page = open_page("/")
    agent(page, "Neighbour").focus()
    page.keyboard.press("Enter")
    panel = page.locator("#panel")
    panel.get_by_text("Stop…").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    for shown, tone in (("Stop Neighbour", "off"), ("Start", "well")):
        expect(panel.get_by_role("button", name=shown, exact=True)).to_be_focused()
        page.keyboard.press("Enter")
        expect(agent(page, "Neighbour")).to_have_attribute("data-tone", tone)
        expect(panel.locator(".actions")).to_be_focused()
        page.keyboard.press("Tab")


@pytest.mark.parametrize("path", PAGES)
def test_phone(open_page: OpenPage, path: str) -> None:
    """On a phone nothing is wider than the screen, and the way to the other pages is at the thumb."""
    page = open_page(path, signed_in=path != "/login", **PHONE)
    assert overhang(page) <= 0
    if path != "/login":
        box = page.get_by_role("navigation", name="Pages").bounding_box()
        assert box is not None and box["y"] + box["height"] == pytest.approx(844, abs=1)


def test_phone_opens_an_agent_as_a_page(open_page: OpenPage) -> None:
    """Where there is no room beside the house, an agent has a page of its own."""
    page = open_page("/", **PHONE)
    agent(page, "Helper").tap()
    page.wait_for_url(re.compile("/agents/Helper"))
    expect(page.get_by_role("button", name="Restart")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_everything_can_be_read(open_page: OpenPage, path: str, scheme: str) -> None:
    """In light and dark no page breaks WCAG 2.2 AA (contrast, names, sizes, order), and each has one heading."""
    page = open_page(path, signed_in=path != "/login", color_scheme=scheme)
    assert violations(page) == []
    assert page.locator("main h1").count() == 1
    dark = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (dark == "rgb(22, 21, 19)") == (scheme == "dark")


def test_reading_works_without_scripts(open_page: OpenPage, origin: str) -> None:
    """Without JavaScript the house and an agent are there to read, with links between them."""
    page = open_page("/login", signed_in=False, java_script_enabled=False)
    page.goto(origin)
    page.locator("a.agent", has_text="Helper").click()
    expect(page.get_by_role("heading", name="Helper")).to_be_visible()
