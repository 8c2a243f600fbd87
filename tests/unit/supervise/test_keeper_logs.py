from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tandem.supervise import keeper_logs
from tandem.supervise.keeper_logs import LogBook, LogStream, compress
from tandem.supervise.wire import LogLimits

NOW = 1_700_000_000.0


def stream(root: Path, **limits: Any) -> LogStream:
    return LogStream(str(root), "A", LogLimits(**limits), "m1")


def lines(root: Path, name: str = "A") -> list[dict[str, Any]]:
    return [msgspec.json.decode(line) for line in (root / f"{name}.log").read_bytes().splitlines() if line]


def test_json_lines_pass_and_plain_ones_are_wrapped(tmp_path: Path) -> None:
    """An agent's JSON is stored as it is; anything else with the time it was read, agent and machine."""
    stream(tmp_path).feed(b'{"msg":"mine","n":1}\nplain words\n', NOW)
    own, wrapped = lines(tmp_path)
    assert own == {"msg": "mine", "n": 1}
    assert wrapped == {"ts": "2023-11-14T22:13:20.000Z", "agent": "A", "machine": "m1", "msg": "plain words"}


def test_a_line_may_arrive_in_pieces(tmp_path: Path) -> None:
    """Bytes are kept until their newline comes; what is left at the end is a line too."""
    log = stream(tmp_path)
    for piece in (b"on", b"e\ntw", b"o"):
        log.feed(piece, NOW)
    log.end(NOW)
    assert [line["msg"] for line in lines(tmp_path)] == ["one", "two"]


def test_overlong_lines_are_cut(tmp_path: Path) -> None:
    """A line beyond the limit is cut and marked, whether its newline has come or not."""
    log = stream(tmp_path, line_bytes=10)
    log.feed(b"x" * 50 + b"\n" + b"y" * 50, NOW)
    log.end(NOW)
    assert [line["msg"] for line in lines(tmp_path)] == ["x" * 10 + " (cut)", "y" * 10 + " (cut)"]


def test_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    """Invalid UTF-8 is stored with replacement characters."""
    stream(tmp_path).feed(b"\xff\xfe\n", NOW)
    assert lines(tmp_path)[0]["msg"] == "\ufffd\ufffd"


def test_the_tail_keeps_the_last_lines(tmp_path: Path) -> None:
    """The newest twenty lines are remembered, each cut to a size fit for a table."""
    log = stream(tmp_path)
    log.feed(b"".join(b"%d\n" % n for n in range(30)) + b"z" * 5000 + b"\n", NOW)
    assert list(log.tail)[:2] == ["11", "12"] and len(log.tail) == keeper_logs.TAIL_LINES
    assert len(log.tail[-1]) == keeper_logs.TAIL_LINE_BYTES


def test_the_rate_is_limited_per_window_and_counted(tmp_path: Path) -> None:
    """Lines beyond the rate are left out; the count is written when the window is over, and counting begins anew."""
    log = stream(tmp_path, rate_lines=3, rate_window_s=30.0)
    log.feed(b"a\n" * 10, NOW)
    log.tick(NOW + 29)
    assert len(lines(tmp_path)) == 3
    log.tick(NOW + 31)
    assert lines(tmp_path)[-1]["suppressed"] == 7
    log.feed(b"b\n", NOW + 31)
    assert lines(tmp_path)[-1]["msg"] == "b"


def test_a_clock_that_is_set_back_does_not_silence_anybody(tmp_path: Path) -> None:
    """The window of the rate limit ends when the clock jumps back, and what it left out is told."""
    book = LogBook(str(tmp_path), "m1", LogLimits(rate_lines=2, rate_window_s=30.0))
    log = book.stream("A")
    log.feed(b"a\nb\nc\n", NOW)
    log.feed(b"d\n", NOW - 3600)
    log.feed(b"e\n", NOW - 3590)
    said = [json.loads(line)["msg"] for line in (tmp_path / "A.log").read_text().splitlines()]
    assert said == ["a", "b", "suppressed 1 lines: too many at once", "d", "e"]


def test_a_disk_that_refuses_costs_lines_and_says_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is raised; the lost lines are counted, and the count is written with the first line that fits again."""
    log = stream(tmp_path)
    log.feed(b"first\n", NOW)
    real = os.write

    def full(_fd: int, _data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(keeper_logs.os, "write", full)
    log.feed(b"lost\nlost too\n", NOW)
    assert log.dropped == 2
    monkeypatch.setattr(keeper_logs.os, "write", real)
    log.feed(b"again\n", NOW)
    assert [line["msg"] for line in lines(tmp_path)] == ["first", "2 lines lost: No space left on device", "again"]
    assert log.dropped == 0


def test_a_torn_write_does_not_spoil_the_next_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a short write the next line begins on a line of its own."""
    log = stream(tmp_path)
    real = os.write
    monkeypatch.setattr(keeper_logs.os, "write", lambda fd, data: real(fd, data[:5]))
    log.feed(b"torn apart\n", NOW)
    monkeypatch.setattr(keeper_logs.os, "write", real)
    log.feed(b"whole\n", NOW)
    raw = (tmp_path / "A.log").read_bytes().splitlines()
    assert msgspec.json.decode(raw[-1])["msg"] == "whole"
    assert "the disk is full" in msgspec.json.decode(raw[-2])["msg"]


def test_rotation_by_size(tmp_path: Path) -> None:
    """A file that reaches its ceiling is moved aside at once and a new one begins."""
    log = stream(tmp_path, file_bytes=1000)
    for _ in range(30):
        log.feed(b"x" * 90 + b"\n", NOW)
    assert len(log.rotated) >= 3
    assert all(Path(path).stat().st_size < 1200 for path in log.rotated)


def test_rotation_by_age(tmp_path: Path) -> None:
    """A file older than its age is moved aside even if it is small."""
    log = stream(tmp_path, file_age_s=60.0)
    log.feed(b"x\n", NOW)
    opened = log._opened_at
    log.tick(opened + 59)
    assert log.rotated == []
    log.tick(opened + 61)
    assert len(log.rotated) == 1 and not (tmp_path / "A.log").exists()


def test_the_ceiling_removes_the_oldest_first_and_spares_live_files(tmp_path: Path) -> None:
    """Rotated files go by age until the directory fits, logs of agents that no longer exist included."""
    for age, name in enumerate(["new-20240103T000000000.log.gz", "gone-20240102T000000000.log", "old-20240101T000000000.log.gz"]):
        (tmp_path / name).write_bytes(b"x" * 400)
        os.utime(tmp_path / name, (NOW - age * 100, NOW - age * 100))
    book = LogBook(str(tmp_path), "m1", LogLimits(total_bytes=1000))
    book.stream("A").feed(b"x" * 300 + b"\n", NOW)
    book.sweep(NOW)
    assert sorted(path.name[:3] for path in tmp_path.iterdir()) == ["A.l", "new"]


def test_a_log_with_a_bound_of_its_own_stays_below_it(tmp_path: Path) -> None:
    """`log_mb` removes that agent's oldest files, and nobody else's; names that only begin alike are others."""
    book = LogBook(str(tmp_path), "m1", LogLimits(rate_lines=1_000_000))
    book.bound("A", 1)
    for name in ("A", "A-two", "B"):
        (tmp_path / f"{name}-20240101T000000000.log.gz").write_bytes(b"x" * 600_000)
        os.utime(tmp_path / f"{name}-20240101T000000000.log.gz", (NOW - 100, NOW - 100))
    for second in range(8):
        book.stream("A").feed(b"y" * 60_000 + b"\n" + b"z" * 60_000 + b"\n", NOW + second)
        book.tick(NOW + second)
    kept = sum(path.stat().st_size for path in tmp_path.glob("A-2*")) + (tmp_path / "A.log").stat().st_size
    assert kept <= 1 << 20
    assert not (tmp_path / "A-20240101T000000000.log.gz").exists()
    assert (tmp_path / "A-two-20240101T000000000.log.gz").exists()
    assert (tmp_path / "B-20240101T000000000.log.gz").exists()
    book.close()


def test_a_rotated_file_is_offered_for_compression_once(tmp_path: Path) -> None:
    """What was rotated waits for the compressor; a file the ceiling has claimed meanwhile is passed over."""
    book = LogBook(str(tmp_path), "m1", LogLimits(file_bytes=100, total_bytes=10_000))
    log = book.stream("A")
    log.ceiling = 100
    for _ in range(3):
        log.feed(b"x" * 200 + b"\n", NOW)
    book.tick(NOW)
    first = book.to_compress()
    assert first is not None
    for path in tmp_path.glob("A-*.log"):
        path.unlink()
    assert book.to_compress() is None


def test_compress_replaces_the_file(tmp_path: Path) -> None:
    """The content is in the .gz, the original is gone, no partial file is left."""
    path = tmp_path / "A-1.log"
    path.write_bytes(b"line\n" * 1000)
    pid = os.fork()
    if pid == 0:
        compress(str(path))
        os._exit(0)
    os.waitpid(pid, 0)
    assert [p.name for p in tmp_path.iterdir()] == ["A-1.log.gz"]
    assert gzip.decompress((tmp_path / "A-1.log.gz").read_bytes()) == b"line\n" * 1000
