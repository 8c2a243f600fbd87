"""The whole environment of an agent's process, and where each variable came from."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from tandem.core.errors import NotFound
from tandem.core.paths import Home
from tandem.fleet.diagnostics import did_you_mean
from tandem.fleet.explain import Explained, Source, explain
from tandem.fleet.load import LoadResult
from tandem.fleet.model import AgentConfig
from tandem.supervise.boot import environment, fleet_directory, given, hidden_in
from tandem.supervise.launches import told

KEY = "env"


def is_about_environment(key: str | None) -> bool:
    """Whether ``key`` asks for it, or for one variable of it (``env.PATH``)."""
    return key is not None and (key == KEY or key.startswith(f"{KEY}."))


def explain_environment(result: LoadResult, identity: str, key: str = KEY) -> list[Explained]:
    """Each variable as ``env.NAME``: those of the fleet file, Tandem's own, and those of the shell we run in.

    A running fleet has the shell of its ``tandem up``. Raises :class:`NotFound` for an unknown agent or variable.
    """
    written = [row for row in explain(result, identity, KEY) if row.key != KEY]
    assert result.draft is not None
    rows = {row.key: row for row in _begun_with(result, result.draft.agent(identity))} | {row.key: row for row in written}
    chosen = [rows[name] for name in sorted(rows) if key in (KEY, name)]
    if not chosen:
        raise NotFound(f"{identity} has no {key}", hint=did_you_mean(key, rows) or None)
    return chosen


def _begun_with(result: LoadResult, agent: AgentConfig) -> Iterator[Explained]:
    home = Home.from_environment()
    fleet = result.fleet
    hidden = hidden_in(fleet) if fleet is not None else {}
    ours = given(home)
    if agent.command is not None:
        ours |= told(agent)
    elif agent.launch == "exec" and fleet is not None:
        ours["PYTHONPATH"] = os.pathsep.join(filter(None, [str(fleet_directory(fleet)), os.environ.get("PYTHONPATH")]))
    shell = environment(home, hidden)
    yield from _rows(((name, value) for name, value in shell.items() if name not in ours), "shell")
    yield from _rows(ours.items(), "Tandem")


def _rows(variables: Iterable[tuple[str, str]], via: str) -> Iterator[Explained]:
    return (Explained(f"{KEY}.{name}", value, Source(via=via)) for name, value in variables)
