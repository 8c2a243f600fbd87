"""The class an agent's author derives from."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Mapping
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any, TypeVar, overload

from msgspec import Struct

from tandem.core.health import Issue
from tandem.errors import Receipt, Severity

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from tandem.agent.context import AgentContext
    from tandem.agent.observing import Observation
    from tandem.events import Event
    from tandem.registry import Lease

P = TypeVar("P")


class Agent:
    """One supervised unit of work with actions, events and timers.

    Derive, declare a nested ``Settings`` Struct if there is anything to configure, and mark methods with
    ``@action``, ``@on`` and ``@every``. Do not override ``__init__``: what needs the running platform belongs in
    :meth:`start`, which must return only when the agent can do its job.
    """

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        """Filled from the ``settings:`` of the fleet file."""

    settings: Any
    """The instance of ``Settings`` this agent runs with."""

    _context: AgentContext

    async def prepare(self) -> None:
        """Load what two instances may have at the same time, such as a model. Runs before :meth:`start`; in an upgrade
        by handover while the older instance still serves, which shortens the time in which calls wait."""

    async def start(self) -> None:
        """Acquire what the job needs. Raising keeps the agent from becoming ready; the supervisor retries."""

    async def stop(self) -> None:
        """Release it again. Runs after the last call has been answered."""

    async def check(self) -> Iterable[Issue]:
        """What is wrong right now; empty means healthy. Called about once a second, so keep it cheap."""
        return ()

    @property
    def name(self) -> str:
        return self._context.name

    @property
    def machine(self) -> str:
        return self._context.machine

    @property
    def log(self) -> logging.Logger:
        return self._context.log

    @property
    def state_dir(self) -> Path:
        """This agent's own directory (0700); survives restarts and upgrades."""
        return self._context.state_dir

    @property
    def epoch(self) -> int:
        """Grows with every instance of an agent that must be single (``update: handover`` or ``stop-first``).

        Known from :meth:`start` on. Durable writes carry it, so that a store refuses whoever was replaced. 0 for an
        agent that may run twice during an upgrade.
        """
        return self._context.epoch

    @property
    def capabilities(self) -> list[str]:
        """Optional abilities this instance has, shown in its health, for example ``["file", "microphone"]``."""
        return []

    @overload
    def peer(self, who: type[P], at: str | None = None) -> P: ...
    @overload
    def peer(self, who: str, at: str | None = None) -> Any: ...
    def peer(self, who: Any, at: str | None = None) -> Any:
        """Another agent, as an object with its actions as methods.

        ``who`` is a contract, or a name (``"Name"`` or ``"Name@machine"``) for an untyped peer that takes keyword
        arguments and returns plain values. ``at`` names another agent that fulfils the same contract, an
        ``Agent@machine``, or a machine only (``"@pc2"``). Calls raise the typed errors of :mod:`tandem.core.errors`.
        """
        return self._context.peers.proxy(who, at)

    async def publish(self, event: Event) -> None:
        """Announce a fact. Returns when this machine's event store has it on disk.

        Raises :class:`~tandem.core.errors.Unreachable` when the store stays away for the whole time budget.
        """
        await self._context.publish(event)

    def starting(self, text: str, seconds: float = 0.0) -> None:
        """Say, within :meth:`start`, what it is busy with; with ``seconds``, that it may need so long from now on.

        ``tandem status`` shows the words. The start deadline is moved, never to an earlier time.
        """
        self._context.starting(text, seconds)

    def spawn(self, work: Coroutine[Any, Any, None], name: str | None = None) -> asyncio.Task[None]:
        """Run ``work`` beside the calls until it ends or the agent stops; its failure is logged and shown in the health."""
        return self._context.background.spawn(work, name)

    def report_error(
        self,
        error_type: str | BaseException = "",
        message: str = "",
        severity: str | Mapping[str, Any] = Severity.ERROR,
        context: Mapping[str, Any] | None = None,
        *,
        durable: bool = False,
    ) -> Receipt:
        """Tell the error bus of an exception or of anything else that went wrong. From any thread; never waits.

        ``severity`` is debug, info, warning, error or critical; ``context`` holds plain values. The older form
        ``(severity, message, context)`` is understood too. What the receipt calls accepted survives kill -9 of this
        process. With ``durable=True`` it also survives power loss, once the receipt has been awaited (without a
        running loop: once this returns); :class:`~tandem.core.errors.Unavailable` says that it does not.
        Unhandled exceptions of actions, event handlers, timers and tasks are reported without a line of yours.
        """
        return self._context.report(error_type, message, severity, context, durable=durable)

    def observe(self) -> Observation:
        """The whole fleet's errors and dependencies, for an observability hub.

        Raises :class:`~tandem.core.errors.PermissionDenied` unless the fleet file says ``observer: true``, and
        :class:`~tandem.core.errors.Unavailable` when this fleet runs no event server.
        """
        return self._context.observe()

    def door(self) -> socket | None:
        """The listening TCP socket of the ``port:`` whose fleet file entry says ``speaks: http``, for the agent to serve.

        It outlives this process, so that clients wait while it restarts. None without such a port; ask once.
        """
        return self._context.door()

    def cache(self) -> Redis:
        """The machine's cache server: fast, shared, forgetful.

        Raises :class:`~tandem.core.errors.Unavailable` when this fleet runs none.
        """
        return self._context.cache()

    async def directory(self) -> list[Lease]:
        """Every agent of the fleet that has announced itself, on this machine and the others.

        Raises :class:`~tandem.core.errors.Unreachable` while the registry is away, and
        :class:`~tandem.core.errors.Unavailable` when this fleet runs none.
        """
        return await self._context.directory()
