"""This machine as Prometheus text (exposition format 0.0.4): what the hub knows, and what its agents say themselves.

Each hub tells of its own machine only, so that a Prometheus that scrapes both counts nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from tandem.core import clock
from tandem.errors.desk import IncidentView
from tandem.fleet.model import Fleet
from tandem.hub.measure import Seen
from tandem.hub.objectives import Standing
from tandem.hub.picture import FleetPicture, MachinePicture
from tandem.hub.servers import ServerFigures
from tandem.telemetry.metrics import Metrics

MIB = 1024 * 1024
_AGENT = ("agent", "machine", "group")


class Exposition:
    """What goes into one answer of ``/metrics``, added part by part."""

    def __init__(self, machine: str):
        self._machine = machine
        self._metrics = Metrics()

    def gauge(self, name: str, text: str, value: float, **labels: str) -> None:
        """One series with the label ``machine``."""
        named = {"machine": self._machine} | labels
        self._metrics.gauge(name, text, tuple(named)).labels(*named.values()).set(value)

    def agents(self, machine: MachinePicture, seen: Mapping[str, Seen]) -> None:
        metrics = self._metrics
        up = metrics.gauge("tandem_agent_up", "Whether the agent is up: healthy or degraded", _AGENT)
        wanted = metrics.gauge("tandem_agent_wanted", "Whether the agent should be up", _AGENT)
        state = metrics.gauge("tandem_agent_state", "1 for the state the agent is in", (*_AGENT, "state"))
        start = metrics.gauge("tandem_agent_start_seconds", "From spawn to ready, last time", _AGENT)
        restarts = metrics.counter("tandem_agent_restarts_total", "Restarts since the node began", _AGENT)
        memory = metrics.gauge("tandem_agent_memory_bytes", "Resident memory of its processes, shared pages included", _AGENT)
        share = metrics.gauge("tandem_agent_memory_share_bytes", "Its memory, of shared pages its share only", _AGENT)
        cpu = metrics.counter("tandem_agent_cpu_seconds_total", "Processor time of its processes", _AGENT)
        processes = metrics.gauge("tandem_agent_processes", "Processes it consists of", _AGENT)
        breaker = metrics.gauge("tandem_agent_breaker_open", "Whether it died so often that callers fail at once", _AGENT)
        checks = metrics.counter("tandem_agent_health_checks_total", "Health checks the hub made", _AGENT)
        failures = metrics.counter("tandem_agent_health_check_failures_total", "Of them not answered as healthy or degraded", _AGENT)
        latency = metrics.gauge("tandem_agent_health_check_seconds", "How long the last health check took", _AGENT)
        for agent in machine.agents:
            who = (agent.name, agent.machine, agent.group)
            up.labels(*who).set(float(agent.verdict == "up"))
            wanted.labels(*who).set(float(agent.verdict != "off"))
            state.labels(*who, agent.state).set(1.0)
            restarts.labels(*who).inc(agent.restarts)
            if agent.ready_after_s is not None:
                start.labels(*who).set(agent.ready_after_s)
            breaker.labels(*who).set(float(agent.breaker == "open"))
            if agent.usage is not None:
                memory.labels(*who).set(agent.usage.rss_bytes)
                cpu.labels(*who).inc(agent.usage.cpu_s)
                processes.labels(*who).set(agent.usage.processes)
                if agent.usage.pss_bytes is not None:
                    share.labels(*who).set(agent.usage.pss_bytes)
            known = seen.get(agent.name)
            if known is not None:
                checks.labels(*who).inc(known.checks)
                failures.labels(*who).inc(known.failures)
                latency.labels(*who).set(known.health_s)

    def servers(self, machine: MachinePicture, figures: ServerFigures) -> None:
        labels = ("server", "machine")
        metrics = self._metrics
        up = metrics.gauge("tandem_server_up", "Whether the server is up", labels)
        restarts = metrics.counter("tandem_server_restarts_total", "Restarts since the node began", labels)
        memory = metrics.gauge("tandem_server_memory_bytes", "Resident memory", labels)
        cpu = metrics.counter("tandem_server_cpu_seconds_total", "Processor time", labels)
        for server in machine.services:
            who = (server.name, server.machine)
            up.labels(*who).set(float(server.state in ("healthy", "degraded")))
            restarts.labels(*who).inc(server.restarts)
            if server.usage is not None:
                memory.labels(*who).set(server.usage.rss_bytes)
                cpu.labels(*who).inc(server.usage.cpu_s)
        named = {name for values in figures.by_server.values() for name in values}
        for name in sorted(named):
            make = metrics.counter if name.endswith("_total") else metrics.gauge
            family = make(f"tandem_{name}", "As the server itself tells it", labels)
            for server_name, values in figures.by_server.items():
                if name in values:
                    family.labels(server_name, self._machine).inc(values[name])
        self._streams(figures)

    def machine(self, picture: FleetPicture) -> None:
        own = picture.machines[0]
        self.gauge("tandem_machine_cores", "Processor cores", own.cores)
        self.gauge("tandem_machine_load1", "Mean number of runnable processes over one minute", own.load)
        self.gauge("tandem_machine_memory_used_bytes", "Memory in use", own.memory_bytes)
        self.gauge("tandem_machine_memory_bytes", "Memory there is", own.memory_total_bytes)
        self.gauge("tandem_node_up", "Whether the node answers", float(not own.fault))
        self.gauge("tandem_node_uptime_seconds", "Age of the node", own.up_s)
        self.gauge("tandem_hub_alerting", "Whether this hub sends the alerts", float(picture.alerting))
        labels = ("machine", "peer")
        up = self._metrics.gauge("tandem_link_up", "Whether the other machine's hub is heard", labels)
        age = self._metrics.gauge("tandem_link_age_seconds", "Age of what is known of the other machine", labels)
        trip = self._metrics.gauge("tandem_link_round_trip_seconds", "Round trip to the other machine's hub", labels)
        for other in picture.machines[1:]:
            up.labels(self._machine, other.machine).set(float(other.reach == "linked"))
            if other.at:
                age.labels(self._machine, other.machine).set(max(0.0, clock.wall() - other.at))
            if other.link_s is not None:
                trip.labels(self._machine, other.machine).set(other.link_s)

    def incidents(self, live: Iterable[IncidentView]) -> None:
        family = self._metrics.gauge("tandem_incidents", "Live incidents of the whole fleet", ("machine", "severity", "state"))
        for severity in ("warning", "error", "critical"):
            family.labels(self._machine, severity, "open")
        for incident in live:
            family.labels(self._machine, str(incident.severity), str(incident.state)).inc()

    def objectives(self, standings: Iterable[Standing]) -> None:
        labels = ("machine", "objective")
        target = self._metrics.gauge("tandem_objective_target", "The part that must be good", labels)
        good = self._metrics.gauge("tandem_objective_good_ratio", "The part that was good", (*labels, "window"))
        burning = self._metrics.gauge("tandem_objective_burning", "Whether the budget is spent too fast", labels)
        for standing in standings:
            who = (standing.machine, standing.objective.measure)
            target.labels(*who).set(standing.objective.target)
            burning.labels(*who).set(float(bool(standing.burning)))
            for window, ratio in standing.good.items():
                if ratio is not None:
                    good.labels(*who, window).set(ratio)

    def gpu(self, fleet: Fleet, devices: Iterable[tuple[str, int, int]]) -> None:
        """``devices``: name, bytes used and bytes there are of each; the budget is the fleet file's."""
        config = fleet.machines[self._machine].gpu
        budget = config.budget() if config is not None else None
        if budget is not None:
            self.gauge("tandem_gpu_budget_bytes", "GPU memory models may take", budget * MIB)
        labels = ("machine", "device")
        used = self._metrics.gauge("tandem_gpu_memory_used_bytes", "GPU memory in use", labels)
        there = self._metrics.gauge("tandem_gpu_memory_bytes", "GPU memory there is", labels)
        for number, (name, taken, total) in enumerate(devices):
            used.labels(self._machine, f"{number}:{name}").set(taken)
            there.labels(self._machine, f"{number}:{name}").set(total)

    def _streams(self, figures: ServerFigures) -> None:
        labels = ("stream", "machine")
        messages = self._metrics.gauge("tandem_nats_stream_messages", "Messages a stream holds", labels)
        size = self._metrics.gauge("tandem_nats_stream_bytes", "Bytes a stream holds", labels)
        pending = self._metrics.gauge(
            "tandem_nats_consumer_pending", "Messages that wait for a consumer", ("consumer", "stream", "machine")
        )
        for stream in figures.streams:
            messages.labels(stream.name, self._machine).set(stream.messages)
            size.labels(stream.name, self._machine).set(stream.bytes)
            for consumer, waiting in stream.pending.items():
                pending.labels(consumer, stream.name, self._machine).set(waiting)

    def render(self, others: Iterable[str]) -> str:
        """Everything, together with ``others``: texts of agents, whose equal families become one."""
        return merge([self._metrics.render(), *others])


def merge(texts: Iterable[str]) -> str:
    """One exposition of many: each family once, with the series of all; the first description of a family counts."""
    headers: dict[str, list[str]] = {}
    series: dict[str, list[str]] = {}
    for text in texts:
        family = ""
        fresh = False
        for line in text.splitlines():
            if line.startswith("# HELP "):
                family = line.split(" ", 3)[2]
                fresh = family not in headers
                series.setdefault(family, [])
                headers.setdefault(family, [])
            if line.startswith("#"):
                if fresh:
                    headers[family].append(line)
            elif line:
                series[family].append(line)
    lines = [line for family in headers if series[family] for line in (*headers[family], *series[family])]
    return "\n".join(lines) + "\n"
