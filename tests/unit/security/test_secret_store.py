"""Secrets by reference."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tandem.core.errors import ConfigError, NotFound
from tandem.core.paths import Home
from tandem.core.secret_refs import is_reference
from tandem.security import Authority, Secret
from tandem.security.secrets import SecretStore, resolve_secret


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


@pytest.fixture
def store(home: Home) -> SecretStore:
    return SecretStore(home, Authority.open(home).machine("mainpc"))


def test_what_is_put_is_found_by_another_process_view(home: Home, store: SecretStore) -> None:
    """A secret is there for a second opening of the store, and can be replaced and deleted."""
    store.put("openai", Secret("sk-1"))
    store.put("openai", Secret("sk-2"))
    store.put("mqtt.password", Secret("x"))
    again = SecretStore(home, Authority.open(home).machine("mainpc"))
    assert again.get("openai") == Secret("sk-2")
    assert again.names() == ["mqtt.password", "openai"]
    again.delete("openai")
    with pytest.raises(NotFound):
        store.get("openai")
    with pytest.raises(NotFound):
        store.delete("openai")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(value=st.text())
def test_any_text_can_be_a_secret(store: SecretStore, value: str) -> None:
    """Line breaks, quotes, emptiness and any script come back unchanged."""
    store.put("k", Secret(value))
    assert store.get("k").reveal() == value


def test_the_file_is_private_and_tells_nothing(home: Home, store: SecretStore) -> None:
    """On disk are names and ciphertext, readable by this uid only."""
    store.put("openai", Secret("very secret value"))
    path = home.root / "secrets" / "mainpc.json"
    assert path.stat().st_mode & 0o777 == 0o400
    assert b"secret value" not in path.read_bytes()


def test_another_machines_key_does_not_open_it(home: Home, store: SecretStore) -> None:
    """A store copied to another machine's name is refused, with the cure and without the value."""
    store.put("openai", Secret("very secret value"))
    folder = home.root / "secrets"
    (folder / "mainpc.json").rename(folder / "pc2.json")
    stranger = SecretStore(home, Authority.open(home).machine("pc2"))
    with pytest.raises(ConfigError, match="tandem secrets set openai"):
        stranger.get("openai")


def test_values_cannot_be_exchanged_within_the_file(home: Home, store: SecretStore) -> None:
    """Giving one secret's ciphertext another one's name is noticed."""
    store.put("harmless", Secret("a"))
    store.put("precious", Secret("b"))
    path = home.root / "secrets" / "mainpc.json"
    swapped = path.read_bytes().replace(b"harmless", b"tmp").replace(b"precious", b"harmless")
    path.unlink()
    path.write_bytes(swapped)
    path.chmod(0o400)
    with pytest.raises(ConfigError, match="decrypted"):
        store.get("harmless")


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "x" * 101])
def test_names_are_plain(store: SecretStore, name: str) -> None:
    """A name that could be a path is refused when stored and when referred to."""
    with pytest.raises(ConfigError):
        store.put(name, Secret("v"))
    with pytest.raises((ConfigError, NotFound)):
        resolve_secret(f"secret:{name}", store)


def test_a_damaged_store_is_reported(home: Home, store: SecretStore) -> None:
    """A store that is not JSON any more is an error that names the file, not an empty store."""
    store.put("a", Secret("v"))
    path = home.root / "secrets" / "mainpc.json"
    path.unlink()
    path.write_bytes(b"{")
    path.chmod(0o400)
    with pytest.raises(ConfigError, match="damaged"):
        store.names()


def test_references_find_their_secret(store: SecretStore, tmp_path: Path) -> None:
    """A mounted secret goes before the store; a private file is read without its last line break."""
    mounted = tmp_path / "run"
    mounted.mkdir()
    store.put("a", Secret("stored a"))
    store.put("b", Secret("stored b"))
    (mounted / "a").write_text("mounted a\n")
    private = tmp_path / "key.txt"
    private.write_text("from file\r\n")
    private.chmod(0o400)
    assert resolve_secret("secret:a", store, mounted) == Secret("mounted a")
    assert resolve_secret("secret:b", store, mounted) == Secret("stored b")
    assert resolve_secret(f"secret-file:{private}", store, mounted) == Secret("from file")
    with pytest.raises(NotFound, match="'c'"):
        resolve_secret("secret:c", store, mounted)


def test_a_file_others_can_read_is_no_secret(store: SecretStore, tmp_path: Path) -> None:
    """A referenced file with loose permissions is refused, and so is one that is missing or not text."""
    loose = tmp_path / "loose"
    loose.write_text("v")
    loose.chmod(0o644)
    binary = tmp_path / "binary"
    binary.write_bytes(os.urandom(8) + b"\xff")
    binary.chmod(0o400)
    for path in (loose, binary, tmp_path / "missing"):
        with pytest.raises(ConfigError):
            resolve_secret(f"secret-file:{path}", store)


def test_plain_text_is_no_reference(store: SecretStore) -> None:
    """Ordinary settings are not mistaken for references, and resolving one is an error that does not repeat it."""
    assert is_reference("secret:openai") and is_reference("secret-file:/run/x")
    assert not any(map(is_reference, ("", "openai", "http://x", "file:/run/x", "secret:", "Secret:x")))
    with pytest.raises(ConfigError) as caught:
        resolve_secret("hunter2", store)
    assert "hunter2" not in str(caught.value)
