"""The types of the pages' scripts, as TypeScript's checker sees them."""

from __future__ import annotations

import shutil
import subprocess
from importlib.resources import as_file, files

import pytest

TYPESCRIPT = "typescript@7.0.2"
FETCH = f"npx --yes --package {TYPESCRIPT} tsc --version"


def test_scripts_keep_to_their_types() -> None:
    """No script of the pages contradicts the types it declares in its comments."""
    npx = shutil.which("npx")
    if npx is None:
        pytest.skip(f"NO TYPESCRIPT: the scripts of the pages were not checked. Install Node.js, then: {FETCH}")
    with as_file(files("tandem.hub.web") / "jsconfig.json") as project:
        # Tests fetch nothing: whoever wants this one fetches the checker once, by hand.
        command = [npx, "--offline", "--yes", "--package", TYPESCRIPT, "tsc", "--project", str(project)]
        said = subprocess.run(command, capture_output=True, text=True)
    words = said.stdout + said.stderr
    if said.returncode and "error TS" not in words:
        pytest.skip(f"NO TYPESCRIPT: the scripts of the pages were not checked. Fetch it once: {FETCH}")
    assert said.returncode == 0, words
