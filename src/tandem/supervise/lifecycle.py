"""The words supervision thinks in: phases of an agent's life, what can happen to it, what can be done about it."""

from __future__ import annotations

import signal
from enum import StrEnum
from typing import Literal

from msgspec import Struct

from tandem.core.errors import EX_CONFIG
from tandem.core.health import Status


class Phase(StrEnum):
    """Where an agent is in its life."""

    INVALID = "invalid"
    WAITING = "waiting"
    STARTING = "starting"
    HEALTHY = "healthy"
    DEGRADED = "degraded"
    UNHEALTHY = "unhealthy"
    DRAINING = "draining"
    STOPPING = "stopping"
    BACKOFF = "backoff"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def meaning(self) -> str:
        return _MEANING[self]


_MEANING = {
    Phase.INVALID: "its configuration is wrong; only a new configuration helps",
    Phase.WAITING: "wanted; what it needs is not ready yet",
    Phase.STARTING: "its process exists or is being made, and has not said READY",
    Phase.HEALTHY: "it serves",
    Phase.DEGRADED: "it serves, and says what it lacks",
    Phase.UNHEALTHY: "it runs and answers, but says it cannot do its job",
    Phase.DRAINING: "it served, and has been told (or has decided) to finish; it takes no new calls",
    Phase.STOPPING: "on its way out with nothing left to finish; over when its process group is empty",
    Phase.BACKOFF: "it died too soon; it is started again when the delay is over",
    Phase.FAILED: "not retried: a configuration error, or its restart policy says so",
    Phase.STOPPED: "not wanted, and no process of it is left",
}

UP = frozenset({Phase.HEALTHY, Phase.DEGRADED})
SERVING = frozenset({Phase.HEALTHY, Phase.DEGRADED, Phase.UNHEALTHY})
ALIVE = SERVING | {Phase.STARTING, Phase.DRAINING, Phase.STOPPING}
"""Phases in which processes of the agent may exist."""


class Goal(StrEnum):
    """What the operator wants of an agent."""

    RUN = "run"
    STOP = "stop"


class Ending(StrEnum):
    """Who or what ends (or ended) the current instance."""

    NONE = ""
    CRASH = "crash"
    LATE = "not ready in time"
    UNRESPONSIVE = "unresponsive"
    OVERRAN = "over its limit"
    OUTGROWN = "grown too large"
    DEPENDENCY = "dependency"
    GROUP = "its group is restarted"
    OPERATOR = "operator"


class Breaker(StrEnum):
    """Whether an agent that keeps dying is still tried at the usual pace.

    Closed: as usual. Open: it died too often; callers fail at once, and it is tried again after the longest delay.
    Half-open: that one try runs; a stable time in service closes the breaker, a quick death opens it again.
    """

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Policy(Struct, frozen=True, kw_only=True):
    """How one agent is kept alive; all times in seconds.

    The delays follow DESIGN 5.5: low first delay, doubling, a low cap (many agents fail for one passing
    reason, so a long wait only adds to it) and no giving up unless the fleet file says so.
    """

    restart: Literal["always", "on-failure", "never"] = "always"
    start_timeout_s: float = 60.0
    stop_grace_s: float = 10.0
    stable_s: float = 10.0
    """A death after this long in service starts the counting anew."""
    first_delay_s: float = 0.5
    delay_factor: float = 2.0
    max_delay_s: float = 30.0
    jitter: float = 0.2
    """The delay varies by this fraction in both directions."""
    intensity: int = 10
    intensity_window_s: float = 60.0
    """``intensity`` deaths within the window escalate, and so do as many quick ones in a row, however long they took:
    the growing delays alone would keep an agent that never comes up below any number a minute."""
    give_up_after: int | None = None
    """Quick deaths in a row after which it is not retried."""
    on_dependency: Literal["wait", "restart", "degrade"] = "degrade"
    """What it does when something it needs stops serving: end and wait, restart once that is back, or serve on."""


class Exit(Struct, frozen=True, omit_defaults=True):
    """How a process ended. ``at`` is monotonic seconds; exactly one of code, signal, error tells how."""

    at: float
    code: int | None = None
    signal: int | None = None
    error: str = ""
    """Why there never was a process."""
    note: str = ""
    """What the kernel knows beyond the status."""

    @property
    def clean(self) -> bool:
        return self.code == 0

    @property
    def configuration(self) -> bool:
        """It said that its configuration is wrong."""
        return self.code == EX_CONFIG

    def describe(self) -> str:
        """In words: ``exit code 3``, ``killed by SIGKILL``."""
        return f"{self._status()}: {self.note}" if self.note else self._status()

    def _status(self) -> str:
        if self.error:
            return f"could not be started: {self.error}"
        if self.signal is not None:
            return f"killed by {_signal_name(self.signal)}"
        if self.configuration:
            return f"configuration error (exit code {EX_CONFIG})"
        return f"exit code {self.code}" if self.code is not None else "exit status unknown"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


class AgentState(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Everything ``decide`` knows about one agent. Times are monotonic seconds of this computer."""

    policy: Policy = Policy()
    phase: Phase = Phase.STOPPED
    goal: Goal = Goal.STOP
    instance: str = ""
    """Identity of the newest process; empty before the first."""
    deadline: float | None = None
    """When the phase must be over; ``DeadlinePassed`` is due then."""
    launched_at: float | None = None
    ready_at: float | None = None
    ending: Ending = Ending.NONE
    exit: Exit | None = None
    """How the last instance ended."""
    quick_deaths: int = 0
    """Deaths in a row without a stable time in service between them."""
    deaths: tuple[float, ...] = ()
    """When it died, within the intensity window."""
    restarts: int = 0
    """Launches after a death, since the operator last started it."""
    breaker: Breaker = Breaker.CLOSED
    """As of the last death or retry; :meth:`breaker_at` also sees that a half-open one has proven itself."""
    reason: str = ""
    """Why the current instance is being ended, in words: what ``ending`` means this time."""
    said: Status = Status.HEALTHY
    """What it last said about itself before it was ready."""
    issues: tuple[str, ...] = ()
    note: str = ""
    """Why it is where it is, in words for a person."""

    @property
    def ready_after_s(self) -> float | None:
        """Seconds from launch to READY of the current instance."""
        if self.launched_at is None or self.ready_at is None:
            return None
        return self.ready_at - self.launched_at

    def is_stable(self, now: float) -> bool:
        """Whether the current instance has served for the stable time."""
        return self.ready_at is not None and now - self.ready_at >= self.policy.stable_s

    def breaker_at(self, now: float) -> Breaker:
        """The breaker as it stands at ``now`` (monotonic seconds)."""
        proven = self.phase in SERVING and self.is_stable(now)
        return Breaker.CLOSED if proven else self.breaker


# What can happen. Events about a process carry its instance; those of an older one are ignored.


class Event(Struct, frozen=True):
    """Something happened to one agent."""


class ProcessEvent(Event, frozen=True):
    """Something happened to one process of an agent."""

    instance: str


class Start(Event, frozen=True):
    """The operator (or ``up``) wants it to run."""


class Stop(Event, frozen=True):
    """The operator wants it gone."""


class Restart(Event, frozen=True):
    """The operator wants a fresh instance."""


class NeedsMet(ProcessEvent, frozen=True):
    """Everything it needs is ready; ``instance`` is the identity for the new process."""


class SpawnFailed(ProcessEvent, frozen=True):
    """There will be no process."""

    error: str


class Unborn(ProcessEvent, frozen=True):
    """There will be no process, and not for its sake: the zygote it was to be forked from ended first."""


class Ready(ProcessEvent, frozen=True):
    """It said READY=1, or its probe succeeded."""


class Extended(ProcessEvent, frozen=True):
    """It asked for more time to start (EXTEND_TIMEOUT_USEC)."""

    seconds: float


class Reported(ProcessEvent, frozen=True):
    """It said how it is."""

    status: Status
    issues: tuple[str, ...] = ()


class Leaving(ProcessEvent, frozen=True):
    """It said STOPPING=1."""


class Unresponsive(ProcessEvent, frozen=True):
    """It stopped giving signs of life; ``why`` says for how long."""

    why: str = ""


class Overran(ProcessEvent, frozen=True):
    """It was measured above a limit it must not cross."""

    why: str


class Outgrew(ProcessEvent, frozen=True):
    """It was measured above the size at which it wants to be restarted."""

    why: str


class NeedLost(Event, frozen=True):
    """Something it needs stopped serving."""

    name: str


class NeedBack(Event, frozen=True):
    """Something it needs serves again after it had stopped."""

    name: str


class Regroup(Event, frozen=True):
    """Its group is restarted as a whole; ``why`` says for whose sake."""

    why: str


class Exited(ProcessEvent, frozen=True):
    """Its main process ended; ``empty`` tells whether nothing else of its process group is left."""

    exit: Exit
    empty: bool


class Emptied(ProcessEvent, frozen=True):
    """The last process of its group is gone."""


class DeadlinePassed(Event, frozen=True):
    """``AgentState.deadline`` is over."""


EVENTS: tuple[type[Event], ...] = (
    Start, Stop, Restart, NeedsMet, SpawnFailed, Unborn, Ready, Extended, Reported, Leaving, Unresponsive, Overran,
    Outgrew, NeedLost, NeedBack, Regroup, Exited, Emptied, DeadlinePassed,
)  # fmt: skip


# What can be done. The shell carries these out in order.


class Action(Struct, frozen=True):
    """Something to do for one agent."""


class CheckNeeds(Action, frozen=True):
    """Send ``NeedsMet`` as soon as everything it needs is ready and a start slot is free."""


class Spawn(Action, frozen=True):
    """Make a process, with its sockets open, and lease its name."""

    instance: str


class Terminate(Action, frozen=True):
    """Send TERM to the process group."""

    instance: str


class Abort(Action, frozen=True):
    """Let the main process write down where it hangs (ABRT), if it is one of ours; it is killed a moment later."""

    instance: str


class Kill(Action, frozen=True):
    """Send KILL to the process group and whatever else carries the instance's mark."""

    instance: str


class Withdraw(Action, frozen=True):
    """Delete the lease: nobody serves that name."""

    instance: str


class CloseSockets(Action, frozen=True):
    """Close and unlink its listening sockets, so that callers fail at once instead of waiting."""


class Escalate(Action, frozen=True):
    """Tell the next level that this agent cannot be kept alive.

    ``was``: its breaker until now; half-open means that the one try in between failed too.
    """

    deaths: int
    was: Breaker


class Decision(Struct, frozen=True):
    """What ``decide`` answers."""

    state: AgentState
    actions: tuple[Action, ...] = ()
