"""The fleet as Prometheus text (exposition format 0.0.4)."""

from __future__ import annotations

from tandem.hub.picture import FleetPicture
from tandem.telemetry.metrics import Metrics

STATES = ("healthy", "degraded", "unhealthy", "starting", "draining", "stopping", "waiting", "backoff", "failed", "stopped", "invalid")


def render(picture: FleetPicture) -> str:
    """What the hub itself knows of its machine's agents."""
    metrics = Metrics()
    up = metrics.gauge("tandem_agent_up", "Whether the agent is up: healthy or degraded", ("agent", "machine", "group"))
    for agent in picture.machines[0].agents:
        up.labels(agent.name, agent.machine, agent.group).set(float(agent.verdict == "up"))
    return metrics.render()
