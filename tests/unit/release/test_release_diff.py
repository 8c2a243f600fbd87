from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from tandem.core.errors import ConfigError, NotFound
from tandem.fleet.model import HERE, AgentConfig, Fleet, GroupConfig, InfraPorts, Limits, MachineConfig
from tandem.release.batches import batches
from tandem.release.diff import Room, compare, require_same_ground, way_of

PORTS = InfraPorts(nats=1, leaf=2, monitor=3, join=4)


def agent(name: str, **entry: Any) -> AgentConfig:
    told: dict[str, Any] = {"class_path": "mod:Class", "group": "g"} | entry
    return AgentConfig(name=name, machine="m", **told)


def fleet(*agents: AgentConfig) -> Fleet:
    machine = MachineConfig(name="m", host=None, host_key=HERE, infra=PORTS)
    return Fleet(name="f", machines={"m": machine}, agents={str(a.id): a for a in agents})


@pytest.mark.parametrize(
    ("old", "new", "room", "how", "word"),
    [
        ({}, {"settings": {"a": 1}}, Room(), "surge", "stands by"),
        ({"update": "handover"}, {"update": "handover"}, Room(), "handover", "single"),
        ({"update": "stop-first"}, {"update": "stop-first"}, Room(), "stop-first", "says so"),
        ({}, {"update": "handover"}, Room(), "stop-first", "becomes or ceases"),
        ({"update": "handover"}, {}, Room(), "stop-first", "becomes or ceases"),
        ({"port": 1}, {"port": 2}, Room(), "stop-first", "address"),
        ({}, {"class_path": None, "command": ["x"]}, Room(), "stop-first", "program"),
        ({}, {"vram_mb": 500}, Room(gpu_mb=400), "stop-first", "400 are left"),
        ({}, {"vram_mb": 500}, Room(gpu_mb=600), "surge", "twice"),
        ({}, {"limits": Limits(memory_mb=500)}, Room(memory_mb=400), "stop-first", "400 are free"),
        ({}, {"limits": Limits(memory_mb=500)}, Room(memory_mb=600), "surge", "twice"),
    ],
)
def test_the_way_of_an_agent(old: dict[str, Any], new: dict[str, Any], room: Room, how: str, word: str) -> None:
    """Two instances are put beside each other only where address, memory and the agent's own nature allow it."""
    found, why = way_of(agent("A", **old), agent("A", **new), room)
    assert found == how and word in why


def test_kinds_of_changes() -> None:
    """Added agents start, removed ones stop, quiet keys move no process, changed code does, equal ones are not named."""
    old = fleet(agent("Gone"), agent("Same"), agent("Quiet"), agent("Coded"))
    new = fleet(agent("Same"), agent("Quiet", stop_grace_s=3.0), agent("Coded"), agent("New"))
    found = {c.agent: c for c in compare(old, new, "m", {"Coded@m": ["mod.py"]})}
    assert {name: c.how for name, c in found.items()} == {
        "Quiet@m": "adopt", "Coded@m": "surge", "New@m": "start", "Gone@m": "stop",
    }  # fmt: skip
    assert found["Quiet@m"].reasons == ["stop_grace_s: 10.0 -> 3.0"] and found["Coded@m"].reasons == ["mod.py"]


def test_who_a_group_or_a_name_means_counts_as_a_change() -> None:
    """An agent whose `allow:` names a group is replaced when the group gains or loses somebody, for its process holds the names;
    others are not."""

    def with_group(*members: str) -> Fleet:
        agents = [agent("Shy", allow=["@friends"]), agent("Open"), *(agent(name, group="friends") for name in members)]
        group = GroupConfig(name="friends", machine="m", agents=[f"{name}@m" for name in members])
        return replace(fleet(*agents), groups={"friends": group})

    found = {c.agent: c for c in compare(with_group("A"), with_group("A", "B"), "m", {})}
    assert {name: c.how for name, c in found.items()} == {"Shy@m": "surge", "B@m": "start"}
    assert found["Shy@m"].reasons == ['allow: ["A@m"] -> ["A@m","B@m"]']
    assert [c.agent for c in compare(with_group("A", "B"), with_group("A"), "m", {})] == ["Shy@m", "B@m"]
    assert compare(with_group("A"), with_group("A"), "m", {}) == []


def test_servers_do_not_move_in_a_rollout() -> None:
    """A change of the machine's own ports is refused with the way to make it."""
    old = fleet(agent("A"))
    moved = replace(old.machines["m"], infra=replace(PORTS, nats=9))
    with pytest.raises(ConfigError, match="infra of machine m"):
        require_same_ground(old, replace(old, machines={"m": moved}), "m")
    with pytest.raises(ConfigError, match="not in both"):
        require_same_ground(old, old, "other")


def chain() -> tuple[Fleet, Fleet]:
    names = "ABCDEFGH"
    old = fleet(*(agent(n) for n in names), agent("Gone"))
    new = fleet(
        *(
            agent(n, group="gh"[i % 2], needs=[f"{names[i + 1]}@m"] if i + 1 < len(names) else [], settings={"x": 1})
            for i, n in enumerate(names)
        )
    )
    return old, new


def test_batches_follow_needs() -> None:
    """A quarter at once by default, what is needed first, and what is taken away at the very end."""
    old, new = chain()
    found = batches(compare(old, new, "m", {}), new, "rolling")
    assert [[step.agent for step in batch] for batch in found] == [
        ["H", "G"], ["F", "E"], ["D", "C"], ["B", "A"], ["Gone"],
    ]  # fmt: skip
    assert [len(batch) for batch in batches(compare(old, new, "m", {}), new, "rolling", 5)] == [5, 3, 1]


def test_canaries_come_first() -> None:
    """The named ones, else one that can serve beside its predecessor; a canary that does not change is refused."""
    old, new = chain()
    changes = compare(old, new, "m", {})
    assert [s.agent for s in batches(changes, new, "canary", canaries=["A", "B@m"])[0]] == ["B", "A"]
    assert [s.agent for s in batches(changes, new, "canary")[0]] == ["H"]
    with pytest.raises(NotFound, match="does not change"):
        batches(changes, new, "canary", canaries=["Z"])


def test_blue_green_goes_by_group() -> None:
    """One batch per group."""
    old, new = chain()
    found = batches(compare(old, new, "m", {}), new, "blue-green")
    assert [{step.agent for step in batch} for batch in found] == [set("BDFH"), set("ACEG"), {"Gone"}]
