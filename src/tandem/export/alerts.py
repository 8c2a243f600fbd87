"""Alertmanager: who hears of what. Chat for warnings, pager for critical ones, the next level when nobody cares."""

from __future__ import annotations

from tandem.export.files import File, yaml_file
from tandem.fleet.model import Fleet

SECRETS = "/etc/alertmanager/secrets"
"""Where the rendered configuration looks for addresses and keys; none is written into it."""


def render(fleet: Fleet) -> list[File]:
    """``alertmanager.yml``; put the address of the chat into ``slack`` and the key of the pager into ``pagerduty``."""
    configuration = {
        "route": {
            "receiver": "chat",
            "group_by": ["alertname", "machine"],
            "group_wait": "10s",
            "group_interval": "1m",
            "repeat_interval": "4h",
            "routes": [{"matchers": ['severity="critical"'], "receiver": "pager", "repeat_interval": "10m"}],
        },
        "inhibit_rules": [
            # A machine nobody hears makes everything on it look down.
            {
                "source_matchers": ['alertname=~"TandemNodeDown|TandemHubSilent"'],
                "target_matchers": ['alertname=~"TandemAgentDown|TandemServerDown"'],
                "equal": ["machine"],
            },
            {
                "source_matchers": ['severity="critical"'],
                "target_matchers": ['severity="warning"'],
                "equal": ["objective", "machine"],
            },
        ],
        "receivers": [
            {
                "name": "chat",
                "slack_configs": [
                    {
                        "api_url_file": f"{SECRETS}/slack",
                        "channel": f"#{fleet.name}",
                        "send_resolved": True,
                        "title": "{{ .CommonLabels.alertname }}",
                        "text": "{{ range .Alerts }}{{ .Annotations.summary }}\n{{ end }}",
                    }
                ],
            },
            {
                "name": "pager",
                "pagerduty_configs": [{"routing_key_file": f"{SECRETS}/pagerduty", "send_resolved": True}],
            },
        ],
    }
    return [yaml_file("alertmanager.yml", configuration)]
