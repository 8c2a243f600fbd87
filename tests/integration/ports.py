"""TCP ports for the servers that tests start."""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterator

FIRST_PORT = 61_000
"""Above what the kernel gives to outgoing connections and to whoever asks for any port (32768 to 60999 by default), and above
the ports of whole fleets, which are all below."""


def _shares() -> Iterator[int]:
    """This worker's share of the ports, each once a round, so that workers never choose the same one."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    ports = list(range(FIRST_PORT + int(worker), 65_536, int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))
    # Not the generator that Hypothesis seeds: sessions beside each other would choose alike.
    random.SystemRandom().shuffle(ports)
    while True:
        yield from ports


_share = _shares()


def free_port() -> int:
    """A TCP port nobody listens on, and that nobody else is likely to be given before it is used."""
    for port in _share:
        with socket.socket() as probe:
            # As servers do: a connection that has ended does not keep its port.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("no free port")
