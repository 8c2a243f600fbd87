"""Lets the tests of this folder import what they share, and the rig of whole fleets."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "supervise"))
sys.path.insert(0, str(Path(__file__).parent))
