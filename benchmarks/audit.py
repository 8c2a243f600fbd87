"""How fast and how right `tandem audit` is: a large made-up tree beside ruff, pylint and semgrep, and the labelled cases."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from _rows import FROM_EXTRA, Row, compare, not_measured, run, say
from tandem.audit.corpus import judge, read_corpus, score

LINES = 300_000
"""Size of the tree the aim is set for."""
SLICE = 12_000
"""Lines of the part given to tools that would take many minutes for the whole."""
CORPUS = Path(__file__).parents[1] / "tests" / "corpus"
FLEET = Path(__file__).parents[1] / "examples" / "old-fleet"

_SEMGREP = """rules:
  - id: sleep-in-coroutine
    languages: [python]
    severity: WARNING
    message: blocks
    patterns: [{pattern: time.sleep(...)}, {pattern-inside: "async def $F(...): ..."}]
  - id: path-edit
    languages: [python]
    severity: WARNING
    message: path
    pattern: sys.path.insert(...)
  - id: file-handler
    languages: [python]
    severity: WARNING
    message: grows
    pattern: logging.FileHandler(...)
"""
"""Three of our rules, the most semgrep can be asked without data flow across files."""


def make_tree(root: Path, lines: int) -> int:
    """Agents after the example's, with fresh names and filler of ordinary code, until ``lines`` are reached.

    Returns the number of files. The same size gives the same tree.
    """
    chance = random.Random(7)
    templates = [path.read_text() for path in sorted(FLEET.rglob("agents/*.py"))]
    shutil.copytree(FLEET / "common", root / "common")
    written = files = 0
    while written < lines:
        folder = root / f"group_{files % 40:02d}" / "agents"
        folder.mkdir(parents=True, exist_ok=True)
        text = templates[files % len(templates)].replace("Agent", f"Agent{files}")
        text += "".join(_filler(chance, files, number) for number in range(chance.randint(4, 12)))
        (folder / f"agent_{files:04d}.py").write_text(text)
        written += text.count("\n")
        files += 1
    return files


def _filler(chance: random.Random, file: int, number: int) -> str:
    names = [f"{word}_{chance.randint(0, 99)}" for word in ("queue", "model", "frame", "score", "limit", "topic")]
    a, b, c, d, e, f = names
    return f'''

def work_{file}_{number}({a}, {b}, {c}=None):
    """Work {number} of file {file}."""
    {d} = []
    for {e} in range(len({a})):
        if {a}[{e}] is None or {e} % {chance.randint(2, 9)} == 0:
            continue
        {f} = {{"index": {e}, "value": {a}[{e}], "kind": "{chance.choice(names)}"}}
        try:
            {f}["scaled"] = float({b}) * {chance.random():.4f} + {e}
        except (TypeError, ValueError) as error:
            {f}["error"] = str(error)
        {d}.append({f})
    if {c} is not None:
        {d} = [item for item in {d} if item.get("kind") == {c}]
    return sorted({d}, key=lambda item: item["index"])
'''


HOW_TO_GET = {"semgrep": "pipx install semgrep: it wants other versions of libraries than ours"}


def timed(command: list[str], cwd: Path, environment: dict[str, str] | None = None) -> float:
    """Seconds a command takes; findings are no failure."""
    started = time.perf_counter()
    subprocess.run(command, cwd=cwd, env={**os.environ, **(environment or {})}, capture_output=True, check=False)
    return time.perf_counter() - started


def best_of(count: int, measure: Callable[[], float]) -> float:
    return min(measure() for _ in range(count))


def speed(root: Path, files: int, scratch: Path) -> Iterator[Row]:
    """Cold and warm, beside ruff's own cold and warm run with all of its rules."""
    ours = [sys.executable, "-c", "from tandem.cli.audit import app; app()", ".", "--format", "json", "--fail-on", "never"]

    def cold() -> float:
        shutil.rmtree(scratch / "cache", ignore_errors=True)
        return timed(ours, root, {"XDG_CACHE_HOME": str(scratch / "cache")})

    cold_s = best_of(2, cold)
    time.sleep(2.5)  # files younger than this are compared by content, which is not the warm case
    timed(ours, root, {"XDG_CACHE_HOME": str(scratch / "cache")})
    warm_s = best_of(3, lambda: timed(ours, root, {"XDG_CACHE_HOME": str(scratch / "cache")}))
    say(f"audit: {cold_s:.1f} s cold, {warm_s:.2f} s warm for {files} files")
    yield Row(id="audit.cold_s", ours=cold_s, unit="s")
    yield Row(id="audit.warm_s", ours=warm_s, unit="s")
    ruff = shutil.which("ruff", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if ruff is None:
        not_measured("ruff", "pip install 'tandem-fleet[audit]'")
        return
    command = [ruff, "check", "--isolated", "--select", "ALL", "--output-format", "json", "--cache-dir", str(scratch / "ruff"), "."]

    def ruff_cold() -> float:
        shutil.rmtree(scratch / "ruff", ignore_errors=True)
        return timed(command, root)

    yield compare("audit.cold_files_hz", "Hz", files / cold_s, "ruff", files / best_of(2, ruff_cold), "higher")
    yield compare("audit.warm_files_hz", "Hz", files / warm_s, "ruff", files / best_of(3, lambda: timed(command, root)), "higher")


def others(scratch: Path) -> Iterator[Row]:
    """Files a second beside the tools that look as deep, on a part of the tree they can finish."""
    part = scratch / "part"
    part.mkdir()
    files = make_tree(part, SLICE)
    ours = [sys.executable, "-c", "from tandem.cli.audit import app; app()", ".", "--no-cache", "--fail-on", "never"]
    rate = files / best_of(2, lambda: timed(ours, part))
    rules = scratch / "rules.yaml"
    rules.write_text(_SEMGREP)
    tools = {
        "pylint": ["pylint", "--recursive=y", "-j", "0", "--exit-zero", "."],
        "semgrep": ["semgrep", "scan", "--metrics=off", "--disable-version-check", "--config", str(rules), "--json", "."],
    }
    for name, command in tools.items():
        program = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if program is None:
            not_measured(name, HOW_TO_GET.get(name, FROM_EXTRA))
            continue
        taken = timed([program, *command[1:]], part)
        say(f"{name}: {taken:.1f} s for {files} files")
        yield compare("audit.part_files_hz", "Hz", rate, name, files / taken, "higher")


def quality() -> Iterator[Row]:
    """Precision and recall over all rules, and of the weakest rule, on both sets of labelled cases."""
    for name, folder in (("corpus", CORPUS), ("heldout", CORPUS / "heldout")):
        scores = score([judge(case) for case in read_corpus(folder)])
        hits = sum(item.hits for item in scores)
        yield Row(id=f"audit.{name}.precision", ours=hits / (hits + sum(item.invented for item in scores)), unit="1")
        yield Row(id=f"audit.{name}.recall", ours=hits / (hits + sum(item.missed for item in scores)), unit="1")
        yield Row(id=f"audit.{name}.worst_precision", ours=min(item.precision for item in scores), unit="1")
        yield Row(id=f"audit.{name}.worst_recall", ours=min(item.recall for item in scores), unit="1")


def measure() -> list[Row]:
    """All rows."""
    with tempfile.TemporaryDirectory(prefix="tandem-bench-audit-") as name:
        scratch = Path(name)
        root = scratch / "tree"
        root.mkdir()
        files = make_tree(root, LINES)
        say(f"{files} files, about {LINES:,} lines")
        return [*speed(root, files, scratch), *others(scratch), *quality()]


if __name__ == "__main__":
    run("audit", measure)
