"""What every agent has to report errors with: a call that only appends to the spool, and a shipper behind it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Generator, Iterable, Mapping
from contextvars import Context
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tandem.core.errors import TandemError, Unavailable
from tandem.core.health import Issue
from tandem.core.ids import AgentId
from tandem.core.tasks import end
from tandem.errors.report import ErrorReport, Words, make_report, understand
from tandem.errors.severity import Severity
from tandem.errors.spool import DEFAULT_LIMIT, MAX_SPOOLS, Spool, open_spool
from tandem.events import ERRORS

log = logging.getLogger(__name__)

GATHER_S = 0.02
"""Reports of one moment travel together."""

BATCH_RECORDS = 256
BATCH_BYTES = 256 * 1024
"""Well below the server's limit of 1 MiB for a message."""

ATTEMPT_S = 30.0
"""Budget of one publish; below the two minutes within which the stream recognises a repeated one."""

RETRY_FIRST_S = 0.5
RETRY_MAX_S = 15.0
LAST_CHANCE_S = 1.0
"""How long a stopping agent tries to ship what is left; the next instance ships the rest."""

FULL_IS_AN_ISSUE = 0.5

_encode = msgspec.json.Encoder().encode


class Ships(Protocol):
    """What stores a message for good; see :class:`tandem.events.Publisher`."""

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str], *, timeout: float | None = None
    ) -> Any:
        """Return when it is stored; raise :class:`TandemError` when it is not."""
        ...


class Receipt:
    """Proof that a report was taken: ``accepted`` is False when neither spool nor disk had room for it.

    Awaiting it waits for the disk if the report was made with ``durable=True``, and gives the receipt.
    """

    __slots__ = ("_sync", "accepted", "id")

    def __init__(self, report_id: str, accepted: bool, sync: Callable[[], None] | None = None):
        self.id = report_id
        self.accepted = accepted
        self._sync = sync

    def __await__(self) -> Generator[Any, None, Receipt]:
        return self._wait().__await__()

    async def _wait(self) -> Receipt:
        if self._sync is not None:
            sync, self._sync = self._sync, None
            await asyncio.to_thread(sync)
        return self


def subject_of(reporter: AgentId, severity: Severity) -> str:
    """Where reports made by ``reporter`` travel."""
    return f"{ERRORS.prefix}.{reporter.machine}.{reporter.name}.{severity}"


class ErrorClient:
    """Reports of one process. :meth:`report` may be called from any thread; the rest belongs to the loop.

    Nothing is opened before there is something to report or to ship. ``publisher`` gives what ships it; None in its
    place keeps everything in the spool.
    """

    def __init__(
        self,
        reporter: AgentId,
        root: Path,
        publisher: Callable[[], Ships] | None,
        *,
        limit: int = DEFAULT_LIMIT,
    ):
        self.reporter = reporter
        self.lost = 0
        """Reports that could not even be counted on disk."""
        self._root: Path | None = root
        self._limit = limit
        self._publisher = publisher
        self._opening = threading.Lock()
        self._own: Spool | None = None
        self._left: list[Spool] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._idle = True
        self._shipping: asyncio.Task[None] | None = None
        self._fault = ""

    def start(self) -> None:
        """Ship from now on, beginning with what earlier instances left. Call it on the loop."""
        self._loop = asyncio.get_running_loop()
        if self._root is None or not self._root.is_dir():
            return
        spool = self._spool()
        if spool is not None:
            self._adopt()
            if self._left or spool.waiting or spool.dropped():
                self._wake()

    def report(
        self,
        error_type: str | BaseException = "",
        message: str = "",
        severity: str | Mapping[str, Any] = Severity.ERROR,
        context: Mapping[str, Any] | None = None,
        *,
        durable: bool = False,
    ) -> Receipt:
        """See :meth:`tandem.agent.Agent.report_error`."""
        return self.submit(self.make(understand(error_type, message, severity, context)), durable=durable)

    def make(self, words: Words) -> ErrorReport:
        """A report about this process."""
        return make_report(self.reporter, words)

    def submit(self, report: ErrorReport, *, durable: bool = False) -> Receipt:
        """Take a finished report.

        An agent must not fail because it said that something failed, so only a ``durable`` report raises:
        :class:`Unavailable` when the disk does not take it.
        """
        spool = self._spool()
        if spool is None:
            self.lost += 1
            return Receipt(report.id, False)
        accepted = spool.append(report.severity, _encode(report))
        if self._idle and self._loop is not None:
            self._idle = False
            with contextlib.suppress(RuntimeError):  # the loop is closed: the next instance ships it
                self._loop.call_soon_threadsafe(self._wake)
        if not durable:
            return Receipt(report.id, accepted)
        if not accepted:
            raise Unavailable(
                "there is no room for another error report", hint="tandem status shows why they wait"
            )
        if _in_loop():
            return Receipt(report.id, True, lambda: _sync(spool, report.severity))
        _sync(spool, report.severity)
        return Receipt(report.id, True)

    def issues(self) -> Iterable[Issue]:
        """What is wrong with the bus, as seen from here."""
        spool = self._own
        if self.lost:
            yield Issue(f"{self.lost} error reports were lost: {self._root} cannot be written")
        if spool is not None and spool.fill > FULL_IS_AN_ISSUE:
            why = f": {self._fault}" if self._fault else ""
            yield Issue(f"the error spool is {spool.fill:.0%} full{why}", fix="tandem status")

    async def close(self) -> None:
        """Ship what is left if the bus answers soon; what stays is shipped by the next instance."""
        if self._shipping is not None:
            if self._publisher is not None and not self._fault:
                await asyncio.wait({self._shipping}, timeout=LAST_CHANCE_S)
            await end(self._shipping)
        self._loop = None
        with self._opening:
            for spool in (*self._left, *([self._own] if self._own else [])):
                spool.close()
            self._left, self._own, self._publisher, self._root = [], None, None, None

    # ---- spools ----

    def _spool(self) -> Spool | None:
        """The first spool no other instance of this agent uses."""
        if self._own is not None:
            return self._own
        with self._opening:
            if self._own is None:
                try:
                    self._open()
                except (OSError, TandemError) as error:
                    if not self.lost:
                        log.error("no error reports can be kept in %s: %s", self._root, error)
        return self._own

    def _open(self) -> None:
        if self._root is None:
            raise Unavailable("this agent has stopped")
        for number in range(MAX_SPOOLS):
            spool = open_spool(self._root / str(number), self._limit)
            if spool is not None:
                self._own = spool
                return

    def _adopt(self) -> None:
        """Take what instances that are gone have left in spools beside ours."""
        for directory in sorted(self._root.iterdir()) if self._root is not None else ():
            if directory.is_dir():
                # Ours is locked like any other's.
                spool = open_spool(directory, self._limit)
                if spool is not None and (spool.waiting or spool.dropped()):
                    self._left.append(spool)
                elif spool is not None:
                    spool.close()

    # ---- shipping ----

    def _wake(self) -> None:
        if self._loop is None or self._publisher is None:
            return
        if self._shipping is None or self._shipping.done():
            # In a context of its own: whoever reported first would lend it its trace and its deadline.
            self._idle = False
            self._shipping = self._loop.create_task(self._ship(), name="errors:ship", context=Context())

    async def _ship(self) -> None:
        delay = RETRY_FIRST_S
        while self._own is not None and self._publisher is not None:
            try:
                self._adopt()
                await self._ship_all(self._publisher())
            except (TandemError, OSError) as error:
                self._tell(error)
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_MAX_S)
                continue
            self._fault, delay = "", RETRY_FIRST_S
            self._idle = True
            if not self._own.waiting:
                return
            self._idle = False

    async def _ship_all(self, publisher: Ships) -> None:
        assert self._own is not None
        while self._left:
            await self._drain(self._left[0], publisher)
            self._left.pop(0).close()
        await asyncio.sleep(GATHER_S)
        await self._drain(self._own, publisher)

    async def _drain(self, spool: Spool, publisher: Ships) -> None:
        while True:
            while (batch := spool.batch(BATCH_RECORDS, BATCH_BYTES)) is not None:
                subject = subject_of(self.reporter, batch.severity)
                await publisher.publish(
                    subject, batch.payload(), {"Nats-Msg-Id": batch.name}, timeout=ATTEMPT_S
                )
                spool.acknowledge(batch.last)
            dropped = spool.dropped()
            if not dropped:
                return
            notice = msgspec.structs.replace(self.make(_loss(dropped)), count=sum(dropped.values()))
            # Not by way of the spool, which may be full still.
            subject = subject_of(self.reporter, notice.severity)
            await publisher.publish(subject, _encode([notice]), {"Nats-Msg-Id": notice.id}, timeout=ATTEMPT_S)
            spool.told_dropped(dropped)

    def _tell(self, error: Exception) -> None:
        if str(error) != self._fault:
            self._fault = str(error)
            log.warning("error reports wait in the spool: %s", error)


def _loss(dropped: Mapping[Severity, int]) -> Words:
    counts = {str(severity): count for severity, count in dropped.items()}
    listed = ", ".join(f"{count} {severity}" for severity, count in counts.items())
    worst = max(dropped, key=lambda severity: severity.rank)
    severity = Severity.CRITICAL if worst.rank >= Severity.ERROR.rank else Severity.ERROR
    return Words(
        "ErrorReportsDropped", f"the spool was full; reports were dropped: {listed}", severity, counts, None
    )


def _sync(spool: Spool, severity: Severity) -> None:
    try:
        spool.sync(severity)
    except OSError as error:
        raise Unavailable(f"an error report is not safe on the disk: {error}") from error


def _in_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
