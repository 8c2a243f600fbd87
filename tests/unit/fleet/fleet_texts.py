"""Fleet files made for tests, and what is known of the classes they name."""

from __future__ import annotations

from textwrap import dedent

from msgspec import Struct

from tandem.fleet import LoadResult, Surroundings, load_text
from tandem.fleet.check import MissingClass


class BaseSettings(Struct):
    max_facts: int = 100
    topics: list[str] = []
    nested: dict[str, float] = {}


def schemas(class_path: str) -> type[Struct] | MissingClass | None:
    if class_path == "p.g.with_settings:WithSettings":
        return BaseSettings
    if class_path == "p.g.gone:Gone":
        return MissingClass("there is no module p.g.gone", 'Did you mean "done"?')
    return None


def load(text: str, **environ: str) -> LoadResult:
    return load_text(
        dedent(text).strip("\n") + "\n",
        "fleet.yaml",
        Surroundings(environ=environ, is_here=lambda host: host == "127.0.0.1", schemas=schemas),
    )


def agents(*lines: str, machines: str = "", extra: str = "") -> str:
    """A fleet of one group `g` with the given agent lines."""
    machine = f"machines: {machines}\n" if machines else ""
    return f"fleet: f\npackage: p\n{machine}{extra}groups:\n  g:\n    agents:\n" + "".join(
        f"      {line}\n" for line in lines
    )
