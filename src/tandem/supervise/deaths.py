"""Deaths of agents and servers, told to the error bus by the one who saw them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.core import clock
from tandem.core.ids import AgentId, new_id
from tandem.core.paths import MachineDirs
from tandem.errors.client import ErrorClient, Ships
from tandem.errors.report import DEATH, MAX_VALUE, ErrorReport, Scalar, clean
from tandem.errors.severity import Severity
from tandem.supervise.escalation import Alarm, Level
from tandem.supervise.lifecycle import AgentState, Ending, Exit, Phase
from tandem.supervise.runner import Runner
from tandem.supervise.wire import NodeLoss
from tandem.telemetry.logs import render_plain
from tandem.telemetry.tracing import turn_of

NODE = "node"
SPOOL = ".errors"
FRESH_S = 3600.0
"""How long the end of a node is news; the keeper remembers it for as long as it lives, and hubs for a week that they heard."""

_TYPES = {
    Ending.LATE: "StartTimeout",
    Ending.UNRESPONSIVE: "Unresponsive",
}


class Deaths:
    """Watches runners, and is told of the node's and the keeper's own; what the operator ended is no death."""

    def __init__(
        self,
        machine: str,
        dirs: MachineDirs,
        publisher: Ships,
        alarm_of: Callable[[Runner], Alarm | None],
    ):
        self._machine = machine
        self._alarm_of = alarm_of
        root: Path = dirs.agent_state(NODE) / SPOOL
        self._errors = ErrorClient(AgentId.of(NODE, machine), root, lambda: publisher)

    def start(self) -> None:
        self._errors.start()

    async def close(self) -> None:
        await self._errors.close()

    def watch(self, runner: Runner, before: AgentState) -> None:
        """To be called after every change of a runner."""
        if died(before, runner.state):
            self._errors.submit(death_report(self._machine, runner, before, self._alarm_of(runner)))

    def predecessor(self, loss: NodeLoss | None) -> None:
        """The node before this one ended so. Told by every node that hears of it, it counts once."""
        if loss is not None and 0 <= clock.wall() - loss.at < FRESH_S:
            self._own(NODE, f"{loss.why}; agents serve on, another node has taken over", loss.at)

    def keeper_gone(self) -> None:
        """The keeper has just ended."""
        self._own("keeper", "the line to it broke; agents serve on, another keeper takes them over", clock.wall())

    def _own(self, name: str, message: str, at: float) -> None:
        number = hashlib.blake2b(f"{name}@{self._machine} {at}".encode(), digest_size=10).hexdigest()
        same = turn_of(f"{int(at * 1000):012x}{number}")
        self._errors.submit(
            ErrorReport(
                id=same, agent=name, machine=self._machine, type=DEATH, message=message, severity=Severity.ERROR, time=at
            )
        )


def died(before: AgentState, now: AgentState) -> bool:
    """Whether the change is a death: it is started again for it, or not any more."""
    gave_up = now.phase is Phase.FAILED and before.phase is not Phase.FAILED
    return now.restarts > before.restarts or gave_up


def death_report(machine: str, runner: Runner, before: AgentState, alarm: Alarm | None = None) -> ErrorReport:
    """What is known of it: how it ended, its last lines, and what happens next. ``before``: the runner's state then.

    ``alarm``: the last one about it. Critical when it is not started again, or when this death made it the operator's.
    """
    state = runner.state
    ended = state.exit or Exit(at=clock.monotonic())
    raised = alarm if alarm is not None and alarm.instance == state.instance else None
    hopeless = state.phase is Phase.FAILED or (raised is not None and raised.level is Level.OPERATOR)
    last = last_lines(runner.tail)
    context: dict[str, Scalar] = {
        "exit": ended.describe(),
        "next": clean(state.note, MAX_VALUE),
        "restarts": state.restarts,
        "kind": runner.subject.kind,
        "stderr": _end_of(last),
    }
    if raised is not None:
        context["escalated"] = f"to {raised.level}{': ' + raised.why if raised.why else ''}"
    said = f"; it last said: {_words(runner.tail[-1])}" if last else ""
    return ErrorReport(
        id=new_id(),
        agent=runner.name,
        machine=machine,
        type=_TYPES.get(before.ending, DEATH),
        message=clean(f"{ended.describe()}{said}", MAX_VALUE),
        severity=Severity.CRITICAL if hopeless else Severity.ERROR,
        time=clock.wall() - max(0.0, clock.monotonic() - ended.at),
        context=context,
    )


class _Line(Struct, frozen=True):
    msg: str


_STAMP = re.compile(r"\d+:[A-Z] \d\d \w{3} \d{4} [\d:.]+ [.*#-] |\[\d+\] \d{4}/\d\d/\d\d [\d:.]+ \[[A-Z]{3}\] ")
"""What Valkey and nats-server write in front of their words."""


def _words(line: str) -> str:
    """A log line without its time, level and name."""
    try:
        return msgspec.json.decode(line, type=_Line).msg
    except msgspec.MsgspecError:
        return _STAMP.sub("", line.strip(), count=1)


def _end_of(lines: list[str]) -> str:
    """As many of the last lines as there is room for; of a single one that is longer, its end."""
    # Cut after the redaction: half a secret would not be recognised.
    text = clean("\n".join(lines)[-4 * MAX_VALUE :], 4 * MAX_VALUE)
    if len(text) <= MAX_VALUE:
        return text
    cut, newline, whole = text[-MAX_VALUE:].partition("\n")
    return whole if newline else cut


def last_lines(tail: Iterable[str]) -> list[str]:
    """A process's last words as plain text; of a record with a traceback its first row says what happened."""
    return [rows[0] for line in tail if (rows := render_plain(line).splitlines())]
