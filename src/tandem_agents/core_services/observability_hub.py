"""Control room of the fleet."""

from __future__ import annotations

from tandem.api import IncidentHub


class ObservabilityHub(IncidentHub):
    """Keeps the fleet's incidents: what went wrong, why, whom it hits, and who takes care of it. Runs once per machine."""
