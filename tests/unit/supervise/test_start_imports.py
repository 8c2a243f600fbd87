"""What the first processes of a start import: everybody waits for them, and 77 agents inherit it."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from tandem.core.paths import Home
from tandem.fleet import load_text
from tandem.supervise.boot import NODE_MODULE, environment, zygote_of
from tandem.supervise.wire import Preload

FLEET = "fleet: f\nmachines:\n  m: {}\ngroups:\n  all:\n    agents:\n      A: {class: 'json:JSONDecoder'}\n"


def imported_by(*modules: str) -> set[str]:
    """Everything a fresh interpreter holds after it has imported ``modules``."""
    code = f"import sys\nfor name in {modules!r}: __import__(name)\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, check=True)
    return set(done.stdout.split())


def test_a_keeper_is_begun_before_codecs_and_paths_are_imported() -> None:
    """Beginning a keeper takes no msgspec: the command line does so first, and imports the rest beside it."""
    assert not {"msgspec", "tandem.core.paths", "tandem.supervise.wire"} & imported_by("tandem.supervise.prestart")


def test_agents_inherit_neither_the_node_nor_the_reading_of_fleet_files() -> None:
    """What the zygote imports of ours has no part of the supervisor or of the fleet file's reader in it."""
    modules = imported_by("tandem.supervise.zygote", "tandem.supervise.agent_main", "tandem.supervise.warm_up")
    assert not {"tandem.fleet", "tandem.supervise.node", "tandem.supervise.supervisor", NODE_MODULE} & modules


@pytest.mark.parametrize("bears_node", [True, False])
def test_the_node_is_borne_as_soon_as_what_it_shares_with_agents_is_there(tmp_path, bears_node: bool) -> None:
    """A zygote that bears the node imports a part of what agents need first; one that does not imports in one go."""
    fleet = load_text(FLEET, "fleet.yaml").fleet
    assert fleet is not None
    launch = zygote_of("m", fleet, environment(Home(tmp_path)), bears_node=bears_node)
    preload = msgspec.msgpack.decode(launch.payload, type=Preload)
    assert bool(preload.first) is bears_node
    assert set(preload.first) < set(preload.modules)
    assert NODE_MODULE not in (*preload.first, *preload.modules, *preload.optional)
