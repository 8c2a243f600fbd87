"""What other monitoring tools are given."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from tandem.export import alerts, grafana, prometheus, queries
from tandem.export.files import write
from tandem.export.queries import good_ratio
from tandem.fleet import Surroundings, load_text
from tandem.fleet.model import Fleet
from tandem.hub.measure import BUILT_IN, OWN_FAULTS
from tandem.telemetry.objectives import BURNS, DEFAULT_OBJECTIVES, WINDOWS_S, span_name

FLEET = """
fleet: house
machines: {west: {}, east: {host: "${EAST_IP}"}}
groups:
  g:
    machine: west
    agents:
      Hub: {class: "a:B", observer: true, port: 9000, speaks: http}
      Other: {class: "a:B", port: 9001}
  h:
    machine: east
    agents:
      Hub: {class: "a:B", observer: true, port: 9000, shared_host_port: 9100, speaks: http}
"""


def fleet(**variables: str) -> Fleet:
    return load_text(FLEET, "fleet.yaml", Surroundings(environ=variables)).require()


def test_every_hub_is_scraped() -> None:
    """On one computer both directly; a hub elsewhere, which listens on its loopback, through the one that is here."""
    here = prometheus.scrape_configuration(fleet())["scrape_configs"]
    assert [job["static_configs"][0]["targets"] for job in here] == [["localhost:9000"], ["localhost:9100"]]
    assert all("params" not in job for job in here)
    _, east = prometheus.scrape_configuration(fleet(EAST_IP="10.0.0.2"))["scrape_configs"]
    assert (east["static_configs"][0]["targets"], east["params"]) == (["localhost:9000"], {"machine": ["east"]})


def test_every_query_is_promql() -> None:
    """A real parser reads each query of every rule and dashboard."""
    parser = pytest.importorskip("promql_parser", reason="no wheel of promql-parser for this Python")
    found = [expr.replace("$agent", "A") for expr in grafana.expressions()]
    found += [rule["expr"] for group in prometheus.rules(DEFAULT_OBJECTIVES) for rule in group["rules"]]
    assert len(found) > 80
    for expr in found:
        parser.parse(expr)


def test_every_metric_asked_for_is_one_we_expose() -> None:
    """No query names a metric that nothing renders; recorded names are those of the rules."""
    source = "".join(path.read_text() for path in Path("src/tandem").rglob("*.py") if "export" not in path.parts)
    texts = [rule["expr"] for group in prometheus.rules(DEFAULT_OBJECTIVES) for rule in group["rules"]]
    for name in set(re.findall(r"\b(?:tandem|agent)_[a-z_0-9]+", " ".join([*grafana.expressions(), *texts]))):
        if name in ("agent", "tandem_") or re.fullmatch(r"tandem_(health|availability|requests|start|turns)", name):
            continue
        base = re.sub(r"_(bucket|sum|count)$", "", name)
        shown = {name, base, base.removeprefix("tandem_")}
        assert any(f'"{candidate}"' in source for candidate in shown), name


def test_what_counts_as_a_fault_is_the_same_everywhere() -> None:
    """The rules and the hub's own figures leave out the same calls and blame the same outcomes."""
    assert set(queries.OWN_FAULTS.split("|")) == OWN_FAULTS
    assert set(queries.PLATFORM.split("|")) == BUILT_IN


def test_burn_alerts_need_both_windows() -> None:
    """Each objective has one alert per pair of windows, with the bound its budget gives, over recorded ratios."""
    recorded, burning, _ = prometheus.rules(DEFAULT_OBJECTIVES)
    names = {rule["record"] for rule in recorded["rules"]}
    assert len(names) == len(DEFAULT_OBJECTIVES) * len(WINDOWS_S)
    assert len(burning["rules"]) == len(DEFAULT_OBJECTIVES) * len(BURNS)
    for rule in burning["rules"]:
        assert len(set(re.findall(r"machine:[\w:]+", rule["expr"]))) == 2
        assert set(re.findall(r"machine:[\w:]+", rule["expr"])) <= names
    [page] = [r for r in burning["rules"] if r["alert"] == "TandemAvailabilityBurning1h"]
    assert "> 0.0144" in page["expr"] and page["labels"]["severity"] == "critical"
    assert span_name(259_200) == "3d" and "[5m]" in good_ratio(DEFAULT_OBJECTIVES[0], 300)


def test_no_secret_is_written_into_the_routes() -> None:
    """Addresses and keys are files; critical alerts go to the pager, the rest to the chat."""
    [file] = alerts.render(fleet())
    found = yaml.safe_load(file.text)
    assert found["route"]["receiver"] == "chat"
    assert found["route"]["routes"][0]["receiver"] == "pager"
    assert "api_url_file" in file.text and "routing_key_file" in file.text and "https://" not in file.text


def test_dashboards_are_whole(tmp_path: Path) -> None:
    """Six of them, valid JSON, ids and places unique, written where they were asked for."""
    paths = write(grafana.render(fleet()), tmp_path)
    found = [json.loads(path.read_text()) for path in paths if path.suffix == ".json"]
    assert {d["uid"] for d in found} == {f"tandem-{n}" for n in ("fleet", "agent", "machine", "gpu", "turns", "errors")}
    for dashboard in found:
        places = [(p["gridPos"]["x"], p["gridPos"]["y"]) for p in dashboard["panels"]]
        assert len(set(places)) == len(places)
        assert len({p["id"] for p in dashboard["panels"]}) == len(places)
        assert all(target["expr"] for p in dashboard["panels"] for target in p["targets"])
