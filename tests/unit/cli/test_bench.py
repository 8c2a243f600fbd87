"""``tandem bench``: what scripts read, and the figures the design promises."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from tandem.cli import command as entry

ROOT = Path(__file__).parents[3]

TRIAL = '''"""A trial."""
import sys

from _rows import Row, compare, run

def measure():
    print("progress", file=sys.stderr)
    return [compare("trial.s", "s", 2.0, "other", 6.0), compare("trial.rate_hz", "Hz", 6.0, "other", 2.0, "higher"), Row(id="trial.alone", ours=1.0, unit="1")]

run("trial", measure)
'''


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one benchmark that is done at once, and one that fails."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    shutil.copy(ROOT / "benchmarks" / "_rows.py", folder)
    (folder / "trial.py").write_text(TRIAL)
    (folder / "broken.py").write_text('"""Broken."""\nfrom _rows import run\n\nrun("broken", lambda: [][0])\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("trial")
def test_the_contract_of_a_benchmark(capfd: pytest.CaptureFixture[str]) -> None:
    """``bench NAME --json`` prints one object; a ratio above 1 means ours is better, whichever way better lies."""
    assert entry.execute(["bench", "trial", "--json"]) == 0
    said = capfd.readouterr()
    assert json.loads(said.out) == {
        "bench": "trial",
        "rows": [
            {"id": "trial.s", "ours": 2.0, "unit": "s", "peer": "other", "peer_value": 6.0, "ratio": 3.0},
            {"id": "trial.rate_hz", "ours": 6.0, "unit": "Hz", "peer": "other", "peer_value": 2.0, "ratio": 3.0},
            {"id": "trial.alone", "ours": 1.0, "unit": "1", "peer": None, "peer_value": None, "ratio": None},
        ],
    }
    assert "progress" in said.err


@pytest.mark.usefixtures("trial")
def test_all_benchmarks_run_though_one_fails(capfd: pytest.CaptureFixture[str]) -> None:
    """``bench all`` runs them one after another, prints the tables, and names at the end what was not measured."""
    assert entry.execute(["bench", "all"]) == 1
    said = capfd.readouterr()
    assert re.search(r"trial\.s +2 +s +other +6 +3\.00x", said.out)
    assert "not measured to the end: broken" in said.err


@pytest.mark.usefixtures("trial")
def test_benchmarks_are_listed_and_near_names_suggested(capfd: pytest.CaptureFixture[str]) -> None:
    """Without a name all are listed with what they measure; a wrong name ends with 1 and the nearest one."""
    assert entry.execute(["bench"]) == 0
    assert re.search(r"^trial +A trial\.$", capfd.readouterr().out, re.MULTILINE)
    assert entry.execute(["bench", "trail"]) == 1
    assert "did you mean trial?" in capfd.readouterr().err


def test_help_says_how_the_others_are_installed(capfd: pytest.CaptureFixture[str]) -> None:
    """Square brackets are no markup there: the command can be typed as it stands."""
    assert entry.execute(["bench", "--help"]) == 0
    assert "pip install 'tandem-fleet[bench]'" in capfd.readouterr().out


def test_every_promised_figure_is_measured() -> None:
    """Each metric id the design promises is a row of some benchmark, which the page of benchmarks explains."""
    promised = re.search(r"stable metric ids.*?: (.*?); peers", (ROOT / "docs" / "design.md").read_text(), re.DOTALL)
    assert promised is not None
    ids = re.findall(r"`([a-z0-9_.]+)`", promised[1])
    assert len(ids) > 20
    page = (ROOT / "docs" / "benchmarks.md").read_text()
    for metric in ids:
        name, _, figure = metric.rpartition(".")
        script = (ROOT / "benchmarks" / f"{metric.partition('.')[0]}.py").read_text()
        assert f'"{metric}"' in script or (f'"{name}"' in script and f'"{figure}"' in script), metric
        assert f"`{metric.partition('.')[0]}`" in page, metric
