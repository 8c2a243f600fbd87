"""The observability hub: what a person sees of the whole fleet.

contract   what its agents answer
incidents  the agent class that runs the incident desk
bridge     an old ZeroMQ error bus
routes     addresses of alerts, with their secrets filled in
"""

from tandem.hub.contract import Incidents
from tandem.hub.incidents import IncidentHub

__all__ = ["IncidentHub", "Incidents"]
