"""A server process that is killed and started again behind an address that stays."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rpc_rig import BOUND_S, until

from tandem.core.deadline import Deadline
from tandem.core.errors import DeadlineExceeded, Unreachable
from tandem.rpc import Endpoint, Peers

pytestmark = pytest.mark.integration


class Kept:
    """Holds the listening socket as the keeper does, and starts and kills the process behind it."""

    def __init__(self, kind: str, directory: Path):
        self.kind = kind
        self.log = directory / "log"
        self.log.touch()
        if kind == "unix":
            self.listening = socket.socket(socket.AF_UNIX)
            self.address = str(directory / "s.sock")
            self.listening.bind(self.address)
        else:
            self.listening = socket.socket()
            self.listening.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{self.listening.getsockname()[1]}"
        self.listening.listen(64)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        fd = self.listening.fileno()
        child = str(Path(__file__).with_name("rpc_child.py"))
        self.process = subprocess.Popen(
            [sys.executable, child, self.kind, str(fd), self.address, str(self.log)], pass_fds=[fd]
        )

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    async def resolve(self, peer: str, deadline: Deadline) -> Endpoint:
        return Endpoint("unix" if self.kind == "unix" else "zmq", self.address)

    def noted(self) -> list[str]:
        return self.log.read_text().split()

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.kill()
        self.listening.close()


@pytest.fixture(params=["unix", "zmq"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(request.param, tmp_path)
    yield kept
    kept.close()


async def test_calls_wait_for_the_process_to_start(kept: Kept) -> None:
    """A call made before the process exists is answered once it does, and runs once."""
    peers = Peers(kept)
    call = asyncio.create_task(peers.call("Counter", "note", {"text": "a"}, timeout=BOUND_S))
    await asyncio.sleep(0.05)
    kept.start()
    assert kept.process is not None
    assert await call == kept.process.pid
    assert kept.noted() == ["a"]
    await peers.close()


async def test_killed_process_is_replaced_within_a_call(kept: Kept) -> None:
    """Idempotent calls go on across kill -9; each is answered by whoever runs then."""
    kept.start()
    peers = Peers(kept)
    first = await peers.call("Counter", "pid", idempotent=True, timeout=BOUND_S)
    kept.kill()
    call = asyncio.create_task(peers.call("Counter", "pid", idempotent=True, timeout=BOUND_S))
    await asyncio.sleep(0.05)
    kept.start()
    second = await call
    assert kept.process is not None
    assert second == kept.process.pid != first
    await peers.close()


async def test_interrupted_call_is_not_run_again(kept: Kept) -> None:
    """What ran when the process was killed is reported as unknown, and never executed by the next process."""
    kept.start()
    peers = Peers(kept)
    call = asyncio.create_task(peers.call("Counter", "slow", {"text": "once"}, timeout=BOUND_S))
    await until(lambda: kept.noted() == ["once"])
    kept.kill()
    kept.start()
    with pytest.raises(Unreachable) as caught:
        await call
    assert caught.value.details == {"ran": "unknown"}
    await peers.call("Counter", "note", {"text": "after"}, timeout=BOUND_S)
    assert kept.noted() == ["once", "after"]
    await peers.close()


async def test_stopped_process_costs_a_caller_its_budget_only(kept: Kept) -> None:
    """SIGSTOP makes calls time out, not hang; after SIGCONT they work again on the same connection."""
    kept.start()
    peers = Peers(kept)
    assert kept.process is not None
    await peers.call("Counter", "pid", idempotent=True, timeout=BOUND_S)
    kept.process.send_signal(signal.SIGSTOP)
    await asyncio.to_thread(os.waitid, os.P_PID, kept.process.pid, os.WSTOPPED)
    with pytest.raises(DeadlineExceeded):
        await peers.call("Counter", "pid", idempotent=True, timeout=0.2)
    kept.process.send_signal(signal.SIGCONT)
    assert await peers.call("Counter", "pid", idempotent=True, timeout=BOUND_S) == kept.process.pid
    await peers.close()
