"""Each value of an agent, and where it came from: the entry, defaults, the environment, or nobody."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Struct

from tandem.core.errors import NotFound
from tandem.fleet.decode import Place
from tandem.fleet.diagnostics import Path, did_you_mean
from tandem.fleet.load import LoadResult
from tandem.fleet.model import AgentConfig

_LAYERS = ("", "group defaults", "machine defaults", "fleet defaults")
_OPENED = ("settings", "env", "side_ports", "limits", "restart")
"""Keys whose parts are explained one by one."""


_WHOLE = ("limits", "restart")
"""Of these the nearest entry counts as a whole; its missing parts are defaults."""


class Source(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a value came from.

    ``via`` is empty for the entry itself, else names the defaults that gave it, ``default`` when nothing was
    written, ``inferred``, or, for variables of a process, ``shell`` or ``Tandem``. ``variables`` are environment variables within it. ``line`` is 0 without a place.
    """

    file: str = ""
    line: int = 0
    column: int = 0
    variables: list[str] = []
    via: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}" if self.line else ""
        names = ", ".join(f"${name}" for name in self.variables)
        return ", ".join(part for part in (place, names, self.via) if part)


class Explained(Struct, frozen=True):
    """One key (``settings.max_facts``), its final value as plain data, and its source."""

    key: str
    value: Any
    source: Source


def explain(result: LoadResult, identity: str, key: str | None = None) -> list[Explained]:
    """Every value of the agent, or only ``key`` and what lies under it.

    Raises :class:`NotFound` for an unknown agent or key.
    """
    if result.draft is None:
        raise NotFound("the fleet file could not be read")
    agent = result.draft.agent(identity)
    rows = [
        row for field in agent.__struct_fields__ if field != "name" for row in _rows(field, agent, result)
    ]
    if key is None:
        return rows
    chosen = [row for row in rows if row.key == key or row.key.startswith(f"{key}.")]
    if not chosen:
        raise NotFound(f"{agent.id} has no {key}", hint=did_you_mean(key, (row.key for row in rows)) or None)
    return chosen


def _rows(field: str, agent: AgentConfig, result: LoadResult) -> list[Explained]:
    value = msgspec.to_builtins(getattr(agent, field))
    key = "class" if field == "class_path" else field
    if field in _OPENED and isinstance(value, dict) and value:
        return [
            Explained(f"{key}.{part}", inner, _source((key, part), agent, result))
            for part, inner in value.items()
        ]
    return [Explained(key, value, _source((key,), agent, result))]


def _source(key: Path, agent: AgentConfig, result: LoadResult) -> Source:
    path = result.paths[agent.id]
    if key in (("group",), ("machine",)):
        place = result.places.get(path[:2] if key == ("group",) else (*path[:2], "machine"))
        return _at(place, result) if place else Source(via="inferred")
    if key == ("port",) and result.draft and result.draft.shares_host(agent.machine):
        shared = result.places.get((*path, "shared_host_port"))
        if shared is not None:
            return _at(shared, result, "shared_host_port")
    machine: Path = ("machines", agent.machine)
    bases: tuple[Path, ...] = (path, (*path[:2], "defaults"), (*machine, "defaults"), ("defaults",))
    for base, via in zip(bases, _LAYERS, strict=True):
        place = result.places.get((*base, *key))
        whole = result.places.get((*base, *key[:1]))
        if place is not None:
            return _at(place, result, via)
        if whole is not None and key[0] in _WHOLE:
            return _at(whole, result, via) if key == ("restart", "when") else Source(via="default")
    return Source(via="inferred" if key == ("class",) else "default")


def _at(place: Place, result: LoadResult, via: str = "") -> Source:
    file = result.draft.file if result.draft else ""
    return Source(
        file=file,
        line=place.span.line,
        column=place.span.column,
        variables=list(place.variables),
        via=via,
    )
