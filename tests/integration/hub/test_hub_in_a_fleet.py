"""Both hubs of a real fleet of two machines: HTTP, actions across machines, history, alerts, takeover."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from ports import free_port
from watched_rig import PATIENCE_S, PORTS, Fleet, call, opened, until, worry

from tandem.export.grafana import expressions
from tandem.export.prometheus import rules
from tandem.export.queries import NEEDS_GPU
from tandem.telemetry.objectives import DEFAULT_OBJECTIVES

pytest.importorskip("uvicorn", reason="the extra `hub` is not installed: no HTTP to test")

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

OF_BOTH_MACHINES = (
    "tandem_agent_start_seconds", "tandem_agent_health_check_seconds", "tandem_agent_restarts_total",
    "tandem_agent_memory_bytes", "tandem_agent_cpu_seconds_total", "agent_requests_in_flight",
    "agent_requests_total", "agent_request_duration_seconds_count", "tandem_nats_consumer_pending",
    "tandem_link_up", "tandem_link_round_trip_seconds", "tandem_nats_connections", "tandem_nats_stream_bytes",
    "tandem_valkey_used_memory_bytes", "tandem_valkey_connected_clients", "tandem_server_restarts_total",
)  # fmt: skip
"""What every agent, server and link is measured for; errors and GPU memory have queries of their own in the dashboards."""


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One fleet for all tests here."""
    made = Fleet(tmp_path_factory.mktemp("fleet"))
    try:
        made.tandem("up")
        yield made
    finally:
        made.close()


@pytest.mark.parametrize(("seen_by", "other"), [("west", "east"), ("east", "west")])
def test_each_hub_shows_both_machines(fleet: Fleet, seen_by: str, other: str) -> None:
    """Its own live, the other as told by its hub, with every agent and a measured link."""
    assert fleet.get(seen_by, "/health")["status"] in ("healthy", "degraded")
    assert fleet.machine(seen_by, seen_by)["reach"] == "here"
    until(lambda: fleet.machine(seen_by, other), lambda m: m["reach"] == "linked" and m["link_s"])
    summary = until(lambda: fleet.get(seen_by, "/health_summary"), lambda s: s["status"] == "healthy")
    assert summary["machines"][other]["up"] == summary["machines"][other]["agents"] >= 2


@pytest.mark.parametrize("seen_by", ["west", "east"])
def test_measurements_reach_both_hubs_and_their_history(fleet: Fleet, seen_by: str) -> None:
    """Memory and health time of an agent of east, in the picture and as a curve."""

    def figures() -> dict[str, Any]:
        [helper] = [a for a in fleet.machine(seen_by, "east")["agents"] if a["name"] == "Helper"]
        return dict(helper["figures"])

    until(figures, lambda found: found.get("rss_bytes", 0) > 1e6 and found.get("health_s"))
    until(lambda: fleet.get(seen_by, "/api/v1/agents/Helper/history"), lambda points: points and points[-1]["checks"])


def test_prometheus_hears_of_every_agent_without_a_line_of_its_own(fleet: Fleet) -> None:
    """The text parses, has agents, servers and the link, and each hub tells of its own machine only."""
    families = ("nats_connections", "valkey_used_memory_bytes", "link_up", "agent_cpu_seconds_total")
    text = until(
        lambda: fleet.text("west", "/metrics"), lambda text: all(f"\ntandem_{family}{{" in text for family in families)
    )
    assert 'tandem_agent_up{agent="Worker",machine="west",group="shop"} 1.0' in text
    assert 'agent="Helper"' not in text, "each hub exports its own machine only"
    parser = pytest.importorskip("prometheus_client.parser")
    assert len(list(parser.text_string_to_metric_families(text))) > 30


def test_only_the_operator_acts_also_on_the_other_machine(fleet: Fleet) -> None:
    """Without the operator's token nothing happens; with it an agent of the other machine is restarted there."""
    before = fleet.pid("Helper@east")
    for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Host": "evil.example"}):
        with pytest.raises(urllib.error.HTTPError) as refused:
            fleet.text("west", "/api/v1/agents/Helper@east/restart", method="POST", **headers)
        assert refused.value.code == 403
    assert fleet.pid("Helper@east") == before
    token = fleet.tandem("hub", "token", "--machine", "west").strip()
    done = fleet.text("west", "/api/v1/agents/Helper@east/restart", method="POST", Authorization=f"Bearer {token}")
    assert json.loads(done)[0]["state"] == "healthy"
    assert fleet.pid("Helper@east") != before


def test_logs_of_either_machine_can_be_read(fleet: Fleet) -> None:
    """The words of an agent arrive as they were said; what does not exist is named."""
    lines = fleet.get("west", "/api/v1/agents/Helper@east/logs")
    assert any(line["message"] == "<b>ready</b> to work" for line in lines)
    with pytest.raises(urllib.error.HTTPError) as missing:
        fleet.get("west", "/api/v1/agents/Nobody/logs")
    assert missing.value.code == 404


def test_live_tells_of_a_death_and_a_return(fleet: Fleet) -> None:
    """The stream begins with the whole picture and then tells that an agent was killed and came back."""
    address = f"http://localhost:{PORTS['east'] + fleet.offset}/live"
    pid = fleet.pid("Worker@west")
    with urllib.request.urlopen(address, timeout=PATIENCE_S) as stream:
        lines = (line.decode().strip() for line in stream)
        assert next(line for line in lines if line.startswith("event:")) == "event: picture"
        os.kill(pid, signal.SIGKILL)
        for line in lines:
            if line.startswith("data: ["):
                changed = [c["data"] for c in json.loads(line[6:]) if c["id"] == "Worker@west"]
                if any(a["pid"] not in (None, pid) and a["state"] == "healthy" for a in changed):
                    break
        else:
            raise AssertionError("the stream ended without word of it")


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="no `prometheus` in PATH (apt install prometheus): queries are not tried")
def test_every_query_has_data_from_a_real_prometheus(fleet: Fleet, tmp_path: Path) -> None:
    """Rules load, both machines are scraped (one through the other's hub), and each query of rules and dashboards answers."""
    fleet.tandem("export", "prometheus", "-o", str(tmp_path))
    config = yaml.safe_load((tmp_path / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    west, east = config["scrape_configs"]
    east["static_configs"][0]["targets"] = west["static_configs"][0]["targets"]
    east["params"] = {"machine": ["east"]}
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    for action in ("turn()", "work()", "worry(what='Smoke')"):
        for _ in range(2):
            call(fleet, "Worker@west", action)
    with pytest.raises(subprocess.CalledProcessError):
        call(fleet, "Worker@west", "work(fail=True)")
    port = free_port()
    server = subprocess.Popen(
        ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data",
         f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"]
    )  # fmt: skip
    alerts = [rule["expr"] for group in rules(DEFAULT_OBJECTIVES) for rule in group["rules"] if "alert" in rule]
    recorded = [rule["record"] for group in rules(DEFAULT_OBJECTIVES) for rule in group["rules"] if "record" in rule]
    wanted = {expr.replace("$agent", "Worker") for expr in expressions()} | set(recorded)
    wanted |= {f"count(count by (machine) ({name})) == 2" for name in OF_BOTH_MACHINES}

    def ask(expr: str) -> Any:
        query = urllib.parse.urlencode({"query": expr})
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{query}", timeout=10) as answer:
            return json.load(answer)["data"]["result"]

    def silent() -> list[str]:
        call(fleet, "Worker@west", "turn()")
        return [expr for expr in sorted(wanted - NEEDS_GPU) if not ask(expr)]

    try:
        until(lambda: ask("up"), lambda found: len(found) == 2 and all(s["value"][1] == "1" for s in found))
        until(silent, lambda found: not found)
        for expr in alerts:
            ask(expr)
    finally:
        server.terminate()
        server.wait(30)


@pytest.mark.skipif(shutil.which("promtool") is None or shutil.which("amtool") is None, reason="no `promtool` and `amtool` in PATH")
def test_exported_files_pass_the_tools_of_their_makers(fleet: Fleet, tmp_path: Path) -> None:
    """promtool accepts configuration, rules and what a hub exposes; amtool the routes."""
    for what in ("prometheus", "alerts"):
        fleet.tandem("export", what, "-o", str(tmp_path))
    for command in (["promtool", "check", "config", "prometheus.yml"], ["amtool", "check-config", "alertmanager.yml"]):
        subprocess.run(command, cwd=tmp_path, check=True)
    metrics = fleet.text("west", "/metrics?machine=east")
    checked = subprocess.run(["promtool", "check", "metrics"], input=metrics, text=True, capture_output=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")


def test_one_hub_sends_and_the_other_takes_over(fleet: Fleet) -> None:
    """Both have the same route: one alert comes. The sender killed, the other sends what is new and not what was sent."""
    both = {"west": True, "east": False}
    until(lambda: {m: fleet.get(m, "/api/v1/fleet")["alerting"] for m in both}, lambda found: found == both)
    worry(fleet, "Worker@west", "Fire")
    [first] = until(lambda: opened(fleet, "Fire"))
    assert first["sender"] == "ObservabilityHub@west" and first["apart"] == []
    until(lambda: fleet.get("east", "/api/v1/fleet")["alerting"], lambda alerting: alerting is False)
    fleet.tandem("stop", "ObservabilityHub@west")
    worry(fleet, "Helper@east", "Flood")
    [second] = until(lambda: opened(fleet, "Flood"))
    assert second["sender"] == "ObservabilityHub@east" and second["apart"] == ["west"]
    fleet.tandem("start", "ObservabilityHub@west")
    until(lambda: {m: fleet.get(m, "/api/v1/fleet")["alerting"] for m in both}, lambda found: found == both)
    worry(fleet, "Worker@west", "Fire")
    threading.Event().wait(5)
    assert len(opened(fleet, "Fire")) == 1, "what is known was told again"
    assert len(opened(fleet, "Flood")) == 1, "what the other hub had sent was sent again"


def test_what_nobody_acknowledges_climbs(fleet: Fleet) -> None:
    """A critical incident is told to the pager, later to the next level, then to the one above: each once, by real requests."""
    both = {"west": True, "east": False}
    until(lambda: {m: fleet.get(m, "/api/v1/fleet")["alerting"] for m in both}, lambda found: found == both)
    worry(fleet, "Worker@west", "Siege")

    def told() -> list[tuple[str, str]]:
        return [(a["called"], a["stage"]) for a in fleet.alerts if a["root"]["type"] == "Siege"]

    wanted = [("pager", "opened"), ("deputy", "sustained"), ("owner", "sustained")]
    until(told, lambda found: len(found) >= len(wanted))
    threading.Event().wait(5)
    assert told() == wanted
    [siege] = [i for i in fleet.get("west", "/api/v1/incidents") if i["title"].startswith("Siege")]
    token = fleet.tandem("hub", "token", "--machine", "west").strip()
    fleet.text("west", f"/api/v1/incidents/{siege['id']}/resolve", method="POST", Authorization=f"Bearer {token}")
    until(told, lambda found: len(found) >= 2 * len(wanted))
    assert sorted(told()[3:]) == [("deputy", "resolved"), ("owner", "resolved"), ("pager", "resolved")]


@pytest.mark.parametrize(("frozen", "other"), [("west", "east"), ("east", "west")])
def test_the_alert_of_a_hub_that_hangs_is_sent_by_the_other(fleet: Fleet, frozen: str, other: str) -> None:
    """A hub stops in mid-work, and with it node and keeper, which would restart it: what happens then is told by the other hub, once;
    when both go on, the lease is where it belongs and nothing is told again."""
    both = {"west": True, "east": False}
    until(lambda: {m: fleet.get(m, "/api/v1/fleet")["alerting"] for m in both}, lambda found: found == both)
    what = f"FrozenAt{frozen.title()}"
    held = [fleet.pid(f"ObservabilityHub@{frozen}"), fleet.node(frozen), fleet.keeper(frozen)]
    for pid in reversed(held):
        os.kill(pid, signal.SIGSTOP)
    try:
        worry(fleet, "Helper@east" if frozen == "west" else "Worker@west", what)
        [alert] = until(lambda: opened(fleet, what))
        assert alert["sender"] == f"ObservabilityHub@{other}"
        if frozen == "west":
            # Whose turn it was; the other one sends at once, before it can have noticed the silence.
            assert alert["apart"] == [frozen]
    finally:
        for pid in held:
            os.kill(pid, signal.SIGCONT)
    until(lambda: {m: fleet.get(m, "/api/v1/fleet")["alerting"] for m in both}, lambda found: found == both)
    until(lambda: fleet.machine(other, frozen)["reach"], lambda reach: reach == "linked")
    threading.Event().wait(5)
    assert len(opened(fleet, what)) == 1, "told again after the return"


@pytest.mark.parametrize(("machine", "other"), [("west", "east"), ("east", "west")])
def test_a_killed_hub_comes_back_with_what_it_knew(fleet: Fleet, machine: str, other: str) -> None:
    """kill -9 of a hub stops no agent; its history and its picture of both machines are there again."""
    path = f"/api/v1/machines/{machine}/history?seconds=3600"
    before = until(lambda: fleet.get(machine, path))
    worker = fleet.pid("Worker@west")
    os.kill(fleet.pid(f"ObservabilityHub@{machine}"), signal.SIGKILL)
    after = until(lambda: fleet.get(machine, path))
    assert after[0]["at"] <= before[-1]["at"]
    until(lambda: fleet.machine(machine, other)["reach"], lambda reach: reach == "linked")
    assert fleet.pid("Worker@west") == worker


@pytest.mark.parametrize(
    ("agent", "machine", "carer"), [("Sick", "west", "PredictiveHealthMonitor@west"), ("Frail", "east", "ObservabilityHub@east")]
)
def test_recovery_widens_until_it_helps_and_remembers(fleet: Fleet, agent: str, machine: str, carer: str) -> None:
    """A restart does not cure the agent, setting its state aside does; nothing is thrown away, and the record says so.

    One machine is looked after by a health monitor, the other by its hub.
    """
    call(fleet, f"{agent}@{machine}", "fall_ill()")

    def attempts() -> list[dict[str, Any]]:
        code = (
            "import asyncio, json\nfrom tandem.api import connect\nasync def main():\n    async with connect() as c:\n"
            f"        print(json.dumps(await c.peer({carer!r}).recoveries(agent={agent!r})))\nasyncio.run(main())"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=fleet.root, env=fleet.env, text=True, capture_output=True, check=True, timeout=120
        )
        return list(json.loads(done.stdout))

    tried = until(attempts, lambda found: any(a["outcome"] == "helped" for a in found))
    assert [(a["tier"], a["outcome"]) for a in reversed(tried)] == [("agent", "did not help"), ("state", "helped")]
    states = fleet.root / "home" / "machines" / machine / "state"
    assert [path.name for path in states.glob(f"{agent}.aside-*/germ")] == ["germ"]
    assert fleet.get(machine, f"/api/v1/agents/{agent}")["state"] == "healthy"
    for seen_by in PORTS:
        told = f"{agent}</a> was unhealthy: restarted without its state, helped"
        until(lambda at=seen_by: fleet.text(at, "/promises"), lambda page, words=told: words in page)


def test_promises_and_forecasts_are_told(fleet: Fleet) -> None:
    """A minute after the start each objective has a standing; a quiet fleet has nothing to foresee."""
    found = until(lambda: fleet.get("west", "/api/v1/objectives"))
    assert {s["objective"]["measure"] for s in found} >= {"health", "availability", "requests", "start"}
    assert isinstance(fleet.get("west", "/api/v1/forecasts"), list)
    assert "tandem_objective_target{" in fleet.text("west", "/metrics")
