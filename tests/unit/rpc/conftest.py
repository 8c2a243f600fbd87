"""Makes the shared RPC contract suite importable; it also runs against real sockets in tests/integration/rpc."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("rpc_contract", "rpc_contract_failures", "rpc_contract_sessions", "rpc_rig")

from rpc_rig import patient_calls  # noqa: E402, F401
