"""Counts an agent's calls and logs what went wrong in them, so that no agent has to."""

from __future__ import annotations

import logging

from tandem.core.errors import TandemError
from tandem.rpc import BreakerState, Silent
from tandem.telemetry.metrics import Metrics, RequestMetrics

log = logging.getLogger("tandem.rpc")


class CallObserver(Silent):
    """Feeds ``agent_requests_total`` and ``agent_request_duration_seconds``, and the log."""

    def __init__(self, metrics: Metrics, agent: str, machine: str):
        self._requests = RequestMetrics(metrics, agent, machine)

    def on_server_call(self, action: str, started: float, ended: float, error: BaseException | None) -> None:
        self._requests.observe(action, ended - started, _outcome(error))

    def on_unhandled_error(self, action: str, error: BaseException) -> None:
        log.error("%s raised %s: %s", action, type(error).__name__, error, exc_info=error)

    def on_breaker(self, peer: str, state: BreakerState) -> None:
        log.warning("circuit breaker to %s is %s", peer, state.value)


def _outcome(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    return error.code if isinstance(error, TandemError) else "internal"
