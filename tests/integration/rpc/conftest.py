"""Makes the RPC contract suite of tests/unit/rpc importable, to run it against real sockets, and what this folder shares."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "rpc"))
pytest.register_assert_rewrite("rpc_contract", "rpc_contract_failures", "rpc_contract_sessions", "rpc_rig")

from rpc_rig import patient_calls  # noqa: E402, F401
