"""Where the time of a start went."""

from __future__ import annotations

from pathlib import Path

from tandem.cli.starts import blame, chain, start_ups
from tandem.fleet import Fleet, load
from tandem.supervise.api import AgentView, MachineStatus, ServiceView, Times

FLEET = """fleet: f
machines: {m: {}}
groups:
  g:
    agents:
      Base: {class: "a:B"}
      Fast: {class: "a:F", needs: [Base]}
      Slow: {class: "a:S", needs: [Fast]}
"""
BEGUN = 1_700_000_000.0


def agent(name: str, launched: float, ready: float | None, restarts: int = 0) -> AgentView:
    moments = Times(BEGUN + launched, None if ready is None else BEGUN + ready)
    return AgentView(name=name, machine="m", group="g", state="healthy", times=moments, restarts=restarts)


def status(*agents: AgentView) -> MachineStatus:
    server = ServiceView(name="nats", machine="m", state="healthy", times=Times(BEGUN, BEGUN + 0.2))
    return MachineStatus(
        machine="m", host=None, pid=1, keeper_pid=2, fleet="f", fleet_file="", services=[server],
        agents=list(agents), zygote=Times(BEGUN + 0.1, BEGUN + 0.5),
    )  # fmt: skip


def fleet(tmp_path: Path) -> Fleet:
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return load(path).require()


def test_the_chain_goes_back_over_what_was_ready_last(tmp_path: Path) -> None:
    """Each unit is behind the latest of its needs, and an agent without needs behind the servers and the zygote."""
    started = start_ups(status(agent("Base", 0.6, 1), agent("Fast", 1, 1.1), agent("Slow", 1.4, 4)), fleet(tmp_path))
    assert [start.name for start in chain(started)] == ["Slow", "Fast", "Base", "zygote"]
    assert [start.name for start in chain(started, "Base")] == ["Base", "zygote"]
    assert round(started["Slow"].waited_s, 6) == 0.3
    assert round(started["Slow"].took_s, 6) == 2.6


def test_blame_puts_the_slowest_first(tmp_path: Path) -> None:
    """By the time of a unit's own start, not by when it was ready."""
    started = start_ups(status(agent("Base", 0.6, 3.6), agent("Fast", 3.7, 3.8)), fleet(tmp_path))
    assert [start.name for start in blame(started.values())] == ["Base", "zygote", "nats", "Fast"]


def test_what_is_not_ready_is_left_out(tmp_path: Path) -> None:
    """A unit that still starts has no end yet."""
    assert "Base" not in start_ups(status(agent("Base", 0.6, None)), fleet(tmp_path))


def test_a_need_restarted_later_is_not_blamed(tmp_path: Path) -> None:
    """Who was up before its need's last start cannot have waited for that."""
    started = start_ups(status(agent("Base", 50, 51, restarts=1), agent("Fast", 1, 1.1)), fleet(tmp_path))
    assert [start.name for start in chain(started, "Fast")] == ["Fast"]


def test_without_the_fleet_file_servers_come_before_agents() -> None:
    """The file may be gone; what every agent needs is known without it."""
    started = start_ups(status(agent("Base", 0.6, 1)), None)
    assert [start.name for start in chain(started)] == ["Base", "zygote"]
