"""An agent's life, whatever carries its messages: used by real processes and by the testing kit alike."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import msgspec

from tandem.agent.base import Agent
from tandem.agent.context import AgentContext
from tandem.agent.declare import Declarations, action, declarations
from tandem.agent.describe import Description, describe_actions, first_line, timers, topics
from tandem.core import clock
from tandem.core.errors import ConfigError
from tandem.core.health import HealthReport, Issue, Status, judge
from tandem.rpc import Handler, handler_of
from tandem.security import concealed

CHECK_TIMEOUT_S = 5.0
"""An agent whose own check takes longer is unhealthy: whoever asks must not wait for ever."""

Subscribe = Callable[[type[Any], Callable[[Any], Awaitable[None]]], Awaitable[None]]


class Runtime:
    """Binds an agent to its context, gates its actions until it has started, and judges its health."""

    def __init__(
        self,
        agent: Agent,
        context: AgentContext,
        settings: Any,
        extra_issues: Callable[[], Iterable[Issue]] = tuple,
        metrics: Callable[[], str] = str,
    ):
        agent.settings = settings
        agent._context = context
        self.agent = agent
        self.context = context
        self.declared: Declarations = declarations(type(agent))
        self.status = Status.STARTING
        self._extra_issues = extra_issues
        self.metrics = metrics
        self._own = _handlers(agent, self.declared)
        self._started = asyncio.Event()
        self._must_stop = False
        self.handlers: dict[str, Handler] = {name: self._gated(handler) for name, handler in self._own.items()}
        self.handlers.update(_built_in(self))

    async def start(self, subscribe: Subscribe) -> None:
        """Run the author's ``start``, then open the gate, follow the events and start the timers."""
        await self.agent.prepare()
        await self.become_ready()
        await self.take_up(subscribe)

    async def become_ready(self) -> None:
        """Run the author's ``start`` and open the gate to calls."""
        self._must_stop = True
        await self.agent.start()
        self._started.set()
        self.status = Status.HEALTHY

    async def take_up(self, subscribe: Subscribe) -> None:
        """Follow the events and start the timers."""
        for method, mark in self.declared.subscriptions:
            await subscribe(mark.event, self._reported(method))
        for method, timer in self.declared.timers:
            self.context.background.every(timer.period_s, getattr(self.agent, method), method)

    async def stop(self) -> None:
        """End timers and tasks, then run the author's ``stop`` if its ``start`` was ever called."""
        self.status = Status.STOPPING
        await self.context.background.close()
        if self._must_stop:
            await self.agent.stop()

    async def health(self) -> HealthReport:
        """Ask the agent how it is; a check that raises or hangs is itself a blocking issue."""
        issues: list[Issue] = []
        capabilities: list[str] = []
        # Before it has started, an agent's own methods would miss what its start() makes.
        if self._started.is_set():
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S):
                    issues.extend(await self.agent.check())
                capabilities = self.agent.capabilities
            except TimeoutError:
                issues.append(Issue(f"its own check took longer than {CHECK_TIMEOUT_S:g} s", blocking=True))
            except Exception as error:
                self.context.log.exception("check failed")
                issues.append(Issue(f"its own check failed: {type(error).__name__}: {error}", blocking=True))
        issues.extend(self.context.background.issues())
        issues.extend(self._extra_issues())
        issues = [
            msgspec.structs.replace(issue, message=concealed(issue.message), fix=concealed(issue.fix))
            for issue in issues
        ]
        settled = self.status in (Status.STARTING, Status.STOPPING)
        return HealthReport(
            status=self.status if settled else judge(issues),
            service=self.context.name,
            machine=self.context.machine,
            timestamp=clock.wall(),
            issues=issues,
            capabilities=capabilities,
        )

    def describe(self) -> Description:
        return Description(
            agent=self.context.name,
            machine=self.context.machine,
            instance=self.context.instance,
            purpose=first_line(type(self.agent)),
            actions=describe_actions(self._own),
            events=topics(self.declared),
            timers=timers(self.declared),
        )

    def _reported(self, method: str) -> Callable[[Any], Awaitable[None]]:
        """An event handler whose failures reach the error bus; whoever delivers the event retries."""
        handle = getattr(self.agent, method)

        async def handler(event: Any) -> None:
            try:
                await handle(event)
            except Exception as error:
                self.context.report(error, context={"event": type(event).topic, "handler": method})
                raise

        return handler

    def _gated(self, handler: Handler) -> Handler:
        """``handler`` whose callers wait, within their own budget, until the agent has started."""
        call, started = handler.call, self._started

        async def stream_later(*args: Any, **kwargs: Any) -> AsyncIterator[Any]:
            await started.wait()
            async for item in call(*args, **kwargs):
                yield item

        async def call_later(*args: Any, **kwargs: Any) -> Any:
            await started.wait()
            return await call(*args, **kwargs)

        later = stream_later if handler.stream else call_later

        def gate(*args: Any, **kwargs: Any) -> Any:
            return call(*args, **kwargs) if started.is_set() else later(*args, **kwargs)

        return msgspec.structs.replace(handler, call=gate)


class _BuiltIn:
    """Actions every agent answers without a line of its own."""

    def __init__(self, runtime: Runtime):
        self._runtime = runtime

    @action(idempotent=True)
    async def health_check(self) -> HealthReport:
        return await self._runtime.health()

    @action(idempotent=True)
    async def describe(self) -> Description:
        return self._runtime.describe()

    @action(idempotent=True)
    async def settings(self) -> dict[str, Any]:
        built: dict[str, Any] = concealed(msgspec.to_builtins(self._runtime.agent.settings))
        return built

    @action(idempotent=True)
    async def metrics(self) -> str:
        """This process's metrics as Prometheus text."""
        return self._runtime.metrics()

    @action(idempotent=True)
    async def ping(self) -> str:
        return "pong"


def _built_in(runtime: Runtime) -> dict[str, Handler]:
    return _handlers(_BuiltIn(runtime), declarations(_BuiltIn))


def _handlers(owner: object, declared: Declarations) -> dict[str, Handler]:
    return {
        name: handler_of(getattr(owner, mark.method), name=name, idempotent=mark.idempotent)
        for name, mark in declared.actions.items()
    }


def make_settings(agent: type[Agent], values: dict[str, Any]) -> Any:
    """``values`` of the fleet file as the agent's ``Settings``.

    Raises :class:`ConfigError` naming the setting that does not fit.
    """
    try:
        return msgspec.convert(values, agent.Settings, strict=False)
    except msgspec.ValidationError as error:
        raise ConfigError(f"settings of {agent.__name__}: {error}", hint="tandem config validate shows the line") from None
