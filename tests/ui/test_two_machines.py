"""The pages of two machines, each with a hub: what one shows of the other, and who is signed in where."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest
from household import Household, eventually
from playwright.sync_api import Page, expect
from ui_kit import HUB_PORT, OpenPage, new_link, sign_in

pytestmark = [pytest.mark.ui, pytest.mark.timeout(300)]

OTHER_PORT = 9100
JUDGED_MS = 150_000
"""Hubs judge once a minute."""
ALMOST_ALL_LEFT = re.compile(r"\b(9\d|100)% of 1%")
"""Of a budget, though an agent was cut off or stopped for a test while somebody looked at it."""

FLEET = """
fleet: cottage
machines:
  mainpc: {}
  pc2: {}
groups:
  hall:
    machine: mainpc
    agents:
      Neighbour: {class: fleet_agents.greeter:Greeter}
      ObservabilityHub: {class: "tandem.api:Hub", port: 9000, speaks: http, observer: true}
  attic:
    machine: pc2
    agents:
      Lodger: {class: fleet_agents.greeter:Greeter}
      ObservabilityHub: {class: "tandem.api:Hub", port: 9000, shared_host_port: 9100, speaks: http, observer: true}
"""


def agent(page: Page, identity: str) -> object:
    return page.locator(f'a.agent[data-agent="{identity}"]')


@contextmanager
def silent(cottage: Household, machine: str) -> Iterator[None]:
    """Nothing of ``machine`` runs or answers, as when its cable is pulled; afterwards it goes on."""
    place = f"/machines/{machine}/"
    found = [process for process in psutil.process_iter() if _belongs(process, cottage, place)]
    assert len(found) >= 4, "neither keeper, node, nats nor hub were found"
    for process in found:
        _signal(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in reversed(found):
            _signal(process, signal.SIGCONT)


def _signal(process: psutil.Process, number: signal.Signals) -> None:
    with suppress(psutil.NoSuchProcess):
        process.send_signal(number)


def _belongs(process: psutil.Process, cottage: Household, place: str) -> bool:
    """Whether it has something of that machine open or for its working directory, and belongs to this fleet."""
    try:
        words = [*process.cmdline(), process.cwd(), *(file.path for file in process.open_files())]
        return any(place in word and str(cottage.home.root) in word for word in words)
    except psutil.Error:
        return False


def test_a_machine_that_is_cut_off(open_page: OpenPage, cottage: Household) -> None:
    """Its agents stay as last heard, with the age of that; what is asked of it fails in words; afterwards it is live again."""
    page = open_page("/")
    there = page.locator('section.machine[data-machine="pc2"]')
    expect(agent(page, "Lodger@pc2")).to_have_attribute("data-tone", "well")
    expect(there).to_contain_text("2 of 2 agents up")
    with silent(cottage, "pc2"):
        expect(there).to_contain_text("ago")
        expect(page.locator("#headline")).to_contain_text("Nothing has been heard of pc2")
        expect(agent(page, "Lodger@pc2")).to_be_visible()
        expect(agent(page, "Neighbour@mainpc")).to_have_attribute("data-tone", "well")
        first = there.inner_text()
        expect(there).not_to_have_text(first)
        agent(page, "Lodger@pc2").click()
        page.get_by_role("button", name="Restart").click()
        expect(page.locator("#flash")).to_contain_text("does not answer")
        page.keyboard.press("Escape")
    expect(there).not_to_contain_text("ago")
    expect(agent(page, "Lodger@pc2")).to_have_attribute("data-tone", "well")


def test_acting_across_machines(open_page: OpenPage, cottage: Household) -> None:
    """An agent of the other machine is stopped and started from here, and the other hub's page shows it."""
    page = open_page("/")
    there = page.context.new_page()
    there.goto(new_link(cottage, "pc2"))
    there.wait_for_selector("#house")
    agent(page, "Lodger@pc2").click()
    page.locator("#panel").get_by_text("Stop…").click()
    page.locator("#panel").get_by_role("button", name="Stop Lodger").click()
    expect(agent(there, "Lodger@pc2")).to_have_attribute("data-tone", "off")
    page.locator("#panel").get_by_role("button", name="Start", exact=True).click()
    expect(agent(there, "Lodger@pc2")).to_have_attribute("data-tone", "well")


def test_each_hub_has_sessions_of_its_own(open_page: OpenPage, cottage: Household) -> None:
    """A browser is signed in at both hubs at once; signing out of one leaves it signed in at the other."""
    page = sign_in(open_page, cottage)
    there = page.context.new_page()
    there.goto(new_link(cottage, "pc2"))
    there.wait_for_selector("#house")
    assert re.search(rf":{OTHER_PORT + cottage.offset}/", there.url) and f":{HUB_PORT + cottage.offset}/" in page.url
    there.get_by_role("button", name="Sign out").click()
    there.wait_for_selector("#login")
    page.reload()
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_signing_out_everywhere(open_page: OpenPage, cottage: Household) -> None:
    """One browser ends the session of another, whose next action is refused in words; so does the command line."""
    here, there = sign_in(open_page, cottage), sign_in(open_page, cottage)
    there.goto(there.url + "agents/Neighbour@mainpc")
    here.get_by_role("link", name="operator").click()
    expect(here.locator("main")).to_contain_text("other browser")
    here.get_by_role("button", name="Sign out everywhere").click()
    here.wait_for_selector("#login")
    there.get_by_role("button", name="Restart").click()
    expect(there.locator("#flash")).to_contain_text("only the operator may do this")
    again = sign_in(open_page, cottage)
    said = cottage.tandem("hub", "sign-out", "--machine", "mainpc")
    assert said.status == 0 and "1 browser signed out" in said.out
    again.reload()
    expect(again.get_by_role("link", name="Sign in")).to_be_visible()


def test_a_revoked_operator_is_signed_out(open_page: OpenPage, cottage: Household) -> None:
    """`tandem machine revoke operator` ends every session at once; a new link works again."""
    page = sign_in(open_page, cottage)
    assert cottage.tandem("machine", "revoke", "operator").status == 0
    expect(page.locator("#link")).to_have_text("live")

    def signed_out() -> bool:
        page.reload()
        return page.get_by_role("button", name="Sign out").count() == 0

    eventually(signed_out, "the end of the session")
    sign_in(open_page, cottage)


def test_promises_of_both_machines(open_page: OpenPage, cottage: Household) -> None:
    """Each machine's promises are shown as its own hub judges them, with burn rates; one that is away is said to be."""
    page = open_page("/promises", signed_in=False)
    for machine in ("mainpc", "pc2"):
        row = page.locator("section", has=page.get_by_role("heading", name=machine)).locator('tr[data-promise^="99% health"]')
        expect(row).to_contain_text("kept", timeout=JUDGED_MS)
        expect(row).to_contain_text(ALMOST_ALL_LEFT)
    with silent(cottage, "pc2"):
        page.reload()
        expect(page.locator("section", has=page.get_by_role("heading", name="pc2"))).to_contain_text("does not answer")
        expect(page.locator('tr[data-promise^="99% health"]')).to_have_count(1)
