"""What is kept between runs, and when it is not trusted."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tandem.audit import Options, audit
from tandem.audit import cache as caching
from tandem.audit.scan import Audit

OLD_NS = 1_600_000_000_000_000_000
"""A time of change long before any run."""


@pytest.fixture(autouse=True)
def private_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test has a cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))


def put(path: Path, text: str, when: int = OLD_NS) -> None:
    path.write_text(text)
    os.utime(path, ns=(when, when))


def run(root: Path, *rules: str) -> Audit:
    options = Options(root=root, jobs=1)
    return audit(options if not rules else Options(root=root, jobs=1, rules=frozenset(rules)))


def lines(result: Audit) -> list[tuple[str, int]]:
    return [(item.path, item.line) for item in result.findings]


def test_second_run_reads_nothing_again(tmp_path: Path) -> None:
    """Unchanged files are taken from the cache with the same findings."""
    put(tmp_path / "a.py", 'A = "10.0.0.1"\n')
    put(tmp_path / "b.py", "print(undefined_thing)\n")
    first, second = run(tmp_path), run(tmp_path)
    assert (first.reused, second.reused) == (0, 2)
    assert second.findings == first.findings


def test_changed_file_is_read_again(tmp_path: Path) -> None:
    """A file with another time of change and other content is examined anew."""
    put(tmp_path / "a.py", 'A = "10.0.0.1"\n')
    put(tmp_path / "b.py", "B = 1\n")
    run(tmp_path)
    put(tmp_path / "a.py", '\nA = "10.0.0.1"\n', OLD_NS + 5)
    result = run(tmp_path)
    assert result.reused == 1
    assert lines(result) == [("a.py", 2)]


def test_touched_file_is_recognised_by_its_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose time changed but whose bytes did not is not parsed again."""
    from tandem.audit import scan

    put(tmp_path / "a.py", 'A = "10.0.0.1"\n')
    before = run(tmp_path)
    put(tmp_path / "a.py", 'A = "10.0.0.1"\n', OLD_NS + 5)

    def refuse(*_: object) -> object:
        raise AssertionError("parsed again")

    monkeypatch.setattr(scan, "examine", refuse)
    assert run(tmp_path).findings == before.findings


def test_file_changed_at_the_time_of_the_run_is_not_trusted(tmp_path: Path) -> None:
    """Coarse clocks can hide a change right after a run, so recent files are compared by content."""
    file = tmp_path / "a.py"
    file.write_text('A = "10.0.0.1"\n')
    stamp = file.stat()
    run(tmp_path)
    file.write_text('B = "10.0.0.2"\n')
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert "10.0.0.2" in run(tmp_path).findings[0].message


def test_deleted_file_leaves_no_findings(tmp_path: Path) -> None:
    """What is gone from the tree is gone from the report."""
    put(tmp_path / "a.py", 'A = "10.0.0.1"\n')
    put(tmp_path / "b.py", "B = 1\n")
    run(tmp_path)
    (tmp_path / "a.py").unlink()
    assert lines(run(tmp_path)) == []


@pytest.mark.parametrize("damage", [lambda data: b"", lambda data: data[: len(data) // 2], lambda data: b"\xff" * 100])
def test_damaged_cache_is_ignored(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    """A cut or overwritten cache file costs time and changes nothing."""
    put(tmp_path / "a.py", 'A = "10.0.0.1"\n')
    first = run(tmp_path)
    file = caching.cache_file(tmp_path)
    file.write_bytes(damage(file.read_bytes()))
    second = run(tmp_path)
    assert second.reused == 0
    assert second.findings == first.findings


def test_cache_of_other_code_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the audit's own code changes, nothing of the old cache is used."""
    put(tmp_path / "a.py", "A = 1\n")
    run(tmp_path)
    monkeypatch.setattr(caching, "code_version", lambda: "another")
    assert run(tmp_path).reused == 0


def test_unwritable_cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a place for the cache the audit works all the same."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    put(tmp_path / "a.py", 'A = "10.0.0.1"\n')
    assert lines(run(tmp_path)) == [("a.py", 1)]


def test_rule_left_out_at_first_is_checked_later(tmp_path: Path) -> None:
    """A cache filled without looking for undefined names does not hide them from a later run."""
    put(tmp_path / "a.py", "print(nowhere)\n")
    assert lines(run(tmp_path, "path-hack")) == []
    later = run(tmp_path)
    assert later.reused == 1
    assert lines(later) == [("a.py", 1)]


def test_cross_file_rules_see_changes_elsewhere(tmp_path: Path) -> None:
    """A finding that depends on another file appears when only that file changes."""
    put(tmp_path / "base.py", "import zmq\ndef make():\n    s = zmq.Context().socket(zmq.REQ)\n    s.RCVTIMEO = 5\n    return s\n")
    put(tmp_path / "a.py", "from base import make\nmake().recv()\n")
    assert lines(run(tmp_path, "recv-without-timeout")) == []
    put(tmp_path / "base.py", "import zmq\ndef make():\n    return zmq.Context().socket(zmq.REQ)\n", OLD_NS + 5)
    assert lines(run(tmp_path, "recv-without-timeout")) == [("a.py", 2)]


def test_nothing_is_written_into_the_tree(tmp_path: Path) -> None:
    """An audit leaves the audited tree as it was."""
    put(tmp_path / "a.py", "A = 1\n")
    run(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["a.py"]
