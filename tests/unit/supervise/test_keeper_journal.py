from __future__ import annotations

from pathlib import Path

import pytest

from tandem.supervise import keeper_journal
from tandem.supervise.keeper_journal import BecameReady, Born, Died, Gone, Journal, Memory, Past
from tandem.supervise.wire import Doors, UnitExit

A = Born(name="A", instance="a", kind="agent", pid=10, ticks=5, at=1.0, doors=Doors(unix="/run/a"))
B = Born(name="B", instance="b", kind="agent", pid=11, ticks=6, at=2.0)


def written(path: Path) -> Journal:
    journal = Journal(str(path / "j"))
    journal.start(Past())
    for record in (A, B, BecameReady(instance="a", at=3.0), Memory(name="A", data=b"x"), Memory(name="B", data=b"y")):
        journal.add(record)
    journal.add(Memory(name="B", data=b""))
    journal.add(Died(instance="b", exit=UnitExit(at=4.0, code=1)))
    return journal


def test_it_says_what_was_written(tmp_path: Path) -> None:
    """Births, readiness, deaths and memory come back; memory that was cleared does not."""
    past = written(tmp_path).load()
    assert set(past.born) == {"a", "b"} and past.born["a"].ready_at == 3.0
    assert past.born["a"].doors == Doors(unix="/run/a")
    assert past.died["b"].code == 1 and past.memory == {"A": b"x"}


def test_what_is_gone_is_forgotten(tmp_path: Path) -> None:
    """An instance of which nothing is left needs no further thought."""
    journal = written(tmp_path)
    journal.add(Gone(instance="b"))
    assert set(journal.load().born) == {"a"} and journal.load().died == {}


def test_a_torn_end_is_ignored(tmp_path: Path) -> None:
    """A record that was cut by a power loss spoils nothing before it."""
    written(tmp_path)
    path = tmp_path / "j"
    path.write_bytes(path.read_bytes()[:-3])
    past = Journal(str(path)).load()
    assert set(past.born) == {"a", "b"} and past.died == {}


def test_garbage_is_no_reason_to_fail(tmp_path: Path) -> None:
    """A file that is no journal is an empty past."""
    (tmp_path / "j").write_bytes(b"\x00\x00\x00\x04\xc1\xc1\xc1\xc1")
    assert Journal(str(tmp_path / "j")).load() == Past()


def test_an_earlier_boot_is_another_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a reboot pids mean other processes, so nothing of the journal holds."""
    written(tmp_path)
    monkeypatch.setattr(keeper_journal, "boot_id", lambda: "another boot")
    assert Journal(str(tmp_path / "j")).load() == Past()


def test_a_fresh_file_says_the_same(tmp_path: Path) -> None:
    """Starting anew keeps the past and shortens the file."""
    journal = written(tmp_path)
    for _ in range(1000):
        journal.add(Memory(name="A", data=b"x" * 100))
    past = journal.load()
    long = (tmp_path / "j").stat().st_size
    journal.start(past)
    assert journal.load() == past and (tmp_path / "j").stat().st_size < long / 10


def test_it_asks_for_a_fresh_file_when_it_has_grown(tmp_path: Path) -> None:
    """After a mebibyte the answer of add says so."""
    journal = written(tmp_path)
    assert not journal.add(B)
    assert journal.add(Memory(name="A", data=b"x" * keeper_journal.COMPACT_BYTES))


def test_without_a_file_there_is_no_past(tmp_path: Path) -> None:
    """The first keeper of a machine begins with nothing."""
    assert Journal(str(tmp_path / "none")).load() == Past()
