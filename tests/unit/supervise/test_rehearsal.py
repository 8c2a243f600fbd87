"""What the zygote plays through before it forks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tandem.supervise import rehearsal

LOOK = """
import os, signal, sys
from tandem.supervise import rehearsal, zygote
def picture():
    fds = sorted(os.listdir("/proc/self/fd"))
    return zygote.threads(), fds, signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
before = picture()
rehearsal.rehearse(2)
assert picture() == before, (before, picture())
import threading
assert threading.active_count() == 1
print("same")
"""


def test_nothing_of_a_rehearsal_is_left() -> None:
    """After it the process has the threads, descriptors and signal handlers it had before, so a fork is as safe as ever."""
    done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=200, check=False)
    assert done.stdout.strip() == "same", done.stderr


def test_a_rehearsed_life_serves_real_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each life becomes ready, proves the caller's identity and answers; a wrong answer would raise."""
    answered: list[str] = []
    ask = rehearsal.Peers.call

    async def recorded(self: rehearsal.Peers, *arguments: object, **more: object) -> object:
        answer = await ask(self, *arguments, **more)  # type: ignore[arg-type]
        answered.append(str(arguments[1]))
        return answer

    monkeypatch.setattr(rehearsal.Peers, "call", recorded)
    rehearsal.rehearse(1)
    assert answered == ["ping", "health_check"]


def test_no_file_remains(tmp_path: os.PathLike[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder it lives in is removed."""
    monkeypatch.setattr(rehearsal.tempfile, "tempdir", str(tmp_path))
    rehearsal.rehearse(1)
    assert os.listdir(tmp_path) == []
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
