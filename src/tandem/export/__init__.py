"""Pure renderers: what a fleet file means to other tools, as files.

files       what a renderer returns
queries     the Prometheus queries all of them share, in one place
prometheus  scrape configuration, recording and alerting rules
alerts      Alertmanager routes
grafana     dashboards
"""

from tandem.export.files import File

__all__ = ["File"]
