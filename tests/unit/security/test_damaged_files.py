"""Files of the CA, of a machine's identity and of its secrets that are damaged: mended from the seed, or named; never guessed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from tandem.core.errors import ConfigError, NotFound, PermissionDenied
from tandem.core.paths import Home
from tandem.security import Authority, EpochFile, Secret, SecretStore
from tandem.security.invitation import Invitations

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut off": lambda data: data[: len(data) // 2],
    "garbage": lambda data: bytes(range(256)) * (len(data) // 256 + 1),
    "as long": lambda data: b"\xa5" * len(data),
    "of another make": lambda data: b'{"this": ["is", "something", "else"]}\n',
}
MENDED = ("machine.jwt", "server.key", "server.pem", "client.key", "client.pem")
"""What follows from the seed and the CA's key."""

HOPELESS = ("root/cert.pem", "machines/m1/seed", "epochs.jwt")
"""What nobody can make anew."""


def damage(path: Path, kind: str) -> None:
    data = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(DAMAGES[kind](data))
    path.chmod(0o400)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home")
    authority = Authority.open(home)
    machine = authority.machine("m1", ["10.0.0.7"])
    SecretStore(home, machine).put("key", Secret("s3cret"))
    authority.revoke("Gone@m1")
    return home


def contents(home: Home) -> dict[str, bytes]:
    return {
        str(path.relative_to(home.root)): path.read_bytes()
        for path in home.root.rglob("*")
        if path.is_file() and path.name != "lock"
    }


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", MENDED)
def test_what_follows_from_the_seed_is_made_anew(home: Home, name: str, kind: str) -> None:
    """Where the CA's key is, a damaged certificate or TLS key is replaced, keys and secrets stay, nothing else changes."""
    before = Authority.open(home).machine("m1", ["10.0.0.7"])
    untouched = contents(home)
    damage(home.ca / "machines" / "m1" / name, kind)
    after = Authority.open(home).machine("m1", ["10.0.0.7"])
    assert after.curve("A@m1") == before.curve("A@m1") and after.password("x", "A@m1") == before.password("x", "A@m1")
    assert SecretStore(home, after).get("key").reveal() == "s3cret"
    whole = contents(home)
    assert {path for path in whole if whole[path] != untouched.get(path)} <= {
        *(f"ca/machines/m1/{file}" for file in MENDED), "ca/known/m1.jwt",
    }  # fmt: skip
    again = contents(home)
    Authority.open(home).machine("m1", ["10.0.0.7"])
    assert contents(home) == again, "mended once and for all"


@pytest.mark.parametrize("kind", DAMAGES)
def test_the_public_record_of_a_machine_is_made_anew(home: Home, kind: str) -> None:
    """The record servers admit a machine by is written again as long as the machine's own certificate is there."""
    damage(home.ca / "known" / "m1.jwt", kind)
    authority = Authority.open(home)
    with pytest.raises(PermissionDenied, match=r"m1\.jwt is damaged"):
        authority.record("m1")
    authority.machine("m1")
    assert authority.record("m1").sub == "m1"


@pytest.mark.parametrize("kind", DAMAGES)
@pytest.mark.parametrize("name", HOPELESS)
def test_what_nobody_can_make_anew_is_named_and_left_alone(home: Home, name: str, kind: str) -> None:
    """The CA's certificate, a seed and the revocations: refused with the file's name and what to do, and not touched."""
    damage(home.ca / name, kind)
    found = contents(home)
    with pytest.raises(ConfigError, match=Path(name).name) as caught:
        Authority.open(home).machine("m1")
    assert "damaged" in caught.value.message and "backup" in (caught.value.hint or "")
    assert contents(home) == found


@pytest.mark.parametrize("kind", DAMAGES)
def test_without_the_authoritys_key_nothing_new_is_certified(home: Home, kind: str) -> None:
    """A damaged CA key keeps what exists usable; only what needs it is refused, by name."""
    damage(home.ca / "root" / "key.pem", kind)
    authority = Authority.open(home)
    assert authority.machine("m1", ["10.0.0.7"]).name == "m1"
    for work in (lambda: authority.machine("m2"), lambda: authority.revoke("A@m1")):
        with pytest.raises(ConfigError, match=r"key\.pem is damaged"):
            work()


@pytest.mark.parametrize("name", MENDED)
def test_a_joined_computer_names_what_only_the_founder_could_mend(home: Home, name: str) -> None:
    """It is not told that it was expelled, but which file to restore."""
    (home.ca / "root" / "key.pem").unlink()
    damage(home.ca / "machines" / "m1" / name, "garbage")
    with pytest.raises(ConfigError, match=name):
        Authority.open(home).machine("m1")


@pytest.mark.parametrize("kind", DAMAGES)
def test_revocations_that_are_damaged_under_a_running_node_are_written_again(
    home: Home, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Who knows them puts the damaged file aside and writes what it knows; what was revoked stays so."""
    authority = Authority.open(home)
    news = EpochFile(authority.epochs_file)
    assert news.news()
    damage(authority.epochs_file, kind)
    news.news()  # no reader falls over it
    with caplog.at_level(logging.ERROR):
        authority.refresh()
    assert "epochs.jwt was damaged" in caplog.text
    assert Authority.open(home).epochs == {"Gone@m1": 1} == authority.epochs
    assert [path.name for path in home.ca.glob("epochs.jwt.damaged-*")]


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_store_of_secrets_is_named_and_never_overwritten(home: Home, kind: str) -> None:
    """Neither reading nor adding touches it: a backup may still be merged by hand."""
    store = SecretStore(home, Authority.open(home).machine("m1"))
    path = home.root / "secrets" / "m1.json"
    damage(path, kind)
    found = path.read_bytes()
    for work in (lambda: store.get("key"), store.names, lambda: store.put("other", Secret("x"))):
        with pytest.raises(ConfigError, match="damaged"):
            work()
    assert path.read_bytes() == found


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_invitation_admits_nobody(tmp_path: Path, kind: str) -> None:
    """It counts as none, is put aside, and others stand."""
    invitations = Invitations(tmp_path)
    invitations.add("pc2", ())
    (path,) = tmp_path.glob("*.json")
    damage(path, kind)
    with pytest.raises(NotFound):
        invitations.get(path.stem)
    invitations.add("pc3", ())
    assert [standing.machine for standing in invitations.open()] == ["pc3"]
