"""One agent's life, told to the decision table event by event."""

from __future__ import annotations

from tandem.supervise.decide import decide
from tandem.supervise.lifecycle import Action, AgentState, Event, Exit, Exited, NeedsMet, Ready, Start

FIRST = "i1"
"""The first instance of every story."""


class Story:
    """One agent's life told event by event."""

    def __init__(self, state: AgentState | None = None, now: float = 1000.0):
        self.state = state or AgentState()
        self.now = now
        self.actions: tuple[Action, ...] = ()

    def on(self, event: Event, after: float = 0.0, jitter: float = 0.5) -> Story:
        self.now += after
        decision = decide(self.state, event, self.now, jitter)
        self.state, self.actions = decision.state, decision.actions
        return self

    def started(self, instance: str = FIRST) -> Story:
        return self.on(Start()).on(NeedsMet(instance))

    def healthy(self, instance: str = FIRST) -> Story:
        return self.started(instance).on(Ready(instance))

    def dies(
        self, code: int | None = 1, after: float = 0.0, empty: bool = True, signal: int | None = None
    ) -> Story:
        self.now += after
        return self.on(Exited(self.state.instance, Exit(at=self.now, code=code, signal=signal), empty))

    def reborn(self, instance: str) -> Story:
        return self.on(NeedsMet(instance)).on(Ready(instance))
