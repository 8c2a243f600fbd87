"""What the steps of resolving share: the fleet so far, where everything was written, and the report."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field

from tandem.fleet.decode import Place
from tandem.fleet.diagnostics import Path, Report, Span
from tandem.fleet.model import Fleet
from tandem.fleet.places import Places


class Draft(Struct):
    """A fleet before its names are judged.

    ``paths`` says where each agent stands in the document, ``needs`` where an agent says that it needs another.
    """

    fleet: Fleet
    paths: dict[str, Path] = field(default_factory=dict)
    needs: dict[tuple[str, str], Path] = field(default_factory=dict)
    auto_ports: list[str] = field(default_factory=list)


class Context(Struct):
    """What resolving needs besides the document."""

    report: Report
    places: dict[Path, Place]
    offset: int
    is_here: Callable[[str], bool]
    machines: Places = {}
    """Where joining has put machines."""

    def span(self, *path: str | int) -> Span | None:
        """Place of the value at ``path``, else of the nearest thing around it that was written."""
        while path:
            if path in self.places:
                return self.places[path].span
            path = path[:-1]
        return None

    def key_span(self, *path: str | int) -> Span | None:
        place = self.places.get(path)
        return (place.key_span or place.span) if place else self.span(*path)

    def moved(self, base: int, path: Path) -> int | None:
        """``base`` moved by PORT_OFFSET, or None after reporting that no such port exists."""
        if base + self.offset <= 65535:
            return base + self.offset
        message = f"port {base} moved by PORT_OFFSET {self.offset} is {base + self.offset}, above 65535"
        self.report.error("port-range", message, self.span(*path), path=path)
        return None
