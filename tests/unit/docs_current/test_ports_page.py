"""Generated pages of the documentation are what they would be generated as today."""

from __future__ import annotations

from pathlib import Path

from tandem.fleet import Surroundings, load
from tandem.fleet.ports_doc import render

ROOT = Path(__file__).parents[3]


def test_the_port_matrix_is_current() -> None:
    """docs/ports.md is what the fleet file renders to; run ``tandem ports --markdown > docs/ports.md``."""
    fleet = load(ROOT / "fleet.yaml", Surroundings(environ={})).require()
    assert (ROOT / "docs" / "ports.md").read_text() == render(fleet)
