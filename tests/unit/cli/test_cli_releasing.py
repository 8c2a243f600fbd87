"""What `plan` and `apply` say of machines they do not reach."""

from __future__ import annotations

import pytest

from tandem.cli.releasing import others
from tandem.fleet import Surroundings, load_text
from tandem.fleet.places import Whereabouts

FLEET = """
fleet: two
package: p
machines: {mainpc: {}, pc2: {}}
groups:
  here: {machine: mainpc, agents: {A: }}
  there: {machine: pc2, agents: {B: }}
"""


@pytest.mark.parametrize(
    ("elsewhere", "told"),
    [("pc2", "tandem machine invite pc2, its command over there, then tandem apply there"), ("mainpc", "this, too: tandem apply there")],
)
def test_who_is_on_another_computer_is_named_with_the_way_to_bring_it_the_same(elsewhere: str, told: str) -> None:
    """The first computer of the fleet invites the other one for what is new; on the other one no invitation can be made."""
    here = {"mainpc": "pc2", "pc2": "mainpc"}[elsewhere]
    places = {here: Whereabouts("here", ""), elsewhere: Whereabouts("elsewhere", "far.lan")}
    fleet = load_text(FLEET, "f", Surroundings(environ={}, machines=places)).require()
    [note] = others(fleet)
    assert note.startswith(f"{elsewhere} is another computer and keeps what it runs") and note.endswith(told)


def test_machines_of_one_computer_need_no_word() -> None:
    """Where everything runs here, everything is changed here."""
    fleet = load_text(FLEET, "f", Surroundings(environ={}, machines={})).require()
    assert others(fleet) == []
