"""The screen of `tandem top`. It shows what a :class:`~tandem.cli.top_model.Source` says, and passes orders to it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import ClassVar

from rich.text import Text
from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen, Screen
from textual.widgets import DataTable, Footer, Input, Label, RichLog, Static

from tandem.cli.top_model import AgentRow, LogTail, MachineRow, Picture, Source
from tandem.errors.desk import IncidentView
from tandem.supervise.api import Verb
from tandem.telemetry.logs import render_plain

LOG_LINES = 200
LOG_POLL_S = 0.5
STATE_STYLES = {
    "healthy": "green", "degraded": "yellow", "unhealthy": "red", "starting": "cyan", "waiting": "cyan",
    "backoff": "red", "failed": "red", "invalid": "red", "draining": "magenta", "stopping": "magenta", "stopped": "dim",
}  # fmt: skip
COLUMNS = ("AGENT", "STATE", "CPU", "MEMORY", "REQ/S", "RESTARTS", "REMARK")

Order = Callable[[AgentRow], float]
ORDERS: dict[str, Order | None] = {
    "group": None,
    "cpu": lambda row: row.cpu_fraction or 0.0,
    "memory": lambda row: row.memory_bytes or 0,
    "requests": lambda row: row.rate_hz or 0.0,
    "restarts": lambda row: row.restarts,
}
"""What rows can be sorted by, biggest first; by group they stand below their group's line."""


class Question(ModalScreen[bool]):
    """Yes or no; what stops work is asked first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y,enter", "answer(True)", "Yes"),
        Binding("n,escape", "answer(False)", "No"),
    ]
    CSS = "Question { align: center middle; } Question Label { background: $panel; padding: 1 3; border: round $warning; }"

    def __init__(self, text: str):
        super().__init__()
        self._text = text

    def compose(self) -> ComposeResult:
        yield Label(f"{self._text}\n\ny: yes   n: no")

    def action_answer(self, answer: bool) -> None:
        self.dismiss(answer)


class Help(ModalScreen[None]):
    """Every key, and what the colours of states mean."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q,enter", "app.pop_screen", "Back")]
    CSS = "Help { align: center middle; } Help Label { background: $panel; padding: 1 3; border: round $primary; }"

    def compose(self) -> ComposeResult:
        yield Label(help_text())


class Logs(Screen[None]):
    """One agent's lines as it writes them."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,l", "app.pop_screen", "Back")]

    def __init__(self, agent: str, tail: LogTail):
        super().__init__()
        self._agent = agent
        self._tail = tail

    def compose(self) -> ComposeResult:
        yield Label(f" logs of {self._agent}")
        yield RichLog(max_lines=5000, wrap=True)
        yield Footer()

    def on_mount(self) -> None:
        self._follow()

    @work
    async def _follow(self) -> None:
        log = self.query_one(RichLog)
        try:
            while True:
                for line in await self._tail.read():
                    log.write(Text.from_ansi(render_plain(line.text, color=True)))
                await asyncio.sleep(LOG_POLL_S)
        finally:
            await self._tail.close()


class Top(App[None]):
    """Machines above, agents in the middle, incidents below."""

    TITLE = "tandem top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #machines { padding: 0 1; height: auto; }
    #incidents { padding: 0 1; height: auto; max-height: 8; border-top: solid $panel; }
    #filter { display: none; height: 3; }
    #filter.shown { display: block; }
    DataTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("s", "order('start')", "Start"),
        Binding("x", "order('stop')", "Stop"),
        Binding("r", "order('restart')", "Restart"),
        Binding("l,enter", "logs", "Logs", priority=False),
        Binding("o", "sort", "Sort"),
        Binding("slash", "filter", "Filter"),
        Binding("escape", "unfilter", "All", show=False),
        Binding("question_mark", "help", "Help"),
        Binding("q", "quit", "Quit"),
    ]

    def __init__(self, source: Source, every_s: float):
        super().__init__()
        self._source = source
        self._every_s = every_s
        self._picture = Picture()
        self._sort = "group"
        self._filter = ""

    def compose(self) -> ComposeResult:
        with Vertical():
            yield Static(id="machines")
            yield Input(placeholder="agent, group, machine or state", id="filter")
            table: DataTable[Text] = DataTable(cursor_type="row", zebra_stripes=False)
            for title in COLUMNS:
                table.add_column(title, key=title)
            yield table
            yield Static(id="incidents")
        yield Footer()

    def on_mount(self) -> None:
        self._table.focus()
        self._look()
        self.set_interval(self._every_s, self._look)

    @property
    def _table(self) -> DataTable[Text]:
        return self.query_one(DataTable)

    @work(exclusive=True, group="look")
    async def _look(self) -> None:
        self._picture = await self._source.look()
        self._show()

    def _show(self) -> None:
        picture = self._picture
        # A worker may finish while another screen is in front; the widgets are those of the first one.
        main = self.screen_stack[0] if self.screen_stack else None
        if main is None or not main.query("#machines"):
            return  # the screen is being taken down, or gone
        lines = [machine_line(machine) for machine in picture.machines]
        main.query_one("#machines", Static).update(Text("\n").join([*lines, *map(Text, picture.trouble)]))
        main.query_one("#incidents", Static).update(incident_lines(picture.incidents))
        table = main.query_one(DataTable)
        chosen = self._chosen()
        top = table.scroll_y
        table.clear()
        for key, cells in rows(picture.agents, self._sort, self._filter):
            table.add_row(*cells, key=key)
        if chosen is not None and chosen in table.rows:
            table.move_cursor(row=table.get_row_index(chosen), scroll=False)
            table.scroll_y = top

    def _chosen(self) -> str | None:
        """The key of the row under the cursor."""
        table = self.screen_stack[0].query_one(DataTable)
        if not table.row_count or not table.is_valid_row_index(table.cursor_row):
            return None
        return table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value

    def _agent(self) -> str | None:
        chosen = self._chosen()
        if chosen is None or "@" not in chosen:
            self.notify("choose an agent first")
            return None
        return chosen

    @work
    async def action_order(self, verb: Verb) -> None:
        agent = self._agent()
        if agent is None:
            return
        if verb != "start" and not await self.push_screen_wait(Question(f"{verb} {agent}?")):
            return
        self.notify(f"{verb} {agent} ...")
        self.notify(await self._source.order(verb, agent))
        self._look()

    def action_logs(self) -> None:
        agent = self._agent()
        if agent is not None:
            self.push_screen(Logs(agent, self._source.logs(agent, LOG_LINES)))

    def on_data_table_row_selected(self) -> None:
        self.action_logs()

    def action_help(self) -> None:
        self.push_screen(Help())

    def action_sort(self) -> None:
        names = list(ORDERS)
        self._sort = names[(names.index(self._sort) + 1) % len(names)]
        self.notify(f"sorted by {self._sort}", timeout=2)
        self._show()

    def action_filter(self) -> None:
        field = self.query_one("#filter", Input)
        field.add_class("shown")
        field.focus()

    def action_unfilter(self) -> None:
        field = self.query_one("#filter", Input)
        field.value = ""
        field.remove_class("shown")
        self._table.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        self._filter = event.value
        self._show()

    def on_input_submitted(self) -> None:
        self._table.focus()


HELP = (
    ("Up Down PgUp PgDn", "choose an agent; the cursor stays on it"),
    ("s  x  r", "start, stop, restart it (x and r ask first)"),
    ("l  Enter", "its log, live; Escape leads back"),
    ("o", "sort: group, CPU, memory, requests, restarts"),
    ("/  Escape", "show what matches all words; show all again"),
    ("Left Right", "move the table on a narrow screen"),
    ("q", "leave; nothing stops"),
)


def help_text() -> Text:
    """What every key does, and the states by colour."""
    lines = [Text.assemble((f"{keys:19}", "bold"), meaning) for keys, meaning in HELP]
    colours: dict[str, list[str]] = {}
    for state, colour in STATE_STYLES.items():
        colours.setdefault(colour, []).append(state)
    states = [Text(" ".join(names), style=colour) for colour, names in colours.items()]
    return Text("\n").join([*lines, Text(), *states, Text("CPU is of one core.", style="dim")])


def rows(agents: Iterable[AgentRow], sort: str, words: str) -> list[tuple[str, list[Text]]]:
    """Key and cells of every line; ``words`` must all be found in an agent's name, group, machine or state."""
    wanted = words.lower().split()
    shown = [row for row in agents if all(word in f"{row.id} {row.group} {row.state}".lower() for word in wanted)]
    order = ORDERS[sort]
    if order is not None:
        return [(row.id, cells(row)) for row in sorted(shown, key=order, reverse=True)]
    found: list[tuple[str, list[Text]]] = []
    groups: dict[tuple[str, str], list[AgentRow]] = {}
    for row in shown:
        groups.setdefault((row.machine, row.group), []).append(row)
    for (machine, group), members in groups.items():
        found.append((f"{machine}/{group}", group_cells(f"{group} ({machine})", members)))
        found += [(row.id, cells(row)) for row in members]
    return found


def cells(row: AgentRow) -> list[Text]:
    """One agent's line."""
    return [
        Text(f"  {row.name}"),
        Text(row.state, style=STATE_STYLES.get(row.state, "")),
        Text(percent(row.cpu_fraction), justify="right"),
        Text(mebibytes(row.memory_bytes), justify="right"),
        Text("" if row.rate_hz is None else f"{row.rate_hz:.1f}", justify="right"),
        Text(str(row.restarts or ""), justify="right"),
        Text(row.remark, style="" if row.verdict == "up" else "red"),
    ]


def group_cells(title: str, members: list[AgentRow]) -> list[Text]:
    """A group's line: how many of it are up, and the sums."""
    up = sum(row.verdict == "up" for row in members)
    wanted = sum(row.verdict != "off" for row in members)
    rates = [row.rate_hz for row in members if row.rate_hz is not None]
    return [
        Text(title, style="bold"),
        Text(f"{up}/{len(members)} up", style="bold green" if up == wanted else "bold red"),
        Text(percent(sum(row.cpu_fraction or 0.0 for row in members)), style="bold", justify="right"),
        Text(mebibytes(sum(row.memory_bytes or 0 for row in members)), style="bold", justify="right"),
        Text(f"{sum(rates):.1f}" if rates else "", style="bold", justify="right"),
        Text(str(sum(row.restarts for row in members) or ""), style="bold", justify="right"),
        Text(""),
    ]


def machine_line(machine: MachineRow) -> Text:
    line = Text.assemble((machine.name, "bold"), f"  up {age(machine.up_s)}  ")
    line.append(f"CPU {percent(machine.cpu_fraction)}  memory {mebibytes(machine.memory_bytes)}  ")
    for name, state in machine.servers.items():
        line.append(f"{name} ")
        line.append(f"{state}  ", style=STATE_STYLES.get(state, ""))
    return line


def incident_lines(incidents: Iterable[IncidentView]) -> Text:
    """The latest incidents, one line each."""
    lines = []
    for view in incidents:
        style = "red" if view.severity in ("critical", "error") else "yellow"
        lines.append(Text.assemble((f"{view.severity:8} ", style), f"{view.count:>6}x  {view.title}"))
    return Text("\n").join(lines) if lines else Text("no open incidents", style="dim")


def percent(fraction: float | None) -> str:
    """Of one core."""
    return "" if fraction is None else f"{fraction * 100:.1f} %"


def mebibytes(size: int | None) -> str:
    return "" if size is None else f"{size / 2**20:.1f} M"


def age(seconds: float) -> str:
    """The largest two units."""
    minutes, hours = divmod(int(seconds) // 60, 60)[::-1]
    if hours >= 24:
        return f"{hours // 24} d {hours % 24} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {int(seconds) % 60} s"
