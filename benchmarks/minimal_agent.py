"""The smallest agent there is, and the same agent as a plain program for other process managers.

Tandem starts ``MinimalAgent`` as it starts any agent: with identity, registry, events and health checks. The others
start ``python minimal_agent.py NAME SOCKET``, which imports the same modules (``IMPORTS``) and answers the same calls
on a unix socket, but has no identity to prove and no lease to keep.
"""

from __future__ import annotations

import importlib
import os
import socket
import sys

from tandem.agent import Agent

IMPORTS = (
    "asyncio", "logging", "uvloop", "msgspec", "zmq", "zmq.asyncio", "nats", "redis.asyncio", "cryptography.x509",
    "tandem.agent.run", "tandem.rpc", "tandem.events", "tandem.registry", "tandem.security",
)  # fmt: skip
"""What every process imports, whoever starts it."""


class MinimalAgent(Agent):
    """Answers what every agent answers, and nothing else."""


def main(name: str, path: str) -> int:
    """Serve ``MinimalAgent`` as ``name`` on a unix socket at ``path`` until TERM."""
    for module in IMPORTS:
        importlib.import_module(module)
    from tandem.agent.run import main as run
    from tandem.agent.spec import AgentSpec

    directory = os.path.dirname(path)
    if os.path.exists(path):
        os.unlink(path)
    door = socket.socket(socket.AF_UNIX)
    door.bind(path)
    door.listen(64)
    spec = AgentSpec(
        name=name,
        machine="bench",
        instance=str(os.getpid()),
        class_path="minimal_agent:MinimalAgent",
        state_dir=os.path.join(directory, "state", name),
        run_dir=directory,
        unix_fd=door.detach(),
    )
    return run(spec)


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    sys.exit(main(sys.argv[1], sys.argv[2]))
