"""The outputs: text, JSON, SARIF, HTML, and what they must not show."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tandem.audit import Options, audit
from tandem.audit.baseline import compare, record
from tandem.audit.model import Finding, Severity
from tandem.audit.report import data, page, sarif, text
from tandem.audit.rules.catalogue import BY_ID
from tandem.audit.summary import Summary, summarise

SARIF_SCHEMA = json.loads((Path(__file__).parent / "schemas" / "sarif-2.1.0.json").read_text())
SECRET = "Tr0ub4dor&3x9Lq"


@pytest.fixture
def fleet(tmp_path: Path) -> Path:
    """A small broken fleet: one agent that compiles, one that does not, one whose import does not."""
    (tmp_path / "agents").mkdir()
    (tmp_path / "agents" / "good.py").write_text('HOST = "10.0.0.9"\nif __name__ == "__main__":\n    print(HOST)\n')
    (tmp_path / "agents" / "bad.py").write_text(f'PASSWORD = "{SECRET}"\nprint(\n')
    (tmp_path / "agents" / "leaky.py").write_text(f'DB_PASSWORD = "{SECRET}"\nimport bad\n')
    (tmp_path / "config.yaml").write_text(
        "agent_groups:\n  core:\n"
        "    Good: {script_path: agents/good.py, port: 7001}\n"
        "    Bad: {script_path: agents/bad.py, port: 7002}\n"
        "    Leaky: {script_path: agents/leaky.py, port: 7003}\n"
        "    Gone: {script_path: agents/gone.py, port: 7004}\n"
    )
    (tmp_path / "<b>.py").write_text('X = "10.1.1.1"  # <script>alert(1)</script>\n')
    return tmp_path


def audited(root: Path) -> tuple[list[Finding], Summary]:
    result = audit(Options(root=root, cache=False, jobs=1))
    return result.findings, summarise(result)


def test_json_follows_its_published_schema(fleet: Path) -> None:
    """The JSON output validates against the schema that is published with it."""
    output = json.loads(data.render(*audited(fleet)))
    jsonschema.Draft202012Validator.check_schema(data.schema())
    jsonschema.validate(output, data.schema(), cls=jsonschema.Draft202012Validator)


def test_json_has_what_was_promised(fleet: Path) -> None:
    """Each finding has rule, path, line, column, message, severity, confidence, fixable, why and how."""
    output = json.loads(data.render(*audited(fleet)))
    assert output["findings"]
    for item in output["findings"]:
        assert {"rule", "path", "line", "column", "message", "severity", "confidence", "fixable", "why", "how"} <= item.keys()
    assert output["summary"]["errors"] == sum(item["severity"] == "error" for item in output["findings"])


def test_schema_refuses_what_is_no_finding() -> None:
    """The schema is not so loose that anything passes."""
    wrong: dict[str, Any] = {"version": 1, "tool": {}, "findings": [{"rule": "x"}], "summary": {}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, data.schema(), cls=jsonschema.Draft202012Validator)


def test_published_schema_is_up_to_date() -> None:
    """The schema file is what the structures say today."""
    assert data.schema() == data.make_schema()


def test_sarif_follows_the_standard(fleet: Path) -> None:
    """The SARIF output validates against the schema of SARIF 2.1.0."""
    log = json.loads(sarif.render(*audited(fleet)))
    jsonschema.validate(log, SARIF_SCHEMA, cls=jsonschema.Draft4Validator)


def test_sarif_describes_every_rule_it_uses(fleet: Path) -> None:
    """Every result points at its rule by index, and the rule carries its explanation."""
    run = json.loads(sarif.render(*audited(fleet)))["runs"][0]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(BY_ID)
    assert run["results"]
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]


def test_sarif_of_a_clean_tree(tmp_path: Path) -> None:
    """A tree without findings gives a valid log with no results."""
    (tmp_path / "a.py").write_text("X = 1\n")
    log = json.loads(sarif.render(*audited(tmp_path)))
    jsonschema.validate(log, SARIF_SCHEMA, cls=jsonschema.Draft4Validator)
    assert log["runs"][0]["results"] == []


@pytest.mark.parametrize("render", [data.render, sarif.render, page.render, text.render])
def test_no_output_shows_a_secret(fleet: Path, render: Any) -> None:
    """A secret that was found is masked in every format."""
    findings, summary = audited(fleet)
    assert any(item.rule == "plain-credential" for item in findings)
    assert SECRET not in render(findings, summary)


class Tags(HTMLParser):
    """Notes which tags are open and whether all are closed."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.seen.add(tag)


def test_page_escapes_what_comes_from_the_tree(fleet: Path) -> None:
    """Names and lines of the tree cannot become markup, and the page fetches and runs nothing."""
    html = page.render(*audited(fleet))
    tags = Tags()
    tags.feed(html)
    assert "script" not in tags.seen
    assert not {"link", "img", "iframe"} & tags.seen
    assert "&lt;b&gt;.py" in html


def test_text_begins_with_what_stops_the_fleet(fleet: Path) -> None:
    """The page for a terminal names first what stops it, then what bites, then what is ugly."""
    shown = text.render(*audited(fleet))
    places = [shown.index(heading) for heading in ("WHAT STOPS IT FROM STARTING", "WHAT WILL BITE", "AGENTS")]
    assert places == sorted(places)
    assert "3 of 4 agents would not start." in shown


def test_text_shows_a_few_of_each_rule_unless_asked(tmp_path: Path) -> None:
    """Without --all a rule shows its first findings and how to see the rest."""
    (tmp_path / "a.py").write_text("\n".join(f'H{number} = "10.0.0.{number + 1}"' for number in range(20)))
    findings, summary = audited(tmp_path)
    assert "and 15 more" in text.render(findings, summary)
    assert text.render(findings, summary, everything=True).count("a.py:") == 20


def test_text_has_no_colour_codes_by_default(fleet: Path) -> None:
    """Colour is only for terminals that want it."""
    findings, summary = audited(fleet)
    assert "\x1b" not in text.render(findings, summary)
    assert "\x1b[" in text.render(findings, summary, color=True)


def test_agents_know_what_keeps_them_from_starting(fleet: Path) -> None:
    """An agent is blocked by its own file, by what it imports, and by its entry in the configuration."""
    _, summary = audited(fleet)
    blocked = {agent.name: agent.blocked for agent in summary.agents}
    assert blocked["Good"] == []
    assert blocked["Bad"] == ["agents/bad.py:2 syntax-error"]
    assert blocked["Leaky"] == ["agents/bad.py:2 syntax-error"]
    assert blocked["Gone"] == ["config.yaml:6 config-missing-script"]


def test_baseline_knows_findings_by_their_text(tmp_path: Path) -> None:
    """Findings that only moved to other lines are not new; a further equal one is."""
    file = tmp_path / "a.py"
    file.write_text('A = "10.0.0.1"\n')
    before = record(audited(tmp_path)[0])
    file.write_text('\n\n\nA = "10.0.0.1"\n')
    assert compare(audited(tmp_path)[0], before)[0] == []
    file.write_text('A = "10.0.0.1"\nA = "10.0.0.1"\nB = "10.0.0.2"\n')
    new, trend = compare(audited(tmp_path)[0], before)
    assert len(new) == 2
    assert (trend.new, trend.fixed, trend.known) == (2, 0, 1)
    file.write_text("A = None\n")
    assert compare(audited(tmp_path)[0], before)[1].fixed == 1


def test_findings_are_ordered_gravest_first(fleet: Path) -> None:
    """Errors come before warnings before notes, and within these by place."""
    findings, _ = audited(fleet)
    assert [item.order for item in findings] == sorted(item.order for item in findings)
    assert findings[0].severity is Severity.ERROR
