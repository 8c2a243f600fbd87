"""What this computer must be able to do: Python, kernel, memory, limits, clock, GPU."""

from __future__ import annotations

import ctypes
import os
import resource
import socket
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from tandem.core.checkup import Finding, fine, note, problem
from tandem.fleet.model import Fleet

OLDEST_PYTHON, NEWEST_TESTED = (3, 11), (3, 13)
LOW_MEMORY_MB = 1024
FILES_PER_AGENT = 8
"""What the keeper holds of an agent (sockets, pipes, log), rounded up."""
FILES_ASIDE = 200
EARLIEST_YEAR = 2024
"""A clock before this was never set: no version of this program existed."""
_PR_GET_CHILD_SUBREAPER = 37  # linux/prctl.h
_STA_UNSYNC = 0x0040  # linux/timex.h


def judge_python() -> Iterable[Finding]:
    """The interpreter, and whether it is that of a virtual environment."""
    version = f"Python {sys.version.split()[0]}"
    if sys.version_info < OLDEST_PYTHON:
        yield problem("python", f"{version} is too old", "install Python 3.11 or newer, then `make clean up`")
    elif sys.version_info[:2] > NEWEST_TESTED:
        yield note("python", f"{version} is newer than what Tandem is tested with (3.11 to 3.13)")
    else:
        yield fine("python", f"{version} at {sys.executable}")
    if sys.prefix == sys.base_prefix:
        yield note("python", "not a virtual environment", "python3 -m venv .venv, and install Tandem there")


def judge_kernel() -> Iterable[Finding]:
    """What supervision rests on; each is probed, not read off a version."""
    if sys.platform != "linux":
        yield problem("kernel", f"Tandem runs on Linux, this is {sys.platform}")
        return
    lacking = [name for name, probe in _FEATURES.items() if not _works(probe)]
    if lacking:
        yield problem(
            "kernel", f"this kernel or container refuses {', '.join(lacking)}", "Linux 5.3 or newer, and no seccomp filter"
        )  # fmt: skip
    else:
        yield fine("kernel", f"Linux {os.uname().release} with {', '.join(_FEATURES)}")


def judge_memory() -> list[Finding]:
    for line in Path("/proc/meminfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key == "MemAvailable":
            megabytes = int(value.split()[0]) // 1024
            if megabytes < LOW_MEMORY_MB:
                return [note("memory", f"only {megabytes} MiB of memory are free", "close something large")]
            return [fine("memory", f"{megabytes} MiB are free")]
    return []


def judge_open_files(agents: int) -> list[Finding]:
    """Whether one process may hold what a keeper of ``agents`` agents holds."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = FILES_ASIDE + FILES_PER_AGENT * agents
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return [fine("open files", f"{'any number' if soft == resource.RLIM_INFINITY else soft} per process")]
    message = f"a process may open {soft} files, {agents} agents need {needed}"
    fits = hard == resource.RLIM_INFINITY or hard >= needed
    fix = (
        f"ulimit -n {needed}"
        if fits
        else f"raise nofile to {needed} in /etc/security/limits.conf, log in again"
    )
    return [problem("open files", message, fix)]


def judge_gpu(fleet: Fleet | None, machines: Iterable[str]) -> list[Finding]:
    """The NVIDIA driver, where the fleet file declares a GPU for one of ``machines``."""
    declared = [name for name in machines if fleet is not None and fleet.machines[name].gpu is not None]
    version = Path("/proc/driver/nvidia/version")
    if Path("/dev/nvidiactl").exists():
        words = version.read_text().splitlines()[0] if version.exists() else "an NVIDIA device"
        return [fine("gpu", words.removeprefix("NVRM version: ").strip())]
    if not declared:
        return [fine("gpu", "none, and none is declared")]
    return [note("gpu", f"no GPU here, although {', '.join(declared)} declare one: models run on the CPU")]


def judge_clock() -> Iterable[Finding]:
    """Whether the time is plausible, kept right, and in the zone of the person who asks for it."""
    now = time.localtime()
    said = time.strftime("%Y-%m-%d %H:%M %Z", now)
    if now.tm_year < EARLIEST_YEAR:
        yield problem("clock", f"the clock says {said}", "sudo timedatectl set-ntp true")
    elif _is_kept_right() is False:
        yield note("clock", f"{said}, and nothing keeps it right", "sudo timedatectl set-ntp true")
    else:
        yield fine("clock", said)
    if not os.environ.get("TZ") and not Path("/etc/localtime").exists():
        yield note(
            "clock", "no time zone is set, so the assistant speaks in UTC", "sudo timedatectl set-timezone …"
        )


def _works(probe: object) -> bool:
    assert callable(probe)
    try:
        probe()
    except (OSError, AttributeError):
        return False
    return True


def _pidfd() -> None:
    os.close(os.pidfd_open(os.getpid()))


def _subreaper() -> None:
    is_one = ctypes.c_int()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(is_one), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def _peer_credentials() -> None:
    one, other = socket.socketpair()
    with one, other:
        one.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)


def _memory_files() -> None:
    os.close(os.memfd_create("tandem-doctor"))


def _proc() -> None:
    Path(f"/proc/{os.getpid()}/stat").read_bytes()
    Path("/proc/sys/kernel/random/boot_id").read_bytes()


_FEATURES = {
    "pidfd": _pidfd,
    "subreaper": _subreaper,
    "peer credentials": _peer_credentials,
    "memfd": _memory_files,
    "/proc": _proc,
}


def _is_kept_right() -> bool | None:
    """Whether the kernel thinks that somebody corrects its clock (adjtimex(2)); None when it does not tell."""
    # struct timex has 208 bytes; `modes` 0 only reads, and `status` is the int at offset 40 on 64-bit Linux.
    buffer = ctypes.create_string_buffer(256)
    try:
        if ctypes.CDLL(None).adjtimex(buffer) < 0:
            return None
    except AttributeError:
        return None
    return not int.from_bytes(buffer.raw[40:44], sys.byteorder) & _STA_UNSYNC
