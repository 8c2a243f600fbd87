"""The dependency graph as a picture."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

from tandem.fleet import load
from tandem.fleet.graph import graph_of
from tandem.fleet.graph_svg import svg

SVG = "{http://www.w3.org/2000/svg}"
FLEET = """
fleet: "a <b> & c"
machines: {m: {}, n: {}}
groups:
  one: {machine: m, agents: {Base: {class: "a:B"}, Top: {class: "a:T", needs: [Base], wants: [Far]}}}
  two: {machine: n, agents: {Far: {class: "a:F"}}}
"""


def drawn(tmp_path: Path, **options: bool) -> ET.Element:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    fleet = load(path).require()
    return ET.fromstring(svg(graph_of(fleet, **options), fleet))


def test_every_agent_and_every_need_is_drawn(tmp_path: Path) -> None:
    """One labelled box per agent, one arrow per need, and the title is the fleet's name, whatever is in it."""
    picture = drawn(tmp_path)
    labels = [text.text for box in picture.iter(f"{SVG}g") for text in box.iter(f"{SVG}text")]
    assert sorted(filter(None, labels)) == ["Base", "Far", "Top"]
    arrows = [path for path in picture.iter(f"{SVG}path") if path.get("marker-end")]
    assert len(arrows) == 1
    title = picture.find(f"{SVG}title")
    assert title is not None
    assert title.text == "a <b> & c: who needs whom"


def test_needs_stand_to_the_left_and_inside_the_picture(tmp_path: Path) -> None:
    """Levels are columns, and nothing is drawn outside of the picture's size."""
    picture = drawn(tmp_path)
    places = {}
    for box in picture.iter(f"{SVG}g"):
        rect, text = box.find(f"{SVG}rect"), box.find(f"{SVG}text")
        assert rect is not None
        assert text is not None
        places[text.text] = float(rect.get("x", "")), float(rect.get("y", "")), float(rect.get("width", ""))
    assert places["Base"][0] + places["Base"][2] < places["Top"][0]
    width, height = float(picture.get("width", "")), float(picture.get("height", ""))
    assert all(x >= 0 and x + wide <= width and 0 <= y < height for x, y, wide in places.values())


def test_wants_are_dashed(tmp_path: Path) -> None:
    """What is merely wanted is told apart."""
    dashed = [path for path in drawn(tmp_path, wants=True).iter(f"{SVG}path") if path.get("stroke-dasharray")]
    assert len(dashed) == 1
