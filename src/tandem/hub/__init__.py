"""The observability hub: what a person sees of the whole fleet.

hub        the agent class, one per machine
view       the fleet as pages and the API see it
http gate serving     the HTTP server and who may do what there
picture watch nodes siblings    what is known of each machine, and how
turns      traces, kept for days
lease      which hub sends alerts
contract incidents bridge routes    the incident desk and its surroundings
"""

from tandem.hub.contract import Incidents
from tandem.hub.hub import Hub
from tandem.hub.incidents import IncidentHub

__all__ = ["Hub", "IncidentHub", "Incidents"]
