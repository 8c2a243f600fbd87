"""Makes the RPC contract suite of tests/unit/rpc importable, to run it against real sockets."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "unit" / "rpc"))
pytest.register_assert_rewrite("rpc_contract", "rpc_contract_failures", "rpc_rig")
