"""Where an agent begins: forked from the zygote, or executed."""

from __future__ import annotations

import sys

import msgspec

from tandem.agent.run import main as run
from tandem.agent.spec import AgentSpec, read_spec
from tandem.supervise.rejoin import mender
from tandem.supervise.wire import SPEC_FD


def main(payload: bytes) -> int:
    """Run the agent the payload describes; its exit status."""
    return _run(msgspec.msgpack.decode(payload, type=AgentSpec))


def _run(spec: AgentSpec) -> int:
    return run(spec, mender(spec))


if __name__ == "__main__":
    sys.exit(_run(read_spec(SPEC_FD)))
