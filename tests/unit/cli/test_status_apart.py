"""What `tandem status` says of machines that are made of different things."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from tandem.cli.status import apart
from tandem.fleet.model import HERE, Fleet, InfraPorts, MachineConfig
from tandem.supervise.api import LinkView, MachineStatus
from tandem.supervise.made_of import MadeOf

OLD = MadeOf(code={"house": "1", "tandem": "1"}, fleet="1")
NEW = MadeOf(release="147c72606ea1", code={"house": "2", "tandem": "1"}, fleet="1")


def fleet(*elsewhere: str) -> Fleet:
    infra = InfraPorts(nats=1, leaf=2, monitor=3, join=4)
    names = ("mainpc", "pc2", "attic")
    machines = [
        MachineConfig(name=name, host=f"{name}.local", host_key=name if name in elsewhere else HERE, infra=infra) for name in names
    ]
    return Fleet(name="f", machines={machine.name: machine for machine in machines})


def status(machine: str, made: MadeOf, **linked: MadeOf | None) -> MachineStatus:
    links = [LinkView(machine=name, state="up" if known else "cut", since_s=1.0, made=known) for name, known in linked.items()]
    return MachineStatus(
        machine=machine, host=None, pid=1, keeper_pid=2, fleet="f", fleet_file="", services=[], agents=[], links=links, made=made
    )  # fmt: skip


def test_another_computer_that_runs_something_else_is_named_with_the_way() -> None:
    """On the computer that founded the fleet and on the one that joined, the line names both releases, what differs, and the
    commands as they are typed there."""
    [line] = apart([status("mainpc", NEW, pc2=OLD)], fleet("pc2"))
    assert line == (
        "mainpc (release 147c72606ea1) and pc2 (release dev) differ in house; to bring pc2 the same: "
        "tandem machine invite pc2, its command over there, then tandem apply there"
    )
    [line] = apart([status("pc2", OLD, mainpc=NEW)], fleet("mainpc", "attic"))
    assert line == (
        "pc2 (release dev) and mainpc (release 147c72606ea1) differ in house; to bring pc2 the same: "
        "tandem machine invite pc2 on mainpc, its command here, then tandem apply"
    )
    [line] = apart([status("pc2", OLD, mainpc=OLD, attic=replace(OLD, fleet="2"))], fleet("mainpc", "attic"))
    assert line.endswith(
        "differ in the fleet file; to bring attic the same: "
        "tandem machine invite attic on mainpc, its command over there, then tandem apply there"
    )


def test_machines_of_one_computer_are_brought_together_by_apply() -> None:
    """Both are here: nobody has to be invited; each is named once though their links tell of them, too."""
    [line] = apart([status("mainpc", NEW, pc2=OLD), status("pc2", OLD, mainpc=NEW)], fleet())
    assert line.endswith("both become what the fleet file and the code are now: tandem plan, then tandem apply")


@pytest.mark.parametrize(
    "found",
    [
        [],
        [status("mainpc", NEW)],
        [status("mainpc", NEW, pc2=None)],
        [status("mainpc", NEW, pc2=replace(NEW, release="another name"))],
        [status("mainpc", NEW, pc2=MadeOf(release="dev"))],
        [replace(status("mainpc", NEW), busy="a rollout is under way"), status("pc2", OLD)],
    ],
    ids=["nothing runs", "alone", "cut off", "the same under another name", "not known", "being rolled out"],
)
def test_nothing_is_said_where_nothing_is_known_to_differ(found: list[MachineStatus]) -> None:
    """Machines that agree, cannot be asked, do not know, or are just being changed make no line."""
    assert apart(found, fleet("pc2")) == []
    assert apart(found, None) == []
