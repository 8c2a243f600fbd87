"""An agent that tells who calls it."""

from __future__ import annotations

from tandem.agent import Agent, action, current_principal


class Doorman(Agent):
    """Says whom it takes its caller for."""

    @action(idempotent=True)
    async def who(self) -> str:
        principal = current_principal()
        return f"{principal.kind} {principal.name}" if principal is not None else "nobody"
