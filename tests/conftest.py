"""What every test may rely on: a terminal of one width, whatever the tests are started from."""

from __future__ import annotations

import os


def pytest_configure() -> None:
    """Tables fold and shorten by the width of the terminal, so tests that read them need one."""
    os.environ["COLUMNS"] = "120"
