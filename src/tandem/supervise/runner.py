"""One supervised thing: its state, and the shell that feeds events to ``decide`` and carries the actions out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec
from msgspec import Struct

from tandem.agent.spec import Begin
from tandem.agent.tally import Tally
from tandem.core import clock
from tandem.core.errors import TandemError
from tandem.core.health import HealthReport, Status, parse_status
from tandem.fleet.model import AgentConfig, EscalateTo
from tandem.supervise.api import Usage
from tandem.supervise.decide import decide
from tandem.supervise.lifecycle import (
    Action,
    AgentState,
    DeadlinePassed,
    Event,
    Extended,
    Leaving,
    Phase,
    Policy,
    Ready,
    Reported,
    Spawn,
    SpawnFailed,
)  # fmt: skip
from tandem.supervise.release import Release

Kind = Literal["agent", "service", "zygote"]

log = logging.getLogger("tandem.node")


class Shell(Protocol):
    """What a runner asks of its supervisor."""

    def perform(self, runner: Runner, action: Action) -> None:
        """Carry out one action. May raise :class:`~tandem.core.errors.TandemError` when a process cannot be made."""
        ...

    def moved(self, runner: Runner, before: AgentState) -> None:
        """The runner's state changed."""
        ...


class Subject(Struct, frozen=True, kw_only=True):
    """What a runner keeps alive. ``needs`` are names of runners of the same machine, ``wants`` too, or
    ``Name@machine`` of another. ``config`` and ``release`` are what the next process of an agent is made of, ``begin``
    how it takes up its work. ``escalate_to``: who deals with it first when it dies too often.
    """

    name: str
    kind: Kind
    policy: Policy
    config: AgentConfig | None = None
    release: Release = Release()
    begin: Begin = "serve"
    group: str = ""
    escalate_to: EscalateTo = "group"
    needs: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()


class Runner:
    """Its timer is the state's deadline; there is no other, so nothing can fire for a phase that is over."""

    def __init__(self, subject: Subject, shell: Shell, state: AgentState | None = None):
        self.subject = subject
        self.state = state or AgentState(policy=subject.policy)
        self.pid: int | None = None
        self.status = ""
        """The last STATUS= line."""
        self.stands_by = ""
        """The instance that last said it is prepared and waits for its turn."""
        self.tail: list[str] = []
        self.tally = Tally()
        """What the present instance said last about its calls."""
        self.waiting_since = 0.0
        self.heard_at: float | None = None
        """When its process last gave a sign of life (monotonic seconds, known a second late); None: it gives none."""
        self.usage: Usage | None = None
        self.excess = ""
        """What it takes above a limit that nobody can hold it to, in words."""
        self._shell = shell
        self._timer: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        return self.subject.name

    def feed(self, event: Event) -> None:
        """Let ``decide`` judge the event, then do what it says."""
        before = self.state
        decision = decide(before, event, clock.monotonic(), random.random())
        self.state = decision.state
        if decision.state.phase is Phase.WAITING and before.phase is not Phase.WAITING:
            self.waiting_since = clock.monotonic()
        self.arm()
        for action in decision.actions:
            self._perform(action)
        if self.state != before:
            self._shell.moved(self, before)

    def arm(self) -> None:
        """Make the loop's timer agree with the state's deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.state.deadline is not None:
            loop = asyncio.get_running_loop()
            delay = max(0.0, self.state.deadline - clock.monotonic())
            self._timer = loop.call_later(delay, self._deadline_passed)

    def disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def hear(self, instance: str, line: str) -> None:
        """One line of the readiness protocol (sd_notify(3), and our HEALTH= and CALLS=)."""
        key, _, value = line.partition("=")
        parse = _NOTIFICATIONS.get(key)
        if key == "STATUS":
            self.status = value
        elif key == "STANDBY":
            self.stands_by = instance
            self._shell.moved(self, self.state)
        elif key == "CALLS":
            with contextlib.suppress(msgspec.DecodeError):
                self.tally = msgspec.json.decode(value, type=Tally)
        elif parse is not None and (event := parse(instance, value)) is not None:
            self.feed(event)

    def _deadline_passed(self) -> None:
        self._timer = None
        deadline = self.state.deadline
        if deadline is not None and clock.monotonic() >= deadline:
            self.feed(DeadlinePassed())
        else:
            self.arm()

    def _perform(self, action: Action) -> None:
        try:
            self._shell.perform(self, action)
        except TandemError as error:
            self._not_made(action, str(error))
        except Exception as error:
            log.exception("%s: %s could not be carried out", self.name, type(action).__name__)
            self._not_made(action, f"{type(error).__name__}: {error}")

    def _not_made(self, action: Action, why: str) -> None:
        # Before there is a process only its making can fail, and that is a death like any other; without a word of it
        # the keeper's answer would be waited for for ever.
        if isinstance(action, Spawn):
            asyncio.get_running_loop().call_soon(self.feed, SpawnFailed(action.instance, why))


def _health(instance: str, value: str) -> Event | None:
    try:
        report = msgspec.json.decode(value, type=HealthReport)
        status = parse_status(report.status)
    except (msgspec.DecodeError, ValueError):
        return None
    if status in (Status.STARTING, Status.STOPPING):
        return None
    return Reported(instance, status, tuple(str(issue) for issue in report.issues))


def _extension(instance: str, value: str) -> Event | None:
    return Extended(instance, int(value) / 1_000_000) if value.isdigit() else None


_NOTIFICATIONS: dict[str, Callable[[str, str], Event | None]] = {
    "READY": lambda instance, value: Ready(instance) if value == "1" else None,
    "STOPPING": lambda instance, value: Leaving(instance) if value == "1" else None,
    "EXTEND_TIMEOUT_USEC": _extension,
    "HEALTH": _health,
}
