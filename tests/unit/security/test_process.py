"""What hardening does to a process."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import resource
from tandem.security import forbid_dumps, is_dumpable
before = is_dumpable()
forbid_dumps()
print(before, is_dumpable(), resource.getrlimit(resource.RLIMIT_CORE))
"""


def test_a_hardened_process_cannot_be_dumped() -> None:
    """After forbid_dumps the kernel reports the process as not dumpable, and core files are off for good."""
    answer = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "True False (0, 0)"
