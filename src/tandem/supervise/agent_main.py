"""Where a forked agent begins."""

from __future__ import annotations

import msgspec

from tandem.agent.run import main as run
from tandem.agent.spec import AgentSpec


def main(payload: bytes) -> int:
    """Run the agent the payload describes; its exit status."""
    return run(msgspec.msgpack.decode(payload, type=AgentSpec))
