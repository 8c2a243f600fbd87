"""What travels to a computer that joins, and what a parcel may do there."""

from __future__ import annotations

import hashlib
import zlib
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.core.errors import ConfigError, PermissionDenied, TandemError, TooLarge
from tandem.fleet import load
from tandem.fleet.model import Fleet
from tandem.release import parcel
from tandem.release.parcel import File, missing, pack, unpack

FLEET = """
fleet: home
machines: {mainpc: {}}
groups:
  g:
    machine: mainpc
    agents:
      A: {class: "own.a:A"}
      B: {command: [python, old/serve.py, --fast]}
      C: {command: [python, script.py]}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A fleet with a package, a shared module, two scripts, and much that is nobody's business."""
    files = {
        "fleet.yaml": FLEET,
        "own/__init__.py": "",
        "own/a.py": "import json, shared, msgspec, tandem.agent, no_such_package\nclass A: ...\n",
        "own/words.txt": "data",
        "own/.env": "PASSWORD=planted",
        "own/__pycache__/a.cpython-311.pyc": "x",
        "shared.py": "VALUE = 1\n",
        "old/serve.py": "import helper\n",
        "old/helper.py": "",
        "script.py": "import beside\n",
        "beside.py": "",
        "unused.py": "",
        "private.key": "planted",
        ".git/config": "planted",
    }
    for name, text in files.items():
        path = tmp_path / "here" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "here/old/serve.py").chmod(0o755)
    return tmp_path / "here"


def read(folder: Path) -> Fleet:
    loaded = load(folder / "fleet.yaml")
    assert loaded.fleet is not None, loaded.diagnostics
    return loaded.fleet


def packed(*files: File) -> tuple[bytes, dict[str, str]]:
    digests = {file.path: hashlib.sha256(file.data).hexdigest() for file in files}
    return zlib.compress(msgspec.msgpack.encode(list(files))), digests


def test_the_fleets_own_code_travels_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    """Packages, modules and scripts that agents use arrive as they are; hidden, compiled, unused and installed files stay."""
    made = pack(read(folder))
    assert sorted(made.digests) == [
        "beside.py", "old/helper.py", "old/serve.py", "own/__init__.py", "own/a.py", "own/words.txt", "script.py", "shared.py",
    ]  # fmt: skip
    assert b"planted" not in zlib.decompress(made.archive)
    there = tmp_path / "there" / "fleet"
    assert unpack(made.archive, made.digests, FLEET, there) is False
    for name in (*made.digests, "fleet.yaml"):
        assert (there / name).read_bytes() == (folder / name).read_bytes()
    assert (there / "old/serve.py").stat().st_mode & 0o777 == 0o700
    assert (there / "shared.py").stat().st_mode & 0o777 == 0o600


def test_packages_the_code_imports_are_named_when_absent(folder: Path) -> None:
    """Installed third-party packages are listed with their version; the platform, the standard library, own modules and
    imports that do not work here either are not."""
    needs = pack(read(folder)).needs
    assert list(needs) == ["msgspec"] and needs["msgspec"]
    assert missing({**needs, "surely_not_there": "1.2", "nor_this": ""}) == ["nor_this", "surely_not_there (1.2)"]


def test_what_was_there_is_kept_beside(folder: Path, tmp_path: Path) -> None:
    """A second join replaces the code in one step and says so; the former code is put aside, not mixed in."""
    there = tmp_path / "there" / "fleet"
    archive, digests = packed(File("old.py", b"1"))
    unpack(archive, digests, "fleet: one", there)
    archive, digests = packed(File("new.py", b"2"))
    assert unpack(archive, digests, "fleet: two", there) is True
    assert sorted(path.name for path in there.iterdir()) == ["fleet.yaml", "new.py"]
    assert (there.parent / "fleet.before-joining" / "old.py").exists()
    assert sorted(path.name for path in there.parent.iterdir()) == ["fleet", "fleet.before-joining"]


@pytest.mark.parametrize(
    "path",
    ["../x.py", "/etc/x", "a/../../x", "a//b", "", ".", ".ssh/config", "a/.env", "a\\..\\b", "C:x", "a\0b", "fleet.yaml", "a" * 256],
)
def test_a_path_that_leads_elsewhere_is_refused(path: str, tmp_path: Path) -> None:
    """No parcel writes outside its folder, to a hidden file or over the fleet file; nothing of it is left."""
    archive, digests = packed(File("fine.py", b""), File(path, b"x"))
    with pytest.raises(PermissionDenied):
        unpack(archive, digests, "", tmp_path / "there" / "fleet")
    assert not (tmp_path / "there").exists() or not list((tmp_path / "there").iterdir())


def test_only_what_was_announced_is_taken(tmp_path: Path) -> None:
    """A changed, an additional, a missing or a doubled file is refused."""
    good = File("a.py", b"1")
    _, digests = packed(good)
    for files in ([File("a.py", b"2")], [good, File("b.py", b"")], [], [good, good]):
        archive = zlib.compress(msgspec.msgpack.encode(files))
        with pytest.raises(PermissionDenied):
            unpack(archive, digests, "", tmp_path / "fleet")


def test_a_file_in_the_way_of_a_folder_is_an_error(tmp_path: Path) -> None:
    """A parcel whose files cannot exist beside each other is refused with a typed error, and leaves nothing."""
    archive, digests = packed(File("a", b""), File("a/b", b""))
    with pytest.raises(ConfigError):
        unpack(archive, digests, "", tmp_path / "fleet")
    assert list(tmp_path.iterdir()) == []


def test_a_parcel_that_unfolds_into_all_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes that would become very many are given up on at the limit."""
    monkeypatch.setattr(parcel, "BYTES_MAX", 1000)
    monkeypatch.setattr(parcel, "FILES_MAX", 1)
    with pytest.raises(TooLarge):
        unpack(zlib.compress(b"\0" * 10_000_000), {}, "", tmp_path / "fleet")
    archive, digests = packed(File("a", b"x" * 1001))
    with pytest.raises(TooLarge):
        unpack(archive, digests, "", tmp_path / "fleet")


@given(st.binary(max_size=300))
def test_no_bytes_break_unpacking(data: bytes) -> None:
    """Whatever arrives, whole or compressed, ends in a typed error; no folder is made."""
    for archive in (data, zlib.compress(data)):
        with pytest.raises(TandemError):
            unpack(archive, {"a": "b"}, "", Path("/nonexistent/fleet"))


def test_too_much_code_is_refused_before_anybody_is_invited(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package full of models is named as what it is."""
    monkeypatch.setattr(parcel, "BYTES_MAX", 10)
    with pytest.raises(TooLarge, match="beside the fleet file"):
        pack(read(folder))


def test_a_link_out_of_a_package_does_not_travel(folder: Path, tmp_path: Path) -> None:
    """What a link shows may be a private key: it is named and refused, to a file and to a folder alike."""
    (tmp_path / "id_ed25519").write_text("planted")
    link = folder / "own" / "key.txt"
    link.symlink_to(tmp_path / "id_ed25519")
    with pytest.raises(ConfigError, match=r"key\.txt"):
        pack(read(folder))
    link.unlink()
    link.symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="folder"):
        pack(read(folder))
