"""An agent that tells who calls it, and one that calls it."""

from __future__ import annotations

from tandem.agent import Agent, action, current_principal
from tandem.core.errors import TandemError


class Doorman(Agent):
    """Says whom it takes its caller for."""

    @action(idempotent=True)
    async def who(self) -> str:
        principal = current_principal()
        return f"{principal.kind} {principal.name}" if principal is not None else "nobody"


class Visitor(Agent):
    """Calls the doorman as any agent calls another."""

    @action
    async def knock(self, action: str = "who") -> str:
        """What the doorman says, or why it does not."""
        try:
            return str(await getattr(self.peer("Doorman"), action)())
        except TandemError as error:
            return f"{error.code}: {error.message} ({error.hint})"
