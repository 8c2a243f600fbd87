"""The zygote knows every action before it forks."""

from __future__ import annotations

from tandem.agent import Agent, action
from tandem.supervise.warm_up import _resolve


class Renamed(Agent):
    """Answers an action that no method of it is called."""

    @action(name="STOP_SPEAKING")
    async def fall_silent(self) -> int:
        return 0


def test_an_action_may_be_called_otherwise_than_its_method() -> None:
    """An action's name need not be an attribute of its class: the method that answers it is what is resolved."""
    assert not hasattr(Renamed, "STOP_SPEAKING")
    _resolve(Renamed)
