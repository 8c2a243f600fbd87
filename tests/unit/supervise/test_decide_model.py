"""Random lives: a model of the operating system runs beside ``decide`` and the promises are checked after each step."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tandem.core.health import Status
from tandem.supervise.decide import TABLE, decide
from tandem.supervise.lifecycle import (
    ALIVE,
    SERVING,
    Abort,
    Action,
    AgentState,
    Breaker,
    CheckNeeds,
    CloseSockets,
    DeadlinePassed,
    Emptied,
    Ending,
    Event,
    Exit,
    Exited,
    Extended,
    Goal,
    Kill,
    Leaving,
    NeedBack,
    NeedLost,
    NeedsMet,
    Outgrew,
    Overran,
    Phase,
    Policy,
    Ready,
    Regroup,
    Reported,
    Restart,
    Spawn,
    SpawnFailed,
    Start,
    Stop,
    Terminate,
    Unborn,
    Unresponsive,
)


class Life(RuleBasedStateMachine):
    """One agent: its processes, its children, a clock, an operator and chance."""

    @initialize(
        give_up=st.none() | st.integers(1, 3),
        restart=st.sampled_from(["always", "on-failure", "never"]),
        on_dependency=st.sampled_from(["wait", "restart", "degrade"]),
        intensity=st.integers(1, 4),
    )
    def born(self, give_up: int | None, restart: str, on_dependency: str, intensity: int) -> None:
        """Begin stopped, with nothing running."""
        policy = Policy(
            give_up_after=give_up, restart=restart, on_dependency=on_dependency, intensity=intensity
        )
        self.state = AgentState(policy=policy)
        self.now = 100.0
        self.leader: str | None = None
        self.children = 0
        self.spoke = False
        self.asked_for_needs = False
        self.births = 0
        self.last_word = Goal.STOP

    def tell(self, event: Event, jitter: float = 0.5) -> None:
        before = self.state
        decision = decide(before, event, self.now, jitter)
        cell = TABLE[before.phase].get(type(event))
        allowed = {before.phase} | (set(cell.to) if cell else set())
        assert decision.state.phase in allowed, (before.phase, event, decision.state.phase)
        self.state = decision.state
        for action in decision.actions:
            self.do(action)

    def do(self, action: Action) -> None:
        match action:
            case CheckNeeds():
                self.asked_for_needs = True
            case Spawn(instance=instance):
                assert self.leader is None and self.children == 0, "two instances at a time"
                assert self.last_word is Goal.RUN, "started against the operator's will"
                self.leader, self.spoke = instance, False
            case Kill() | Terminate() | Abort():
                assert self.leader is not None or self.children > 0 or self.state.instance
            case CloseSockets():
                assert self.leader is None and self.children == 0, "sockets closed under a live instance"

    @rule()
    def operator_starts(self) -> None:
        """The operator wants it."""
        self.last_word = Goal.RUN
        self.tell(Start())

    @rule()
    def operator_stops(self) -> None:
        """The operator wants it gone."""
        self.last_word = Goal.STOP
        self.tell(Stop())

    @rule()
    def operator_restarts(self) -> None:
        """The operator wants a fresh one."""
        self.last_word = Goal.RUN
        self.tell(Restart())

    @precondition(lambda self: self.asked_for_needs)
    @rule()
    def needs_are_met(self) -> None:
        """Its needs are healthy and a slot is free; the answer may come late."""
        self.asked_for_needs = False
        self.births += 1
        self.tell(NeedsMet(f"i{self.births}"))

    @precondition(lambda self: self.leader is not None)
    @rule(status=st.sampled_from(list(Status)), seconds=st.floats(0, 100))
    def process_speaks(self, status: Status, seconds: float) -> None:
        """It reports its health and asks for time."""
        self.spoke = True
        self.tell(Reported(self.leader, status, ("x",)))
        self.tell(Extended(self.leader, seconds))

    @precondition(lambda self: self.leader is not None)
    @rule(event=st.sampled_from([Ready, Ready, Ready, Leaving, Unresponsive]))
    def process_signals(self, event: type[Event]) -> None:
        """It says READY, STOPPING, or nothing at all any more."""
        self.spoke = True
        self.tell(event(self.leader))

    @precondition(lambda self: self.leader is not None)
    @rule(event=st.sampled_from([Overran, Outgrew]))
    def process_grows(self, event: type[Event]) -> None:
        """It is measured above one of its limits."""
        self.tell(event(self.leader, "9 of 8"))

    @rule(event=st.sampled_from([NeedLost, NeedBack]))
    def a_need_comes_or_goes(self, event: type[Event]) -> None:
        """Something it needs ends, or is back."""
        self.tell(event("Db"))

    @rule()
    def the_group_is_restarted(self) -> None:
        """A neighbour cannot be kept alive, so the whole group is given a fresh start; nobody dies of that."""
        counted = (self.state.quick_deaths, self.state.restarts)
        self.tell(Regroup("a neighbour died too often"))
        assert (self.state.quick_deaths, self.state.restarts) == counted

    @precondition(lambda self: self.leader is not None)
    @rule()
    def process_forks(self) -> None:
        """It starts a child."""
        self.children += 1

    @precondition(lambda self: self.leader is not None)
    @rule(code=st.sampled_from([0, 1, 78, None]))
    def process_ends(self, code: int | None) -> None:
        """The leader ends; children may stay."""
        instance, self.leader = self.leader, None
        how = Exit(at=self.now, code=code, signal=9 if code is None else None)
        self.tell(Exited(instance, how, self.children == 0))

    @precondition(lambda self: self.leader is not None and self.children == 0 and not self.spoke)
    @rule()
    def spawn_fails(self) -> None:
        """There is no process after all."""
        instance, self.leader = self.leader, None
        self.tell(SpawnFailed(instance, "no memory"))

    @precondition(lambda self: self.leader is not None and self.children == 0 and not self.spoke)
    @rule()
    def the_zygote_ends(self) -> None:
        """It will not be born, through no fault of its own: nothing is added to its record."""
        instance, self.leader = self.leader, None
        counted = (self.state.quick_deaths, self.state.restarts, self.state.breaker)
        is_ordered = self.state.ending is Ending.OPERATOR
        self.tell(Unborn(instance))
        assert is_ordered or (self.state.quick_deaths, self.state.restarts, self.state.breaker) == counted

    @precondition(lambda self: self.leader is None and self.children > 0)
    @rule()
    def children_end(self) -> None:
        """The rest of the group is gone."""
        self.children = 0
        self.tell(Emptied(self.state.instance))

    @rule(seconds=st.floats(0.01, 40), jitter=st.floats(0, 1, exclude_max=True))
    def time_passes(self, seconds: float, jitter: float) -> None:
        """The clock moves; the deadline fires when it is over."""
        self.now += seconds
        if self.state.deadline is not None and self.now >= self.state.deadline:
            self.tell(DeadlinePassed(), jitter)

    @rule(instance=st.sampled_from(["", "i0", "ghost"]))
    def old_news(self, instance: str) -> None:
        """Word of a process that is not the newest one changes nothing."""
        before = self.state
        if instance != before.instance:
            self.tell(Exited(instance, Exit(at=self.now, code=1), True))
            assert self.state == before

    @invariant()
    def stopped_means_empty(self) -> None:
        """No process exists outside the phases that admit one."""
        if self.leader is not None or self.children:
            assert self.state.phase in ALIVE

    @invariant()
    def phases_that_must_end_have_a_deadline(self) -> None:
        """Nothing waits for ever but for needs, an operator, or an end of good service."""
        bounded = self.state.phase in {Phase.STARTING, Phase.DRAINING, Phase.STOPPING, Phase.BACKOFF}
        assert (self.state.deadline is not None) == bounded

    @invariant()
    def every_state_explains_itself(self) -> None:
        """Who is not served and not on an ordinary way has a note, and a forced end has its reason until it is over."""
        if self.state.phase in {Phase.BACKOFF, Phase.FAILED}:
            assert self.state.note
        if self.state.ending in {Ending.OVERRAN, Ending.OUTGROWN, Ending.DEPENDENCY, Ending.GROUP}:
            assert self.state.reason or self.state.phase not in ALIVE
        if self.state.breaker is Breaker.OPEN:
            assert self.state.phase not in SERVING | {Phase.STARTING, Phase.WAITING}

    @invariant()
    def waiting_has_asked(self) -> None:
        """A waiting agent has asked for its needs, so it cannot be forgotten."""
        if self.state.phase is Phase.WAITING:
            assert self.asked_for_needs

    @invariant()
    def the_operator_is_obeyed(self) -> None:
        """After a stop it is stopped, or ending with that goal; never waiting or resting to come back."""
        if self.last_word is Goal.STOP:
            assert self.state.phase in {Phase.STOPPED, Phase.DRAINING, Phase.STOPPING}
            assert self.state.phase is Phase.STOPPED or self.state.goal is Goal.STOP

    def teardown(self) -> None:
        """Whatever happened: after a stop, TERM, KILL and the end of all processes it is stopped."""
        if not hasattr(self, "state"):
            return
        self.last_word = Goal.STOP
        self.tell(Stop())
        if self.leader is not None:
            instance, self.leader, self.children = self.leader, None, 0
            self.tell(Exited(instance, Exit(at=self.now, signal=9), True))
        elif self.children:
            self.children = 0
            self.tell(Emptied(self.state.instance))
        assert self.state.phase is Phase.STOPPED


Life.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestLife = Life.TestCase
