"""PromQL for what the hubs expose. Every query a rule or a dashboard uses stands here, so that one test can try them all."""

from __future__ import annotations

from tandem.telemetry.objectives import Objective, span_name

OWN_FAULTS = "internal|remote|deadline_exceeded|unavailable|overloaded"
"""Outcomes that are the answering agent's failure, as in :mod:`tandem.hub.measure`."""

PLATFORM = "health_check|describe|settings|metrics|ping"
"""Calls of the platform itself."""


def good_ratio(objective: Objective, window_s: float) -> str:
    """The part that was good in the window, by machine; no data where nothing happened."""
    window = span_name(window_s)
    match objective.measure:
        case "health":
            return (
                f"1 - sum by (machine) (rate(tandem_agent_health_check_failures_total[{window}]))"
                f" / (sum by (machine) (rate(tandem_agent_health_checks_total[{window}])) > 0)"
            )
        case "availability":
            return (
                f"clamp_max(sum by (machine) (avg_over_time(tandem_agent_up[{window}]))"
                f" / (sum by (machine) (avg_over_time(tandem_agent_wanted[{window}])) > 0), 1)"
            )
        case "requests":
            failed = f'rate(agent_requests_total{{method!~"{PLATFORM}",outcome=~"{OWN_FAULTS}"}}[{window}])'
            every = f'rate(agent_requests_total{{method!~"{PLATFORM}"}}[{window}])'
            return f"1 - (sum by (machine) ({failed}) or 0 * sum by (machine) ({every})) / (sum by (machine) ({every}) > 0)"
        case "start":
            slow = f"count by (machine) (max_over_time(tandem_agent_start_seconds[{window}]) > {objective.limit_s:g})"
            every = f"count by (machine) (max_over_time(tandem_agent_start_seconds[{window}]))"
            return f"1 - ({slow} or 0 * {every}) / {every}"
        case "turns":
            fast = f'sum by (machine) (rate(tandem_turn_duration_seconds_bucket{{le="{float(objective.limit_s or 0)}"}}[{window}]))'
            failed = f"sum by (machine) (rate(tandem_turn_errors_total[{window}]))"
            every = f"sum by (machine) (rate(tandem_turn_duration_seconds_count[{window}]))"
            return f"clamp_min(({fast} - {failed}) / ({every} > 0), 0)"


AGENTS_UP = "sum by (machine) (tandem_agent_up)"
AGENTS_MISSING = "sum(tandem_agent_wanted) - sum(tandem_agent_up)"
AGENT_MISSING = "tandem_agent_wanted == 1 and tandem_agent_up == 0"
STATES = "count by (state) (tandem_agent_state)"
MEMORY_OF_AGENTS = "sum by (machine) (tandem_agent_memory_bytes)"
CPU_OF_AGENTS = "sum by (machine) (rate(tandem_agent_cpu_seconds_total[5m]))"
TOP_MEMORY = "topk(10, tandem_agent_memory_bytes)"
TOP_CPU = "topk(10, rate(tandem_agent_cpu_seconds_total[5m]))"
REQUESTS = f'sum by (machine) (rate(agent_requests_total{{method!~"{PLATFORM}"}}[5m]))'
REQUEST_P99 = (
    "histogram_quantile(0.99, sum by (le) (rate(agent_request_duration_seconds_bucket"
    f'{{method!~"{PLATFORM}"}}[5m])))'
)
IN_FLIGHT = "sum by (machine) (agent_requests_in_flight)"
RESTARTS = "sum by (machine) (increase(tandem_agent_restarts_total[1h]))"
HEALTH_SLOWEST = "topk(10, tandem_agent_health_check_seconds)"
START_SLOWEST = "topk(10, tandem_agent_start_seconds)"

LINK_UP = "tandem_link_up"
LINK_TRIP = "tandem_link_round_trip_seconds"
LINK_AGE = "tandem_link_age_seconds"
ALERTING = "tandem_hub_alerting"
MACHINE_LOAD = "tandem_machine_load1 / tandem_machine_cores"
MACHINE_MEMORY = "tandem_machine_memory_used_bytes / tandem_machine_memory_bytes"
SERVERS_UP = "tandem_server_up"
SERVER_MEMORY = "tandem_server_memory_bytes"
NATS_MESSAGES = "rate(tandem_nats_received_messages_total[5m])"
NATS_STREAMS = "tandem_nats_stream_bytes"
NATS_PENDING = "topk(10, tandem_nats_consumer_pending)"
VALKEY_MEMORY = "tandem_valkey_used_memory_bytes"
VALKEY_EVICTED = "rate(tandem_valkey_evicted_keys_total[5m])"

GPU_BUDGET = "tandem_gpu_budget_bytes"
GPU_USED = "tandem_gpu_memory_used_bytes"
GPU_SHARE = "tandem_gpu_memory_used_bytes / tandem_gpu_memory_bytes"
NEEDS_GPU = frozenset({GPU_USED, GPU_SHARE})
"""Queries that have data only where an NVIDIA driver answers."""

TURN_P50 = "histogram_quantile(0.5, sum by (le) (rate(tandem_turn_duration_seconds_bucket[15m])))"
TURN_P95 = "histogram_quantile(0.95, sum by (le) (rate(tandem_turn_duration_seconds_bucket[15m])))"
TURNS = "sum by (machine) (increase(tandem_turn_duration_seconds_count[1h]))"
TURN_ERRORS = "sum by (machine) (increase(tandem_turn_errors_total[1h]))"

INCIDENTS = "max by (severity, state) (tandem_incidents)"
ERRORS_BY_SEVERITY = "sum by (severity) (increase(tandem_error_reports_total[1h]))"
ERRORS_BY_AGENT = "topk(10, sum by (agent, machine) (increase(tandem_error_reports_total[1h])))"
FAILED_REQUESTS = (
    "topk(10, sum by (agent, machine) (rate(agent_requests_total"
    f'{{method!~"{PLATFORM}",outcome=~"{OWN_FAULTS}"}}[5m])))'
)

ONE_AGENT = {
    "Up": 'tandem_agent_up{agent="$agent"}',
    "Memory": 'tandem_agent_memory_bytes{agent="$agent"}',
    "Processor": 'rate(tandem_agent_cpu_seconds_total{agent="$agent"}[5m])',
    "Health check": 'tandem_agent_health_check_seconds{agent="$agent"}',
    "Requests": 'sum by (method) (rate(agent_requests_total{agent="$agent"}[5m]))',
    "Outcomes": 'sum by (outcome) (rate(agent_requests_total{agent="$agent"}[5m]))',
    "Duration p95": 'histogram_quantile(0.95, sum by (le, method) (rate(agent_request_duration_seconds_bucket{agent="$agent"}[5m])))',
    "Being answered": 'agent_requests_in_flight{agent="$agent"}',
    "Restarts": 'tandem_agent_restarts_total{agent="$agent"}',
    "Start": 'tandem_agent_start_seconds{agent="$agent"}',
}
"""Panels of one agent's dashboard; ``$agent`` is the dashboard's variable."""
