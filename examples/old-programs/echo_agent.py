"""An agent of ours that old clients reach through the bridge."""

from tandem.agent import Agent, action


class Echo(Agent):
    """Says things again."""

    @action(idempotent=True)
    async def echo(self, text: str) -> str:
        return text
