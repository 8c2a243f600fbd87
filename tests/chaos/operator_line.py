"""Calls of the operator's to a fleet under test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from fleet_rig import FleetRig


def call(rig: FleetRig, agent: str, action: str, **arguments: str) -> Any:
    """What the agent answers the operator, over a connection of its own."""
    script = Path(__file__).with_name("operator_calls.py")
    given = [f"{name}={value}" for name, value in arguments.items()]
    done = subprocess.run(
        [sys.executable, str(script), agent, action, *given],
        cwd=rig.root, env=rig.env, text=True, capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr + rig.diagnosis()
    return json.loads(done.stdout)
