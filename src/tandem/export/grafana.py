"""Grafana dashboards: fleet, agent, machine, GPU, turns, errors; and how Grafana finds them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from tandem.export import queries as q
from tandem.export.files import File, yaml_file
from tandem.export.prometheus import record_name
from tandem.fleet.model import Fleet
from tandem.telemetry.objectives import DEFAULT_OBJECTIVES, HOUR_S, promised

SCHEMA = 39
"""Of the dashboard's JSON: Grafana 10.4 and later read it as it is."""

WIDTH, HEIGHT, ACROSS = 8, 8, 3
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Panel(Struct, frozen=True):
    """``unit`` as Grafana names it: s, bytes, percentunit, reqps, short. ``kind``: timeseries, stat, or table."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: str = "timeseries"


def render(fleet: Fleet) -> list[File]:
    """``dashboards/*.json`` and ``provisioning.yml``."""
    files = [
        File(f"dashboards/tandem-{name}.json", json.dumps(_dashboard(fleet, name, title, panels), indent=2) + "\n")
        for name, (title, panels) in dashboards().items()
    ]
    provider = {"name": "tandem", "type": "file", "options": {"path": "/var/lib/grafana/dashboards/tandem"}}
    return [*files, yaml_file("provisioning.yml", {"apiVersion": 1, "providers": [provider]})]


def dashboards() -> dict[str, tuple[str, list[Panel]]]:
    """Short name to title and panels."""
    machine, agent = "{{machine}}", "{{agent}} {{machine}}"
    kept = {promised(o): record_name(o, HOUR_S) for o in DEFAULT_OBJECTIVES}
    return {
        "fleet": ("Tandem: fleet", [
            Panel("Agents that should be up and are not", {"missing": q.AGENTS_MISSING}, kind="stat"),
            Panel("Agents up", {machine: q.AGENTS_UP}),
            Panel("States", {"{{state}}": q.STATES}),
            Panel("Objectives over an hour", {f"{name} {machine}": record for name, record in kept.items()}, "percentunit"),
            Panel("Requests", {machine: q.REQUESTS}, "reqps"),
            Panel("Requests, p99", {"p99": q.REQUEST_P99}, "s"),
            Panel("Being answered", {machine: q.IN_FLIGHT}),
            Panel("Restarts in an hour", {machine: q.RESTARTS}),
            Panel("Link", {"{{machine}} hears {{peer}}": q.LINK_UP}),
        ]),
        "agent": ("Tandem: agent", [
            Panel(title, {_legend(expr): expr}, _unit(title)) for title, expr in q.ONE_AGENT.items()
        ]),
        "machine": ("Tandem: machine", [
            Panel("Load per core", {machine: q.MACHINE_LOAD}, "percentunit"),
            Panel("Memory used", {machine: q.MACHINE_MEMORY}, "percentunit"),
            Panel("Memory of agents", {machine: q.MEMORY_OF_AGENTS}, "bytes"),
            Panel("Processors of agents", {machine: q.CPU_OF_AGENTS}),
            Panel("Largest agents", {agent: q.TOP_MEMORY}, "bytes"),
            Panel("Busiest agents", {agent: q.TOP_CPU}),
            Panel("Slowest to start", {agent: q.START_SLOWEST}, "s"),
            Panel("Slowest health checks", {agent: q.HEALTH_SLOWEST}, "s"),
            Panel("Servers", {"{{server}} {{machine}}": q.SERVERS_UP}),
            Panel("Memory of servers", {"{{server}} {{machine}}": q.SERVER_MEMORY}, "bytes"),
            Panel("NATS: messages", {machine: q.NATS_MESSAGES}, "reqps"),
            Panel("NATS: streams", {"{{stream}} {{machine}}": q.NATS_STREAMS}, "bytes"),
            Panel("NATS: waiting for a consumer", {"{{consumer}} {{machine}}": q.NATS_PENDING}),
            Panel("Valkey: memory", {"{{server}} {{machine}}": q.VALKEY_MEMORY}, "bytes"),
            Panel("Valkey: evicted keys", {"{{server}} {{machine}}": q.VALKEY_EVICTED}, "reqps"),
            Panel("Link: round trip", {"{{machine}} to {{peer}}": q.LINK_TRIP}, "s"),
            Panel("Link: age of what is known", {"{{machine}} of {{peer}}": q.LINK_AGE}, "s"),
            Panel("Hub that sends alerts", {machine: q.ALERTING}),
        ]),
        "gpu": ("Tandem: GPU", [
            Panel("Budget of models", {machine: q.GPU_BUDGET}, "bytes"),
            Panel("Memory in use", {"{{device}} {{machine}}": q.GPU_USED}, "bytes"),
            Panel("Share in use", {"{{device}} {{machine}}": q.GPU_SHARE}, "percentunit"),
        ]),
        "turns": ("Tandem: turns", [
            Panel("Length of turns", {"half are faster": q.TURN_P50, "19 of 20 are faster": q.TURN_P95}, "s"),
            Panel("Turns in an hour", {machine: q.TURNS}),
            Panel("Turns in an hour that ended in an error", {machine: q.TURN_ERRORS}),
        ]),
        "errors": ("Tandem: errors", [
            Panel("Live incidents", {"{{severity}} {{state}}": q.INCIDENTS}),
            Panel("Errors in an hour", {"{{severity}}": q.ERRORS_BY_SEVERITY}),
            Panel("Errors in an hour, by agent", {agent: q.ERRORS_BY_AGENT}),
            Panel("Requests that failed by the agent's own fault", {agent: q.FAILED_REQUESTS}, "reqps"),
        ]),
    }  # fmt: skip


def expressions() -> list[str]:
    """Every query of every dashboard."""
    return [expr for _, panels in dashboards().values() for panel in panels for expr in panel.queries.values()]


def _dashboard(fleet: Fleet, name: str, title: str, panels: Iterable[Panel]) -> dict[str, Any]:
    variables: list[dict[str, Any]] = [{"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source"}]
    if name == "agent":
        variables.append(
            {
                "name": "agent", "type": "query", "label": "Agent", "datasource": _DATASOURCE, "refresh": 2,
                "query": {"query": "label_values(tandem_agent_up, agent)", "refId": "agent"}, "sort": 1,
            }
        )  # fmt: skip
    return {
        "uid": f"tandem-{name}",
        "title": title,
        "tags": ["tandem", fleet.name],
        "timezone": "browser",
        "schemaVersion": SCHEMA,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": variables},
        "panels": [_panel(number, panel) for number, panel in enumerate(panels)],
    }


def _panel(number: int, panel: Panel) -> dict[str, Any]:
    row, column = divmod(number, ACROSS)
    return {
        "id": number + 1,
        "type": panel.kind,
        "title": panel.title,
        "datasource": _DATASOURCE,
        "gridPos": {"x": column * WIDTH, "y": row * HEIGHT, "w": WIDTH, "h": HEIGHT},
        "fieldConfig": {"defaults": {"unit": panel.unit, "min": 0}, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}} if panel.kind == "timeseries" else {},
        "targets": [
            {"refId": chr(ord("A") + position), "expr": expr, "legendFormat": legend, "datasource": _DATASOURCE}
            for position, (legend, expr) in enumerate(panel.queries.items())
        ],
    }


def _legend(expr: str) -> str:
    for label in ("method", "outcome"):
        if f"by ({label})" in expr or f"le, {label}" in expr:
            return "{{" + label + "}}"
    return "{{machine}}"


def _unit(title: str) -> str:
    units = {"Memory": "bytes", "Health check": "s", "Requests": "reqps", "Outcomes": "reqps", "Duration p95": "s", "Start": "s"}
    return units.get(title, "short")
