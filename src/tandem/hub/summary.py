"""The fleet in a few numbers."""

from __future__ import annotations

from typing import Any

from tandem.hub.contract import HUB
from tandem.hub.picture import FleetPicture


def summarise(picture: FleetPicture) -> dict[str, Any]:
    """The fleet in a few numbers, for a monitor that knows nothing of us."""
    required = [agent for agent in picture.agents() if agent.required]
    healthy = all(agent.verdict in ("up", "off") for agent in required) and all(
        machine.reach != "lost" for machine in picture.machines
    )
    return {
        "status": "healthy" if healthy else "degraded",
        "service": HUB,
        "machine": picture.seen_by.partition("@")[2],
        "timestamp": picture.at,
        "machines": {
            machine.machine: {
                "reach": machine.reach,
                "age_s": round(picture.at - machine.at, 3) if machine.at else None,
                "agents": len(machine.agents),
                "up": sum(agent.verdict == "up" for agent in machine.agents),
                "degraded": [agent.name for agent in machine.agents if agent.state == "degraded"],
                "trouble": [agent.name for agent in machine.agents if agent.verdict == "trouble"],
                "off": [agent.name for agent in machine.agents if agent.verdict == "off"],
            }
            for machine in picture.machines
        },
    }
