"""Scrape configuration and rules for Prometheus."""

from __future__ import annotations

from typing import Any

from tandem.export import queries
from tandem.export.files import File, yaml_file
from tandem.fleet.model import AgentConfig, Fleet
from tandem.telemetry.objectives import (
    BURNS,
    DEFAULT_OBJECTIVES,
    WINDOWS_S,
    Burn,
    Objective,
    promised,
    span_name,
)

SCRAPE_S = 15


def render(fleet: Fleet, objectives: tuple[Objective, ...] = DEFAULT_OBJECTIVES) -> list[File]:
    """``prometheus.yml`` and ``tandem.rules.yml``."""
    return [
        yaml_file("prometheus.yml", scrape_configuration(fleet)),
        yaml_file("tandem.rules.yml", {"groups": rules(objectives)}),
    ]


def hubs(fleet: Fleet) -> list[AgentConfig]:
    """Agents that serve metrics by HTTP, in the order of the file."""
    return [agent for agent in fleet.agents.values() if agent.observer and agent.speaks == "http" and agent.port]


def scrape_configuration(fleet: Fleet) -> dict[str, Any]:
    """One job for each machine. A hub listens on loopback; other computers' metrics come through the hub that is here."""
    serving = hubs(fleet)
    local = {hub.machine: hub for hub in serving if fleet.machines[hub.machine].is_here}
    door = next(iter(local.values()), serving[0] if serving else None)
    jobs = []
    for hub in serving:
        through = local.get(hub.machine) or door
        assert through is not None
        job: dict[str, Any] = {
            "job_name": f"tandem-{hub.machine}",
            "static_configs": [{"targets": [f"localhost:{through.port}"], "labels": {"fleet": fleet.name, "machine": hub.machine}}],
        }
        if through.machine != hub.machine:
            job["params"] = {"machine": [hub.machine]}
        # Every series names its machine itself.
        job["honor_labels"] = True
        jobs.append(job)
    return {
        "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
        "rule_files": ["tandem.rules.yml"],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": ["localhost:9093"]}]}]},
        "scrape_configs": jobs,
    }


def rules(objectives: tuple[Objective, ...]) -> list[dict[str, Any]]:
    """Recording rules of every objective and window, their burn-rate alerts, and alerts about plain facts."""
    recorded = [
        {"record": record_name(objective, window), "expr": queries.good_ratio(objective, window)}
        for objective in objectives
        for window in WINDOWS_S
    ]
    burning = [_burning(objective, burn) for objective in objectives for burn in BURNS]
    return [
        {"name": "tandem-objectives", "interval": "30s", "rules": recorded},
        {"name": "tandem-burn-rates", "rules": burning},
        {"name": "tandem-facts", "rules": _facts()},
    ]


def record_name(objective: Objective, window_s: float) -> str:
    """Level, metric and operation, as Prometheus's naming practice has it."""
    return f"machine:tandem_{objective.measure}:ratio_{span_name(window_s)}"


def _burning(objective: Objective, burn: Burn) -> dict[str, Any]:
    bound = round(objective.budget * burn.rate, 6)
    long, short = (record_name(objective, window) for window in (burn.long_s, burn.short_s))
    return {
        "alert": f"Tandem{objective.measure.capitalize()}Burning{span_name(burn.long_s)}",
        "expr": f"1 - {long} > {min(bound, 0.999999):g} and 1 - {short} > {min(bound, 0.999999):g}",
        "labels": {"severity": burn.severity, "objective": objective.measure},
        "annotations": {
            "summary": f"{promised(objective)} is being missed on {{{{ $labels.machine }}}}",
            "description": f"The budget is spent more than {burn.rate:g} times too fast over "
            f"{span_name(burn.long_s)} and {span_name(burn.short_s)}.",
        },
    }


def _facts() -> list[dict[str, Any]]:
    facts = (
        ("TandemHubSilent", 'up{job=~"tandem-.*"} == 0', "1m", "critical", "No metrics of {{ $labels.job }}"),
        ("TandemAgentDown", queries.AGENT_MISSING, "1m", "critical", "{{ $labels.agent }} on {{ $labels.machine }} is down"),
        ("TandemAgentRestarting", "increase(tandem_agent_restarts_total[10m]) > 3", "0m", "warning",
         "{{ $labels.agent }} on {{ $labels.machine }} restarts again and again"),
        ("TandemServerDown", "tandem_server_up == 0", "30s", "critical", "{{ $labels.server }} on {{ $labels.machine }} is down"),
        ("TandemLinkDown", "tandem_link_up == 0", "1m", "warning", "{{ $labels.machine }} does not hear {{ $labels.peer }}"),
        ("TandemNodeDown", "tandem_node_up == 0", "1m", "critical", "The node of {{ $labels.machine }} does not answer"),
        ("TandemMemoryLow", "tandem_machine_memory_used_bytes / tandem_machine_memory_bytes > 0.95", "5m", "warning",
         "{{ $labels.machine }} is short of memory"),
        ("TandemQueueGrowing", "min_over_time(tandem_nats_consumer_pending[10m]) > 1000", "0m", "warning",
         "{{ $labels.consumer }} on {{ $labels.machine }} does not keep up"),
    )  # fmt: skip
    return [
        {"alert": name, "expr": expr, "for": wait, "labels": {"severity": severity}, "annotations": {"summary": summary}}
        for name, expr, wait, severity, summary in facts
    ]
