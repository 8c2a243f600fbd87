"""The observability hub: what a person sees of the whole fleet.

hub        the agent class, one per machine
view       the fleet as pages and the API see it
http gate serving     the HTTP server and who may do what there
picture watch nodes tails changes   what is known of each machine, and how
collector measure series servers    what is measured, and kept for months
exposition the same for Prometheus
turns otlp traces, kept for days and sent on
judging objectives predict          promises kept or missed, faults foreseen
monitor recovery                    the agent class that acts on it
siblings records lease              what hubs tell each other: live, for certain, and who sends alerts
contract incidents bridge routes    the incident desk and its surroundings
"""

from tandem.hub.contract import Incidents
from tandem.hub.hub import Hub
from tandem.hub.incidents import IncidentHub
from tandem.hub.monitor import HealthMonitor

__all__ = ["HealthMonitor", "Hub", "IncidentHub", "Incidents"]
