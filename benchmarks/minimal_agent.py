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
    "argparse", "asyncio", "concurrent.futures", "csv", "ctypes", "dataclasses", "decimal", "difflib", "email.message",
    "gzip", "hashlib", "html", "http.client", "http.server", "inspect", "ipaddress", "json", "logging.handlers",
    "mimetypes", "multiprocessing", "pathlib", "pickle", "platform", "queue", "random", "secrets", "shutil", "sqlite3",
    "ssl", "statistics", "subprocess", "tempfile", "textwrap", "threading", "traceback", "typing", "unicodedata",
    "urllib.request", "uuid", "wave", "xml.etree.ElementTree", "zipfile", "zoneinfo",
    "cryptography.x509", "jwt", "msgspec", "nats", "psutil", "redis.asyncio", "rich.console", "uvloop", "yaml",
    "zmq.asyncio", "tandem.agent.run", "tandem.events", "tandem.registry", "tandem.rpc.transports.unix",
    "tandem.rpc.transports.zmq", "tandem.security",
)  # fmt: skip
"""What every process imports, whoever starts it: the standard library's usual suspects, and the libraries of the
platform's own dependencies that agents use."""

for _name in IMPORTS:
    importlib.import_module(_name)


class MinimalAgent(Agent):
    """Answers what every agent answers, and nothing else."""


def main(name: str, path: str) -> int:
    """Serve ``MinimalAgent`` as ``name`` on a unix socket at ``path`` until TERM."""
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
