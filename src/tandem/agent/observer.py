"""Counts an agent's calls, logs and reports what went wrong in them, so that no agent has to."""

from __future__ import annotations

import logging

from tandem.agent.background import Report
from tandem.agent.tally import Tally
from tandem.agent.trust import Denials
from tandem.core.errors import Cancelled, Draining, TandemError
from tandem.core.ids import AgentId
from tandem.errors.report import PEER
from tandem.errors.severity import Severity
from tandem.rpc import BreakerState, Silent
from tandem.security import Trail
from tandem.telemetry.metrics import Metrics, RequestMetrics

log = logging.getLogger("tandem.rpc")

NO_ANSWER = frozenset({Cancelled.code, Draining.code})
"""How calls end that say nothing about whoever was called: withdrawn, or passed on to the next instance."""


class CallObserver(Silent):
    """Feeds ``agent_requests_total`` and ``agent_request_duration_seconds``, the log and the error bus."""

    def __init__(
        self, metrics: Metrics, agent: AgentId, report: Report, trail: Trail | None = None, tally: Tally | None = None
    ):
        self._tally = tally or Tally()
        self._requests = RequestMetrics(metrics, agent.name, agent.machine)
        self._report = report
        self._denied = Denials(metrics, agent, trail)

    def on_server_call(self, action: str, started: float, ended: float, error: BaseException | None) -> None:
        outcome = _outcome(error)
        self._requests.observe(action, ended - started, outcome)
        if outcome not in NO_ANSWER:
            self._tally.calls += 1
            self._tally.failed += error is not None

    def on_unhandled_error(self, action: str, error: BaseException) -> None:
        log.error("%s raised %s: %s", action, type(error).__name__, error, exc_info=error)
        self._report(error, context={"action": action})

    def on_denied(self, who: str, action: str, error: TandemError) -> None:
        self._denied(who, action, error)

    def on_breaker(self, peer: str, state: BreakerState) -> None:
        log.warning("circuit breaker to %s is %s", peer, state.value)
        if state is BreakerState.OPEN:
            self._report("PeerUnreachable", f"{peer} cannot be reached", Severity.WARNING, {PEER: peer})


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    return error.code if isinstance(error, TandemError) else "internal"
