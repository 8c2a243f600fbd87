"""Households for end-to-end tests: real command line, real processes, real ports, and nothing left afterwards."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from household import FLEET_AGENTS, REAL_FLEET, Household, MakeHousehold, port_offset

from tandem_agents.engines.models import Store, builtin_catalogue


@contextlib.contextmanager
def _households(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeHousehold]:
    made: list[Household] = []
    with ExitStack() as stack:

        def make(fleet: str | Path = REAL_FLEET, offset: int | None = None, **environment: str) -> Household:
            directory = tmp_path_factory.mktemp("household")
            path = fleet if isinstance(fleet, Path) else directory / "fleet.yaml"
            if isinstance(fleet, str):
                path.write_text(fleet)
                (directory / "fleet_agents").symlink_to(FLEET_AGENTS)
            chosen = stack.enter_context(port_offset()) if offset is None else offset
            made.append(Household(directory, path, chosen, environment))
            return made[-1]

        try:
            yield make
        finally:
            # All of them first: two may share ports on purpose.
            left = [process for household in reversed(made) for process in household.clean_up()]
        assert left == [], f"tandem down left processes: {left}"
        for household in made:
            household.assert_nothing_left()


@pytest.fixture
def make_household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeHousehold]:
    """``make_household(fleet text or path, **environment)``: each with a home and ports of its own; ended with the test."""
    with _households(tmp_path_factory) as make:
        yield make


@pytest.fixture(scope="module")
def make_shared_household(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeHousehold]:
    """The same for a whole module."""
    with _households(tmp_path_factory) as make:
        yield make


@pytest.fixture(scope="session")
def default_models() -> None:
    """Skip where the models of the default fleet have not been fetched."""
    store = Store.from_environment()
    missing = [model.id for model in builtin_catalogue().defaults() if not store.has(model)]
    if missing:
        pytest.skip(f"no models {', '.join(missing)} in {store.root}; run `tandem models fetch --default`")
