"""What a machine is made of, compared with what another one is made of."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from tandem.core import clock
from tandem.core.paths import Home
from tandem.fleet.model import HERE, AgentConfig, Fleet, InfraPorts, InvalidAgent, MachineConfig
from tandem.supervise.made_of import (
    FLEET,
    Composition,
    MadeOf,
    base_file,
    differences,
    digest_of,
    packages_of,
    release_file,
)
from tandem.supervise.release import Release, Target

FILES = {"house/a.py": "1", "house/b.py": "2", "tandem/x.py": "3", "single.py": "4"}


def fleet_of(*agents: AgentConfig, host_key: str = HERE, offset: int = 0) -> Fleet:
    infra = InfraPorts(nats=1 + offset, leaf=2, monitor=3, join=4)
    machine = MachineConfig(name="mainpc", host=None, host_key=host_key, infra=infra)
    return Fleet(
        name="f", file=f"/somewhere/{offset}.yaml", port_offset=offset, machines={"mainpc": machine},
        agents={str(agent.id): agent for agent in agents},
    )  # fmt: skip


COOK = AgentConfig(name="Cook", machine="mainpc", group="g", class_path="house.a:Cook", settings={"salt": {1: "a", "b": None}})


def test_packages_are_told_apart_by_their_python_files_only() -> None:
    """A changed, added or missing module changes its package's digest and no other's; data beside them changes none."""
    before = packages_of(FILES)
    assert before.keys() == {"house", "tandem", "single"}
    assert packages_of(FILES | {"house/picture.svg": "9", "house/.notes": "8"}) == before
    without = {name: digest for name, digest in FILES.items() if name != "house/b.py"}
    for changed in (FILES | {"house/a.py": "5"}, FILES | {"house/sub/c.py": "6"}, without):
        after = packages_of(changed)
        assert {name for name in before if after[name] != before[name]} == {"house"}


def test_a_fleet_file_is_the_same_wherever_it_is_read() -> None:
    """Addresses, ports and folders do not count; settings do; one with agents that cannot run here is not compared."""
    here = digest_of(fleet_of(COOK))
    elsewhere = replace(COOK, port=4711, cwd="/elsewhere", env={"HOME": "/root"})
    assert digest_of(fleet_of(elsewhere, host_key="10.0.0.1", offset=7)) == here
    assert digest_of(fleet_of(replace(COOK, settings={"salt": {1: "a", "b": 0}}))) != here
    assert digest_of(fleet_of(COOK, replace(COOK, name="Waiter"))) != here
    broken = replace(fleet_of(COOK), invalid={"Bad@mainpc": InvalidAgent(name="Bad", machine="mainpc", group="g")})
    assert digest_of(broken) == ""


def test_only_what_is_known_of_both_differs() -> None:
    """Packages one side does not have or know, and fleet files that cannot be compared, are no difference; names are none either."""
    one = MadeOf(release="1", code={"house": "a", "tandem": "b"}, fleet="c")
    assert differences(one, replace(one, release="2")) == []
    assert differences(one, MadeOf(code={"garden": "x"})) == []
    assert differences(one, MadeOf()) == []
    assert differences(one, MadeOf(code={"house": "x", "tandem": "y"}, fleet="z")) == ["house", "tandem", FLEET]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    made = Home(tmp_path)
    made.releases.mkdir(parents=True)
    return made


def keep(path: Path, files: dict[str, str], created: float) -> None:
    path.write_bytes(msgspec.json.encode({"name": "x", "created": created, "files": files, "more": {}}))


def test_a_machine_knows_what_it_came_up_with_and_what_was_rolled_out(home: Home) -> None:
    """The copy of this start counts and that of an earlier one does not; then the release; damage means not known."""
    current = Target(release=Release(), fleet=fleet_of(COOK))
    born = clock.monotonic() - 100.0
    machine = Composition(home, "mainpc", lambda: current, lambda: born)
    assert machine.now() == MadeOf(fleet=digest_of(current.fleet))
    base = base_file(home.releases, "mainpc")
    keep(base, FILES, clock.wall() - 5_000.0)
    assert machine.now().code == {}
    keep(base, FILES | {"house/a.py": "new"}, clock.wall() - 100.0)
    os.utime(base, (1, 1))
    assert machine.now().code == packages_of(FILES | {"house/a.py": "new"})
    current = Target(release=Release(name="147c"), fleet=fleet_of(replace(COOK, settings={})))
    assert machine.now() == MadeOf(release="147c", fleet=digest_of(current.fleet))
    rolled = release_file(home.releases, "147c")
    keep(rolled, FILES, 1.0)
    assert machine.now().code == packages_of(FILES)
    rolled.write_bytes(b"{")
    os.utime(rolled, (2, 2))
    assert machine.now().code == {}
