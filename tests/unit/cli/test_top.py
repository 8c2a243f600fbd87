"""The screen of `tandem top`, driven by textual's pilot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace
from textual.widgets import DataTable, Input, Label, RichLog, Static

from tandem.cli import top_data
from tandem.cli.top_data import FleetSource, requests
from tandem.cli.top_elsewhere import FarTail, agent_rows, machine_row
from tandem.cli.top_model import AgentRow, MachineRow, Picture
from tandem.cli.top_screen import Help, Logs, Question, Top, age, rows
from tandem.core.errors import Unavailable, Unreachable
from tandem.core.paths import Home
from tandem.errors.desk import IncidentView
from tandem.errors.incident import State
from tandem.errors.severity import Severity
from tandem.hub.contract import HUB
from tandem.hub.picture import AgentPicture, Figures, FleetPicture, MachinePicture, ServicePicture
from tandem.supervise.api import AgentView, LinkView, MachineStatus, Usage, Verb
from tandem.supervise.log_reader import Line

PATIENCE_S = 60.0


def agent(name: str, group: str = "g", **more: object) -> AgentRow:
    settings: dict[str, object] = {"state": "healthy", "verdict": "up", "restarts": 0, **more}
    return AgentRow(id=f"{name}@m", name=name, machine="m", group=group, **settings)  # type: ignore[arg-type]


class Tail(Struct):
    lines: list[str]

    closed: bool = False

    async def read(self) -> list[Line]:
        found, self.lines = self.lines, []
        return [Line("", "INFO", text) for text in found]

    async def close(self) -> None:
        self.closed = True


class FakeSource:
    def __init__(self, *agents: AgentRow):
        self.agents = list(agents)
        self.orders: list[tuple[str, str]] = []
        self.incidents: list[IncidentView] = []
        self.tail = Tail(["first line"])

    async def look(self) -> Picture:
        machine = MachineRow(name="m", up_s=61, servers={"nats": "healthy"}, cpu_fraction=0.1, memory_bytes=1 << 20)
        return Picture([machine], list(self.agents), self.incidents)

    async def order(self, verb: Verb, agent: str) -> str:
        self.orders.append((verb, agent))
        return f"{agent}: done"

    def logs(self, agent: str, count: int) -> Tail:
        return self.tail


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - the screen tells nobody when it has drawn
            await asyncio.sleep(0.01)


def keys(app: Top) -> list[str | None]:
    return [key.value for key in app.screen_stack[0].query_one(DataTable).rows]


async def test_it_shows_groups_agents_and_incidents() -> None:
    """A line per group with its agents below it, the machine above, the latest incident below."""
    source = FakeSource(agent("A"), agent("B", "h", state="failed", verdict="trouble"))
    source.incidents = [
        IncidentView(
            id="i", key="k", state=State.OPEN, severity=Severity.ERROR, title="B lost its disk", first=1, last=2, count=7,
            suppressed=0, agents=["B@m"], until=None, by="", note="", escalated="",
        )
    ]  # fmt: skip
    app = Top(source, 60.0)
    async with app.run_test():
        await until(lambda: keys(app) == ["m/g", "A@m", "m/h", "B@m"])
        assert "nats healthy" in str(app.query_one("#machines", Static).render())
        assert "7x  B lost its disk" in str(app.query_one("#incidents", Static).render())


async def test_orders_go_to_the_chosen_agent_and_stopping_is_asked_first() -> None:
    """`s` starts at once; `x` asks, and does nothing when the answer is no."""
    source = FakeSource(agent("A"), agent("B"))
    app = Top(source, 60.0)
    async with app.run_test() as pilot:
        await until(lambda: bool(keys(app)))
        await pilot.press("down", "s")
        await until(lambda: source.orders == [("start", "A@m")])
        await pilot.press("down", "x")
        await until(lambda: isinstance(app.screen, Question))
        await pilot.press("n")
        await until(lambda: not isinstance(app.screen, Question))
        assert source.orders == [("start", "A@m")]
        await pilot.press("x")
        await until(lambda: isinstance(app.screen, Question))
        await pilot.press("y")
        await until(lambda: source.orders[1:] == [("stop", "B@m")])


async def test_a_group_takes_no_order() -> None:
    """Its line is no agent; a careless key there stops nothing."""
    source = FakeSource(agent("A"))
    app = Top(source, 60.0)
    async with app.run_test() as pilot:
        await until(lambda: bool(keys(app)))
        await pilot.press("x", "r", "s", "l")
        await pilot.pause()
        assert not isinstance(app.screen, Question | Logs)
        assert source.orders == []


async def test_logs_open_follow_and_close() -> None:
    """Enter shows the agent's lines and what it writes from then on; Escape leads back."""
    source = FakeSource(agent("A"))
    app = Top(source, 60.0)
    async with app.run_test() as pilot:
        await until(lambda: bool(keys(app)))
        await pilot.press("down", "enter")
        await until(lambda: isinstance(app.screen, Logs) and len(app.screen.query_one(RichLog).lines) == 1)
        source.tail.lines = ["second line"]
        await until(lambda: len(app.screen.query_one(RichLog).lines) == 2)
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, Logs))
        await until(lambda: source.tail.closed)


async def test_the_cursor_stays_on_its_agent_when_rows_move() -> None:
    """A look that finds more agents must not put the cursor on another one: the next key might stop it."""
    source = FakeSource(agent("B"))
    app = Top(source, 0.05)
    async with app.run_test() as pilot:
        await until(lambda: bool(keys(app)))
        await pilot.press("down")
        source.agents = [agent("A"), agent("B")]
        await until(lambda: "A@m" in keys(app))
        assert app._chosen() == "B@m"


async def test_the_filter_narrows_and_escape_shows_all_again() -> None:
    """Words are sought in name, group, machine and state."""
    app = Top(FakeSource(agent("A"), agent("B", state="failed", verdict="trouble")), 60.0)
    async with app.run_test() as pilot:
        await until(lambda: bool(keys(app)))
        await pilot.press("slash")
        app.query_one("#filter", Input).value = "failed"
        await until(lambda: keys(app) == ["m/g", "B@m"])
        await pilot.press("escape")
        await until(lambda: keys(app) == ["m/g", "A@m", "B@m"])


async def test_help_names_every_key_on_a_small_terminal() -> None:
    """`?` shows all keys within 80 by 24 characters, and Escape leads back."""
    app = Top(FakeSource(agent("A")), 60.0)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: bool(keys(app)))
        shown = {binding.binding.key for binding in app.screen.active_bindings.values() if binding.binding.show}
        assert {"s", "x", "r", "l", "o", "slash", "question_mark", "q"} <= shown
        await pilot.press("question_mark")
        await until(lambda: isinstance(app.screen, Help))
        label = app.screen.query_one(Label)
        await until(lambda: label.region.height > 0)
        assert label.region.width <= 80 and label.region.height <= 24 and label.region.y >= 0
        told = str(label.render())
        assert all(word in told for word in ("start, stop, restart", "its log", "sort", "leave", "healthy", "failed"))
        await pilot.press("escape")
        await until(lambda: not isinstance(app.screen, Help))


async def test_a_look_while_logs_are_open_changes_nothing_in_front() -> None:
    """The table behind is renewed without an error."""
    source = FakeSource(agent("A"))
    app = Top(source, 0.05)
    async with app.run_test() as pilot:
        await until(lambda: bool(keys(app)))
        await pilot.press("down", "l")
        await until(lambda: isinstance(app.screen, Logs))
        source.agents.append(agent("B"))
        await until(lambda: "B@m" in keys(app))
        assert isinstance(app.screen, Logs)


def test_sorting_puts_the_biggest_first() -> None:
    """Without group lines; those without a figure come last."""
    agents = [agent("A"), agent("B", cpu_fraction=0.2), agent("C", cpu_fraction=0.5)]
    assert [key for key, _cells in rows(agents, "cpu", "")] == ["C@m", "B@m", "A@m"]


def test_requests_of_onlookers_are_no_work() -> None:
    """The counters that `top` itself and health checks move are left out."""
    text = (
        'agent_requests_total{agent="A",machine="m",method="echo"} 5\n'
        'agent_requests_total{agent="A",machine="m",method="metrics"} 7\n'
        'agent_requests_total{agent="A",machine="m",method="say"} 2\n'
    )
    assert requests(text) == 7.0


def test_ages_are_short() -> None:
    """The two largest units are enough."""
    assert [age(5), age(65), age(3700), age(90_000)] == ["0 min 5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]


FAR = MachinePicture(
    machine="far", at=0.0, reach="linked", up_s=9.0,
    services=[ServicePicture(name="nats", machine="far", state="healthy", usage=Usage(cpu_fraction=0.25, rss_bytes=100))],
    agents=[
        AgentPicture(
            name="B", machine="far", group="g", state="healthy", verdict="up", restarts=2,
            figures=Figures(cpu=0.5, rss_bytes=50, requests_hz=3.0),
        ),
    ],
)  # fmt: skip


def test_another_computers_agents_are_rows_like_ours() -> None:
    """What its hub told is shown; when nothing is heard of it any more that is said of each agent, in red."""
    row = machine_row(FAR)
    assert (row.name, row.up_s, row.servers, row.cpu_fraction, row.memory_bytes) == ("far", 9.0, {"nats": "healthy"}, 0.25, 100)
    (one,) = agent_rows(FAR)
    assert (one.id, one.cpu_fraction, one.memory_bytes, one.rate_hz, one.restarts) == ("B@far", 0.5, 50, 3.0, 2)
    (lost,) = agent_rows(replace(FAR, reach="lost"))
    assert lost.verdict == "trouble" and "not heard of for" in lost.remark and lost.rate_hz is None


class FakePeers:
    """Stands where agents answer: the hub's picture, and orders for other computers."""

    def __init__(self, hub_answers: bool = True):
        self.hub_answers = hub_answers
        self.orders: list[dict[str, Any]] = []

    async def call(self, peer: str, action: str, args: dict[str, Any], *, result: Any, timeout: float) -> Any:
        if action == "metrics":
            return ""
        if not self.hub_answers:
            raise Unreachable("the hub is away")
        if action == "picture":
            here = MachinePicture(machine="m", at=0.0)
            return FleetPicture(
                fleet="f", seen_by=peer, at=0.0, alerting=True, front_door=None, machines=[here, FAR], groups=[], needs={}
            )
        if action == "order_agent":
            self.orders.append(args)
            if args["verb"] == "stop":
                raise Unavailable("it is needed")
            return [replace(FAR.agents[0], state="starting")]
        return []


def source_with(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, peers: FakePeers) -> FleetSource:
    """A source on a computer that runs machine ``m`` with a hub, linked to ``far``."""
    hub = AgentView(name=HUB, machine="m", group="g", state="healthy", pid=1, verdict="up")
    status = MachineStatus(
        machine="m", host=None, pid=1, keeper_pid=2, fleet="f", fleet_file="", services=[], agents=[hub],
        links=[LinkView(machine="far", state="up", since_s=1.0)],
    )  # fmt: skip
    monkeypatch.setattr(top_data, "statuses", lambda _home: ([status], {}))
    source = FleetSource(Home(tmp_path))
    source._peers = peers  # type: ignore[assignment]
    return source


async def test_the_source_asks_a_hub_for_other_computers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Their agents stand beside ours, orders for them go through the hub, a refusal is told, and logs come from there."""
    peers = FakePeers()
    source = source_with(monkeypatch, tmp_path, peers)
    picture = await source.look()
    assert [row.id for row in picture.agents] == [f"{HUB}@m", "B@far"]
    assert [machine.name for machine in picture.machines] == ["m", "far"] and picture.trouble == []
    assert await source.order("restart", "B@far") == "B@far: starting"
    assert "it is needed" in await source.order("stop", "B@far")
    assert peers.orders == [{"verb": "restart", "agent": "B@far"}, {"verb": "stop", "agent": "B@far"}]
    assert isinstance(source.logs("B@far", 10), FarTail)
    assert not isinstance(source.logs(f"{HUB}@m", 10), FarTail)


async def test_without_a_hub_other_computers_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody here can tell of them, and the screen says so, as does an order."""
    source = source_with(monkeypatch, tmp_path, FakePeers(hub_answers=False))
    picture = await source.look()
    assert [row.id for row in picture.agents] == [f"{HUB}@m"]
    assert picture.trouble == ["far: another computer; no hub here tells of it"]
    assert await source.order("start", "B@far") == "B@far: the hub is away"
