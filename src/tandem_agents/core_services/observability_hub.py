"""Control room of the fleet."""

from __future__ import annotations

from tandem.api import Hub


class ObservabilityHub(Hub):
    """Sees every agent of both machines: health, figures, turns and incidents, by HTTP, and lets the operator act. Runs once per machine."""
