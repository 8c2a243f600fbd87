"""What an agent's author uses.

``Agent`` and the decorators declare an agent; ``contract`` declares how others see it; ``testing`` runs agents in
memory and virtual time. Everything else in this package runs them.
"""

from tandem.agent.base import Agent
from tandem.agent.contract import contract
from tandem.agent.declare import action, every, on
from tandem.core.health import Issue
from tandem.events import Event, current_delivery
from tandem.rpc import current_principal
from tandem.telemetry.tracing import current_traceparent, span

__all__ = [
    "Agent",
    "Event",
    "Issue",
    "action",
    "contract",
    "current_delivery",
    "current_principal",
    "current_traceparent",
    "every",
    "on",
    "span",
]
