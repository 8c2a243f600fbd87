"""What is wrong with a fleet file is said at once, with its place; agents that are right still run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from fleets import FRIEND, GREETER, PAIR, fleet_of
from household import MakeHousehold

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

EX_CONFIG = 78

ONE_BAD_AGENT = {
    "unknown key": ("{class: fleet_agents.greeter:Greeter, prot: 5711}", 'unknown key "prot"', '"port"'),
    "wrong type": ("{class: fleet_agents.greeter:Greeter, port: many}", "port", "many"),
    "port out of bounds": ("{class: fleet_agents.greeter:Greeter, port: 70000}", "port", "70000"),
    "typo in a name": ("{class: fleet_agents.greeter:Greeter, needs: [Greter]}", '"Greter"', '"Greeter"'),
    "port used twice": (
        "{class: fleet_agents.greeter:Greeter, port: 5709}",
        "port 5709 is taken by",
        "Greeter",
    ),
}
WHOLE_FILE = {
    "not YAML": ("fleet: small\ngroups: {a: [\n", "line"),
    "unknown key on top": (f"fleets: x\n{PAIR}", 'unknown key "fleets"'),
    "no agents": ("fleet: small\n", "groups"),
    "a list": ("- fleet\n- small\n", ""),
    "binary": ("fleet: \x00\x01\x02\n", ""),
}


@pytest.mark.parametrize("fault", ONE_BAD_AGENT)
def test_one_bad_agent(make_household: MakeHousehold, fault: str) -> None:
    """A wrong entry is shown with its line and a caret and makes that agent invalid; the others start, with status 1."""
    entry, *words = ONE_BAD_AGENT[fault]
    household = make_household(fleet_of(f"{GREETER}\n{FRIEND}\nBad: {entry}"))
    said = household.tandem("up")
    assert said.status == 1
    for word in (*words, "fleet.yaml line 7", "^^"):
        assert word.replace("5709", str(5709 + household.offset)) in said.err, said.err
    states = {agent["name"]: agent["state"] for agent in household.status()["agents"]}
    assert states == {"Greeter": "healthy", "Friend": "healthy", "Bad": "invalid"}


@pytest.mark.parametrize("fault", ["one bad agent, strict", *WHOLE_FILE])
def test_unusable_file(make_household: MakeHousehold, fault: str) -> None:
    """A file that is wrong as a whole, or in one place with ``--strict``, starts nothing; the status is 78."""
    text, word = WHOLE_FILE.get(fault, (fleet_of(f"{GREETER}\nBad: {{prot: 1}}"), "prot"))
    household = make_household(text)
    said = household.tandem("up", *(["--strict"] if "strict" in fault else []))
    assert said.status == EX_CONFIG, said.text
    assert "fleet.yaml" in said.err
    assert word in said.err
    household.assert_nothing_left()


def test_cycle(make_household: MakeHousehold) -> None:
    """Agents that need each other are named as a cycle; who is not part of it runs."""
    household = make_household(
        fleet_of(
            f"{GREETER}\n"
            "A: {class: fleet_agents.greeter:Greeter, needs: [B]}\n"
            "B: {class: fleet_agents.greeter:Greeter, needs: [C]}\n"
            "C: {class: fleet_agents.greeter:Greeter, needs: [A]}"
        )
    )
    said = household.tandem("up")
    assert said.status in (1, EX_CONFIG)
    assert "A@local → B@local → C@local → A@local" in said.err or "A → B → C → A" in said.err, said.err
    if said.status == 1:
        assert household.agent("Greeter")["state"] == "healthy"


def test_missing_class(make_household: MakeHousehold) -> None:
    """A class or module that does not exist fails its agent at once, without retries; ``config validate`` shows the line."""
    household = make_household(
        fleet_of(
            f"{GREETER}\nNoClass: {{class: fleet_agents.greeter:Greeeter}}\nNoModule: {{class: fleet_agents.nothing:X}}"
        )
    )
    said = household.tandem("up")
    assert said.status == 1
    assert "module 'fleet_agents.greeter' has no class 'Greeeter'" in said.err
    assert "there is no module 'fleet_agents.nothing'" in said.err
    states = {agent["name"]: (agent["state"], agent["restarts"]) for agent in household.status()["agents"]}
    assert states == {"Greeter": ("healthy", 0), "NoClass": ("failed", 0), "NoModule": ("failed", 0)}
    judged = household.tandem("config", "validate")
    assert judged.status == EX_CONFIG
    assert 'Did you mean "Greeter"?' in judged.err
    assert "2 errors." in judged.err


def test_wrong_settings(make_household: MakeHousehold) -> None:
    """A setting the class does not declare fails its agent with the setting's name, and ``validate`` shows the line."""
    household = make_household(
        fleet_of(f"{GREETER}\nBad: {{class: fleet_agents.greeter:Greeter, settings: {{wort: 3}}}}")
    )
    said = household.tandem("up")
    assert said.status == 1
    assert "`wort`" in said.err
    assert household.agent("Greeter")["state"] == "healthy"
    judged = household.tandem("config", "validate")
    assert 'unknown key "wort"' in judged.err
    assert "fleet.yaml line 6" in judged.err
    assert 'Did you mean "word"?' in judged.err


def test_mended_file(make_household: MakeHousehold) -> None:
    """After the file is mended, ``up`` starts what was invalid or failed, and leaves the rest alone."""
    bad = f"{GREETER}\nTypo: {{class: fleet_agents.greeter:Greeeter}}\nInvalid: {{prot: 1}}"
    household = make_household(fleet_of(bad))
    assert household.tandem("up").status == 1
    pid = household.agent("Greeter")["pid"]
    good = f"{GREETER}\nTypo: {{class: fleet_agents.greeter:Friend}}\nInvalid: {{class: fleet_agents.greeter:Friend}}"
    household.fleet.write_text(fleet_of(good))
    household.up()
    states = {agent["name"]: agent["state"] for agent in household.status()["agents"]}
    assert states == {"Greeter": "healthy", "Typo": "healthy", "Invalid": "healthy"}
    assert household.agent("Greeter")["pid"] == pid


@pytest.mark.parametrize("what", ["missing", "directory", "unreadable", "not UTF-8", "dangling link"])
def test_unreadable_file(make_household: MakeHousehold, what: str) -> None:
    """A fleet file that cannot be read is named with the reason."""
    household = make_household(PAIR)
    make_unreadable(household.fleet, what)
    said = household.tandem("up")
    assert said.status in (1, EX_CONFIG), said.text
    assert str(household.fleet.name) in said.err
    assert said.err.startswith("Error: ")
    household.assert_nothing_left()


def make_unreadable(path: Path, what: str) -> None:
    if what == "unreadable":
        if os.geteuid() == 0:
            pytest.skip("root may read every file")
        path.chmod(0)
        return
    path.unlink()
    if what == "directory":
        path.mkdir()
    elif what == "not UTF-8":
        path.write_bytes(b"fleet: \xff\xfe\xfa\n")
    elif what == "dangling link":
        path.symlink_to("nowhere.yaml")
