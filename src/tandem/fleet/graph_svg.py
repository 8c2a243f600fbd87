"""The dependency graph as an SVG picture of its own: no program and no font besides the viewer's is needed. Pure.

Levels are columns from left to right, so every need points to the left. Within a column agents stand near what they
are connected to (the barycentre rule of Sugiyama, Tagawa and Toda, 1981).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from msgspec import Struct

from tandem.core.ids import AgentId
from tandem.fleet.graph import Edge, Graph
from tandem.fleet.model import Fleet

BOX_HEIGHT, ROW_GAP, COLUMN_GAP, MARGIN = 26, 10, 90, 24
CHARACTER = 7.2
"""Width of one character of the 12 px font, generously."""
SWEEPS = 4
"""Passes of the barycentre rule; more change hardly anything."""
HUE_STEP = 137.508
"""Degrees, the golden angle: however many groups there are, neighbours differ."""
LEGEND_LINE, LEGEND_WIDTH, LEGEND_COLUMNS = 20, 240, 4


class Box(Struct, frozen=True):
    """Where an agent stands; ``x`` and ``y`` are its upper left corner, in pixels."""

    x: float
    y: float
    width: float


def svg(graph: Graph, fleet: Fleet) -> str:
    """The whole picture."""
    columns = _ordered([*graph.levels, *([graph.unreachable] if graph.unreachable else [])], graph.edges)
    groups = {name: group.name for group in fleet.groups.values() for name in group.agents}
    shown = list(dict.fromkeys(groups[name] for column in columns for name in column))
    hues = {group: at * HUE_STEP % 360 for at, group in enumerate(shown)}
    boxes, width, height = _placed(columns, top=MARGIN + LEGEND_LINE * -(-len(shown) // LEGEND_COLUMNS) + MARGIN / 2)
    several = len({AgentId(name).machine for name in boxes}) > 1
    body = [
        *(_arrow(edge, boxes) for edge in graph.edges),
        *(_box(name, box, hues[groups[name]], several) for name, box in boxes.items()),
        *_legend(hues),
    ]
    width = max(width, MARGIN * 2 + LEGEND_WIDTH * min(LEGEND_COLUMNS, len(shown)))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
            f'height="{height:.0f}" font-family="ui-monospace, Menlo, Consolas, monospace" font-size="12">',
            f"<title>{escape(fleet.name)}: who needs whom</title>",
            '<defs><marker id="head" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path d="M0 0L8 4L0 8z" fill="#667"/></marker></defs>',
            '<rect width="100%" height="100%" fill="#fff"/>',
            *body,
            "</svg>",
        ]
    )


def _ordered(levels: Sequence[Sequence[str]], edges: Sequence[Edge]) -> list[list[str]]:
    """The columns, each with its members next to those they are tied to."""
    near: dict[str, list[str]] = {}
    for edge in edges:
        near.setdefault(edge.source, []).append(edge.target)
        near.setdefault(edge.target, []).append(edge.source)
    columns = [list(level) for level in levels]
    for sweep in range(SWEEPS):
        for column in columns if sweep % 2 == 0 else reversed(columns):
            middle = {name: at / max(1, len(other) - 1) for other in columns for at, name in enumerate(other)}
            column.sort(key=lambda name: _mean([middle[n] for n in near.get(name, ())], middle[name]))
    return columns


def _mean(values: Sequence[float], otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _placed(columns: Sequence[Sequence[str]], top: float) -> tuple[dict[str, Box], float, float]:
    """Boxes by name, and the size of the picture; every column is centred."""
    tallest = max((len(column) for column in columns), default=0) * (BOX_HEIGHT + ROW_GAP)
    boxes: dict[str, Box] = {}
    x = float(MARGIN)
    for column in columns:
        width = max((len(AgentId(name).name) for name in column), default=0) * CHARACTER + 20
        y = top + (tallest - len(column) * (BOX_HEIGHT + ROW_GAP)) / 2
        for name in column:
            boxes[name] = Box(x, y, width)
            y += BOX_HEIGHT + ROW_GAP
        x += width + COLUMN_GAP
    return boxes, x - COLUMN_GAP + MARGIN, top + tallest + MARGIN


def _box(name: str, box: Box, hue: float, several: bool) -> str:
    """``several`` machines: those of all but one are told by their tooltip; agents carry short names."""
    title = name if several else AgentId(name).name
    return (
        f'<g><title>{escape(title)}</title><rect x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{BOX_HEIGHT}" rx="6" fill="hsl({hue:.0f} 70% 92%)" stroke="hsl({hue:.0f} 45% 45%)"/>'
        f'<text x="{box.x + 10:.1f}" y="{box.y + 17:.1f}">{escape(AgentId(name).name)}</text></g>'
    )


def _arrow(edge: Edge, boxes: Mapping[str, Box]) -> str:
    """From who needs to what is needed."""
    source, target = boxes[edge.source], boxes[edge.target]
    x1, y1 = source.x, source.y + BOX_HEIGHT / 2
    x2, y2 = target.x + target.width, target.y + BOX_HEIGHT / 2
    bend = max(40.0, abs(x1 - x2) / 2)
    dashed = ' stroke-dasharray="4 4"' if edge.kind == "wants" else ""
    return (
        f'<path d="M{x1:.1f} {y1:.1f}C{x1 - bend:.1f} {y1:.1f} {x2 + bend:.1f} {y2:.1f} {x2:.1f} {y2:.1f}" fill="none" '
        f'stroke="#667" stroke-opacity="0.55" marker-end="url(#head)"{dashed}/>'
    )


def _legend(hues: Mapping[str, float]) -> list[str]:
    lines = []
    for at, (group, hue) in enumerate(hues.items()):
        x, y = MARGIN + at % LEGEND_COLUMNS * LEGEND_WIDTH, MARGIN + at // LEGEND_COLUMNS * LEGEND_LINE
        lines.append(
            f'<rect x="{x}" y="{y - 10}" width="12" height="12" rx="3" fill="hsl({hue:.0f} 70% 92%)" '
            f'stroke="hsl({hue:.0f} 45% 45%)"/><text x="{x + 18}" y="{y}">{escape(group)}</text>'
        )
    return lines
