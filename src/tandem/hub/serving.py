"""Runs the hub's HTTP server inside the agent's own loop, on a socket somebody else holds."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from starlette.types import ASGIApp

from tandem.core.tasks import end

GRACE_S = 2
"""How long requests may go on when the hub stops; live streams end at once."""

MAX_CONNECTIONS = 512


class _Quiet(uvicorn.Server):
    """Signals belong to the agent, which stops us; it waits for ``ready``."""

    def __init__(self, config: uvicorn.Config):
        super().__init__(config)
        self.ready = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Serving:
    """Between :meth:`start` and :meth:`close` the application is served."""

    def __init__(self, app: ASGIApp, door: socket.socket):
        config = uvicorn.Config(
            app,
            http="h11",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=GRACE_S,
        )
        self._server = _Quiet(config)
        self._door = door
        self._task: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        found: int = self._door.getsockname()[1]
        return found

    async def start(self) -> None:
        """Serve; returns when connections are accepted. Raises what keeps the server from starting."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._door]), name="hub:http")
        ready = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, ready}, return_when=asyncio.FIRST_COMPLETED)
        await end(ready)
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        self._server.should_exit = True
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)
