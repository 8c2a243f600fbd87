"""Foretells faults of the main machine and mends what restarts alone did not."""

from __future__ import annotations

from tandem.api import HealthMonitor


class PredictiveHealthMonitor(HealthMonitor):
    """Says which agent is about to fail and why, and tries recovery in widening steps; the hub measures, this one acts."""
