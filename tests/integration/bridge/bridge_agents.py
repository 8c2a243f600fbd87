"""Who old clients talk to in the tests of the bridge."""

from __future__ import annotations

from tandem.agent import Agent, action


class Greeter(Agent):
    """Greets."""

    @action(idempotent=True)
    async def greet(self, name: str) -> str:
        return f"Hello, {name}"

    @action
    async def fail(self) -> str:
        raise ValueError("no tea")
