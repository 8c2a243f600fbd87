"""The types of the pages' scripts, as TypeScript's checker sees them."""

from __future__ import annotations

import shutil
import subprocess
from importlib.resources import as_file, files

import pytest

TYPESCRIPT = "typescript@7.0.2"


def test_scripts_keep_to_their_types() -> None:
    """No script of the pages contradicts the types it declares in its comments."""
    if (tsc := shutil.which("tsc")) is not None:
        checker = [tsc]
    elif (npx := shutil.which("npx")) is not None:
        checker = [npx, "--yes", "--package", TYPESCRIPT, "tsc"]
    else:
        pytest.skip("NO TYPESCRIPT: the scripts of the pages were not checked. Install Node.js (npx) or tsc")
    with as_file(files("tandem.hub.web") / "jsconfig.json") as project:
        said = subprocess.run([*checker, "--project", str(project)], capture_output=True, text=True, timeout=240)
    words = said.stdout + said.stderr
    if said.returncode and "error TS" not in words:
        pytest.skip(f"NO TYPESCRIPT: the scripts of the pages were not checked, because it could not be fetched: {words}")
    assert said.returncode == 0, words
