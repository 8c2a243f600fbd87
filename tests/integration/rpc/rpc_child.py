"""A service in a process of its own, to be killed: ``python rpc_child.py unix|zmq <listening fd> <address> <log>``."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import uvloop

from tandem.rpc import Server, handlers_from


class Counter:
    """Appends to a file whatever it is asked to, so that every execution is on record."""

    def __init__(self, log: Path):
        self._log = log

    async def note(self, text: str) -> int:
        with self._log.open("a") as log:
            log.write(text + "\n")
        return os.getpid()

    async def slow(self, text: str) -> int:
        await self.note(text)
        await asyncio.sleep(60)
        return os.getpid()

    async def pid(self) -> int:
        return os.getpid()


async def main(kind: str, fd: int, address: str, log: Path) -> None:
    handlers = handlers_from(Counter(log), {"note": False, "slow": False, "pid": True})
    server = Server("Counter@here", handlers)
    if kind == "unix":
        await server.listen_unix(socket.socket(fileno=fd))
    else:
        await server.listen_zmq(endpoint=address, fd=fd, keys=None)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], Path(sys.argv[4])))
