"""The command lines of `tandem audit` and `tandem fix`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tandem.cli.audit import app as audit
from tandem.cli.fix import app as fix

RUN = CliRunner()


@pytest.fixture(autouse=True)
def private_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cache and undo patches go to folders of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """One warning and nothing graver."""
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a.py").write_text('PC2_HOST = "10.0.0.1"\n')
    return tmp_path / "tree"


@pytest.mark.parametrize(("level", "status"), [("error", 0), ("warning", 1), ("note", 1), ("never", 0)])
def test_fail_on_sets_the_exit_status(tree: Path, level: str, status: int) -> None:
    """The exit status is 1 from the chosen severity on, and 0 below it."""
    assert RUN.invoke(audit, [str(tree), "--fail-on", level]).exit_code == status


def test_unknown_rule_is_an_error_with_a_suggestion(tree: Path) -> None:
    """A misspelt rule is refused with status 78 and the rule that was meant."""
    result = RUN.invoke(audit, [str(tree), "--rule", "path-hak"])
    assert result.exit_code == 78
    assert "did you mean path-hack?" in result.output


def test_rules_may_be_chosen_by_pattern(tree: Path) -> None:
    """Patterns choose several rules, and only these report."""
    chosen = json.loads(RUN.invoke(audit, [str(tree), "--rule", "config-*", "--json"]).stdout)
    assert chosen["findings"] == []
    both = json.loads(RUN.invoke(audit, [str(tree), "--rule", "config-*", "--rule", "hardcoded-*", "--json"]).stdout)
    assert [item["rule"] for item in both["findings"]] == ["hardcoded-address"]


def test_missing_tree_is_an_error(tmp_path: Path) -> None:
    """A path that is not there ends with status 78."""
    assert RUN.invoke(audit, [str(tmp_path / "none")]).exit_code == 78


def test_baseline_makes_only_new_findings_count(tree: Path) -> None:
    """With a baseline old findings pass, a new one fails, and the trend is told."""
    baseline = tree.parent / "baseline.json"
    assert RUN.invoke(audit, [str(tree), "--write-baseline", str(baseline)]).exit_code == 0
    again = ["--baseline", str(baseline), "--fail-on", "warning"]
    assert RUN.invoke(audit, [str(tree), *again]).exit_code == 0
    (tree / "b.py").write_text('X = "10.0.0.2"\n')
    result = RUN.invoke(audit, [str(tree), *again])
    assert result.exit_code == 1
    assert "1 new, 0 gone, 1 still there" in result.output


def test_file_that_is_no_baseline_is_refused(tree: Path) -> None:
    """A baseline that cannot be read is an error, never an empty one."""
    (tree.parent / "x.json").write_text("[]")
    assert RUN.invoke(audit, [str(tree), "--baseline", str(tree.parent / "x.json")]).exit_code == 78


def test_configuration_may_be_named(tree: Path) -> None:
    """A configuration given on the command line is read though nothing about its name or place says so."""
    (tree / "plan.yaml").write_text("agents:\n  - {name: A, script_path: gone.py}\n")
    result = RUN.invoke(audit, [str(tree), "--config", str(tree / "plan.yaml"), "--rule", "config-missing-script", "--json"])
    assert [item["path"] for item in json.loads(result.stdout)["findings"]] == ["plan.yaml"]


@pytest.mark.parametrize(("form", "beginning"), [("html", "<!doctype html>"), ("sarif", "{"), ("text", "Audit of")])
def test_output_may_go_to_a_file(tree: Path, form: str, beginning: str) -> None:
    """Every format can be written to a file, and standard output then stays empty."""
    target = tree.parent / "out"
    result = RUN.invoke(audit, [str(tree), "--format", form, "-o", str(target)])
    assert result.stdout == ""
    assert target.read_text().startswith(beginning)


def test_schema_is_printed(tree: Path) -> None:
    """The schema of the JSON output can be had without an audit."""
    assert "$defs" in json.loads(RUN.invoke(audit, ["--schema"]).stdout)


def test_fix_shows_and_does_not_write(tree: Path) -> None:
    """Without --write nothing changes, and the change is shown as a diff."""
    before = (tree / "a.py").read_text()
    result = RUN.invoke(fix, [str(tree)])
    assert result.exit_code == 0
    assert '+PC2_HOST = os.environ.get("PC2_HOST", "10.0.0.1")' in result.stdout
    assert (tree / "a.py").read_text() == before


def test_fix_writes_and_says_how_to_undo(tree: Path) -> None:
    """With --write the file changes and the way back is named."""
    result = RUN.invoke(fix, [str(tree), "--write"])
    assert result.exit_code == 0
    assert "os.environ.get" in (tree / "a.py").read_text()
    assert "apply -R" in result.output


def test_fix_check_tells_by_its_status(tree: Path) -> None:
    """--check ends with 1 while there is something certain to do, and with 0 after."""
    assert RUN.invoke(fix, [str(tree), "--check"]).exit_code == 1
    RUN.invoke(fix, [str(tree), "--write"])
    assert RUN.invoke(fix, [str(tree), "--check"]).exit_code == 0


def test_fix_refuses_a_rule_without_a_mend(tree: Path) -> None:
    """Asking for a mend that does not exist names those that do."""
    result = RUN.invoke(fix, [str(tree), "--rule", "unused-module"])
    assert result.exit_code == 78
    assert "hardcoded-address" in result.output
