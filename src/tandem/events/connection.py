"""One connection to the machine's nats-server, made again for as long as it is wanted.

nats-py's own reconnecting is switched off: a connection made anew in one place, whose users subscribe again in
one way, cannot end half restored.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import re
import ssl
from collections.abc import Awaitable, Callable

import nats.errors
from nats.aio.client import Client

from tandem.core import clock
from tandem.core.access import NatsAccess
from tandem.core.errors import Unreachable
from tandem.core.tasks import end

log = logging.getLogger(__name__)

CONNECT_TIMEOUT_S = 3
RETRY_FIRST_S = 0.05
RETRY_MAX_S = 1.0
PING_INTERVAL_S = 10
"""With two unanswered pings a stopped server is noticed within 30 s; publishers notice by their own timeouts."""

LOOK_S = 0.5
"""How often a connection is looked at, whose end may not have been told."""

FIRST_CONNECT_S = 5.0
"""A server that is being started with us refuses for a moment; that is no news before this."""

MAX_NOTED = 100
"""Different troubles of one connection that are told apart."""

_DENIED = re.compile(r'permissions violation for publish to "([^"]+)"', re.IGNORECASE)


Listener = Callable[[Client], Awaitable[None]]


class Connection:
    """Keeps one nats-py client connected from :meth:`start` to :meth:`close`.

    Several users of one process share it: they await :meth:`client`, and subscribe anew on every one. ``denied`` holds
    the subjects, in lower case, the server refused to take from us.
    """

    def __init__(self, access: NatsAccess, name: str) -> None:
        self.access = access
        self.name = name
        self.inbox_prefix = access.inbox_prefix or f"_INBOX.{name}"
        self.last_error: str = ""
        self.connects = 0
        self.denied: set[str] = set()
        self._client: Client | None = None
        self._connected = asyncio.Event()
        self._lost = asyncio.Event()
        self._lost_at = clock.monotonic()
        self._listeners: list[Listener] = []
        self._callbacks: list[Callable[[], None]] = []
        self._task: asyncio.Task[None] | None = None
        self._reported: set[str] = set()

    def start(self) -> None:
        """Begin connecting in the background; does nothing when started already."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep_connected(), name=f"nats:{self.name}")

    async def close(self) -> None:
        """Flush what is buffered and disconnect; idempotent."""
        task, self._task = self._task, None
        await end(task)

    @property
    def connected(self) -> bool:
        return self._connected.is_set()

    @property
    def down_s(self) -> float:
        """Seconds since the connection was lost (or wanted), 0 while connected."""
        return 0.0 if self.connected else clock.monotonic() - self._lost_at

    async def client(self, timeout: float | None = None) -> Client:
        """The connected client; waits up to ``timeout`` seconds (None: for ever).

        Raises :class:`Unreachable` when there is none by then.
        """
        if self._client is not None and self._connected.is_set():
            return self._client
        try:
            async with asyncio.timeout(timeout):
                while self._client is None or not self._connected.is_set():
                    await self._connected.wait()
        except TimeoutError:
            raise Unreachable(
                f"no connection to NATS at {self.access.url}"
                + (f": {self.last_error}" if self.last_error else ""),
                hint="tandem status shows whether the machine's nats-server runs",
            ) from None
        return self._client

    def listen(self, listener: Listener) -> None:
        """Call ``listener`` with every client from the next one on; it must not raise."""
        self._listeners.append(listener)

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever a connection is lost; it must not raise."""
        self._callbacks.append(callback)

    async def lost(self) -> None:
        """Return once the present connection is gone; at once when there is none."""
        if self._connected.is_set():
            await self._lost.wait()

    async def _keep_connected(self) -> None:
        delay = RETRY_FIRST_S
        while True:
            client = Client()
            try:
                # Certificates are read each time, so that renewed ones are taken up.
                await self._connect(client, self._tls())
                delay = RETRY_FIRST_S
                await self._until_lost(client)
            except Exception as error:
                # Whatever it is, somebody may mend it while we run; nothing else would ever connect us again.
                self._note(error)
            finally:
                self._client = None
                self._connected.clear()
                await _close_quietly(client)
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))
            delay = min(delay * 2, RETRY_MAX_S)

    async def _until_lost(self, client: Client) -> None:
        """Return when the connection is gone. nats-py tells, unless something goes wrong while it closes: so we look, too."""
        lost = self._lost
        while not lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await lost.wait()
            if not client.is_connected:
                self._note_lost(lost)

    def _note_lost(self, lost: asyncio.Event) -> None:
        if not lost.is_set():
            self._lost_at = clock.monotonic()
            self._connected.clear()
            lost.set()
            for callback in self._callbacks:
                callback()

    async def _connect(self, client: Client, tls: ssl.SSLContext | None) -> None:
        self._lost = lost = asyncio.Event()

        async def on_closed() -> None:
            # A client that never got through is closed as well, without a connection having been lost.
            if client is self._client:
                self._note_lost(lost)

        connecting: list[Exception] = []

        async def on_error(error: Exception) -> None:
            # What goes wrong while closing is nobody's concern.
            if client is self._client:
                self._note(error)
            elif not self._connected.is_set():
                connecting.append(error)

        seed = self.access.nkey_seed.decode()
        try:
            await client.connect(
                self.access.url,
                name=self.name,
                tls=tls,
                nkeys_seed_str=seed or None,
                inbox_prefix=self.inbox_prefix,
                allow_reconnect=False,
                # Its own second attempt comes at once: the default pause of 2 s would be added to every start.
                max_reconnect_attempts=1,
                reconnect_time_wait=0,
                connect_timeout=CONNECT_TIMEOUT_S,
                ping_interval=PING_INTERVAL_S,
                max_outstanding_pings=2,
                error_cb=on_error,
                closed_cb=on_closed,
            )
        except nats.errors.NoServersError:
            raise connecting[-1] if connecting else Unreachable("no answer") from None
        if not client.is_connected:
            # Its end was told before it was ours, so nobody would ever hear of it.
            raise Unreachable("the connection ended while it was made")
        self._client = client
        self.connects += 1
        self.last_error = ""
        self._reported.clear()
        self.denied.clear()
        self._connected.set()
        for listener in self._listeners:
            await listener(client)

    def _tls(self) -> ssl.SSLContext | None:
        access = self.access
        if not access.ca_file:
            return None
        logging.getLogger("asyncio").addFilter(_useful)
        context = ssl.create_default_context(cafile=access.ca_file)
        context.load_cert_chain(access.cert_file, access.key_file)
        return context

    def _note(self, error: BaseException) -> None:
        """Say each kind of trouble once per outage; a server that is away would otherwise fill the log."""
        self.last_error = str(error) or type(error).__name__
        refused = _DENIED.search(self.last_error)
        if refused and len(self.denied) < MAX_NOTED:
            self.denied.add(refused[1])  # nats-py tells errors in lower case
        if not self.connects and self.down_s < FIRST_CONNECT_S:
            log.debug("NATS at %s: %s", self.access.url, self.last_error)
            return
        kind = f"{type(error).__name__}:{self.last_error}"
        if kind not in self._reported and len(self._reported) < MAX_NOTED:
            self._reported.add(kind)
            log.warning("NATS at %s: %s", self.access.url, self.last_error)


def _useful(record: logging.LogRecord) -> bool:
    """Not asyncio's remark on how nats-py upgrades its stream to TLS, made whenever a server closes a connection."""
    return "eof_received() has no effect when using ssl" not in str(record.msg)


async def _close_quietly(client: Client) -> None:
    try:
        async with asyncio.timeout(2):
            await client.close()
    except (OSError, nats.errors.Error, TimeoutError) as error:
        log.debug("closing the NATS connection: %s", error)
