"""New keys for a machine: nothing is lost whenever the process is killed, and the former keys end."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tandem.core.errors import ConfigError, PermissionDenied
from tandem.core.paths import Home
from tandem.security import Authority, Guest, Host, Identity, Machine, Secret, SecretStore, Verifier, rotation

SECRETS = {"openai": Secret("sk-planted-1"), "mqtt": Secret("planted-2")}
CHANGES = ("os.rename", "os.remove", "os.rmdir", "os.mkdir")
"""Everything that makes a difference on disk: files are written under another name and renamed."""


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    store = SecretStore(home, Authority.open(home).machine("mainpc", ["10.0.0.7"]))
    for name, value in SECRETS.items():
        store.put(name, value)
    return home


def machine_of(home: Home) -> Machine:
    return Authority.open(home).machine("mainpc")


def kept(home: Home) -> dict[str, Secret]:
    """The secrets as a process that starts now reads them."""
    store = SecretStore(home, machine_of(home))
    return {name: store.get(name) for name in store.names()}


def accepts(home: Home, machine: Machine) -> bool:
    """Whether everybody who knows the CA and its revocations believes an agent of ``machine``."""
    authority = Authority.open(home)
    verifier = Verifier(authority.ca_public, dict(authority.epochs))
    try:
        return verifier.verify(Identity(machine.issue("A@mainpc")).token("x"), "x").name == "A@mainpc"
    except PermissionDenied:
        return False


def killed_at(change: int, work: Callable[[], object]) -> bool:
    """Do ``work`` in a process that is killed -9 before its ``change``-th change of the disk; whether it was."""
    pid = os.fork()
    if pid == 0:
        left = iter(range(change))

        def count(event: str, _args: object) -> None:
            if event in CHANGES and next(left, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(count)
            work()
        finally:
            os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WIFSIGNALED(status)


def rotate(home: Home) -> None:
    authority = Authority.open(home)
    rotation.begin(authority, "mainpc")
    rotation.finish(home, authority, "mainpc")


def test_killed_at_every_step_nothing_is_lost(home: Home) -> None:
    """Before each single change of the disk the process is killed -9; whoever comes next reads every secret, has keys
    that all believe, and finishes, after which the keys are new and the first ones refused."""
    for step in range(1000):
        before = machine_of(home)
        seed = (home.ca / "machines/mainpc/seed").read_bytes()
        killed = killed_at(step, lambda: rotate(home))
        assert kept(home) == SECRETS, f"killed at change {step}"
        assert accepts(home, machine_of(home)), f"killed at change {step}"
        if not killed:
            break
        rotate(home)
        assert kept(home) == SECRETS and not home.is_rotating("mainpc")
        assert accepts(home, machine_of(home)) and not accepts(home, before)
        assert (home.ca / "machines/mainpc/seed").read_bytes() != seed
    assert 20 < step < 200


def test_a_recovery_that_is_killed_too_loses_nothing(home: Home) -> None:
    """The process that tidies up after a killed one may be killed at each of its steps as well."""
    for first in (8, 12, 16, 20, 24):
        for second in range(0, 30, 3):
            killed_at(first, lambda: rotate(home))
            killed_at(second, lambda: rotate(home))
            assert kept(home) == SECRETS and accepts(home, machine_of(home)), f"killed at {first}, then at {second}"
    rotate(home)
    assert kept(home) == SECRETS


def test_both_generations_are_good_until_the_end(home: Home) -> None:
    """While a rotation lasts servers admit both, former credentials are believed and renewed; at the end neither is."""
    authority = Authority.open(home)
    former = authority.machine("mainpc")
    agent = Identity(former.issue("A@mainpc"))
    rotation.begin(authority, "mainpc")
    fresh = authority.machine("mainpc")
    assert fresh.nkey("A@mainpc") != former.nkey("A@mainpc")
    assert fresh.nkeys("A@mainpc") == [fresh.nkey("A@mainpc").public, former.nkey("A@mainpc").public]
    assert fresh.passwords("s", "A@mainpc") == [m.password("s", "A@mainpc") for m in (fresh, former)]
    assert accepts(home, former) and accepts(home, fresh)
    agent.renew(fresh.renew(agent.credential))

    rotation.finish(home, authority, "mainpc")
    assert fresh.nkeys("A@mainpc") == [fresh.nkey("A@mainpc").public]
    assert fresh.passwords("s", "A@mainpc") == [fresh.password("s", "A@mainpc")]
    assert accepts(home, fresh) and not accepts(home, former)
    with pytest.raises(PermissionDenied):
        fresh.renew(former.issue("A@mainpc").credential)


def test_a_second_begin_changes_nothing(home: Home) -> None:
    """Keys that wait for their rotation's end are not replaced by a third generation."""
    authority = Authority.open(home)
    for _ in range(2):
        rotation.begin(authority, "mainpc")
        seed = (home.ca / "machines/mainpc/seed").read_bytes()
        former = (home.ca / "machines/mainpc/former").read_bytes()
    rotation.begin(authority, "mainpc")
    assert (home.ca / "machines/mainpc/seed").read_bytes() == seed
    assert (home.ca / "machines/mainpc/former").read_bytes() == former


def test_addresses_stay_in_the_certificates(home: Home) -> None:
    """The new server certificate is good for the same addresses, so it is not made anew at the next start."""
    rotate(home)
    certificate = (home.ca / "machines/mainpc/server.pem").read_bytes()
    Authority.open(home).machine("mainpc", ["10.0.0.7"])
    assert (home.ca / "machines/mainpc/server.pem").read_bytes() == certificate


def test_a_store_opened_before_does_not_write_with_the_former_key(home: Home) -> None:
    """A command that waited for its value all through a rotation is refused, instead of storing what nobody can read."""
    store = SecretStore(home, machine_of(home))
    rotate(home)
    with pytest.raises(ConfigError, match="changed meanwhile"):
        store.put("late", Secret("value"))
    assert kept(home) == SECRETS


def test_a_damaged_secret_does_not_hold_up_the_others(home: Home) -> None:
    """What no key opened before stays as it was; the others are encrypted anew."""
    path = home.root / "secrets" / "mainpc.json"
    sealed = path.read_bytes().replace(b'"mqtt":"', b'"mqtt":"AAAA')
    path.chmod(0o600)
    path.write_bytes(sealed)
    rotate(home)
    store = SecretStore(home, machine_of(home))
    assert store.get("openai") == SECRETS["openai"]
    with pytest.raises(ConfigError, match="decrypted"):
        store.get("mqtt")


def test_only_the_founders_computer_rotates(home: Home, tmp_path: Path) -> None:
    """Elsewhere nothing changes, and the message says where to go."""
    host = Host(home, Authority.open(home))
    guest_home = Home(tmp_path / "second")
    guest = Guest(guest_home, "pc2", host.invite("pc2"))
    joined = guest.settle(host.admit(guest.question())[1])
    with pytest.raises(ConfigError, match="private key"):
        rotation.begin(joined, "pc2")
    assert not guest_home.is_rotating("pc2")
