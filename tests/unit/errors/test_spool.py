"""The spool keeps what it accepted, in order, within its bounds."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.errors.severity import SEVERITIES, Severity
from tandem.errors.spool import Spool, open_spool

E, C, D = Severity.ERROR, Severity.CRITICAL, Severity.DEBUG


def opened(directory: Path, limit: int = 1 << 20, segment_size: int = 1 << 14) -> Spool:
    spool = open_spool(directory, limit, segment_size)
    assert spool is not None
    return spool


def drain(spool: Spool, records: int = 7) -> list[tuple[Severity, bytes]]:
    found = []
    while batch := spool.batch(records, 1 << 16):
        found += [(batch.severity, record.data) for record in batch.records]
        spool.acknowledge(batch.last)
    return found


def test_order_is_kept_across_severities(tmp_path: Path) -> None:
    """Records come out as they went in, although each severity has files of its own."""
    spool = opened(tmp_path / "s")
    wanted = [(SEVERITIES[n * 7 % 5], b"%d" % n) for n in range(500)]
    for severity, data in wanted:
        assert spool.append(severity, data)
    assert drain(spool) == wanted
    assert not spool.waiting


def test_a_batch_is_one_severity_and_the_same_until_acknowledged(tmp_path: Path) -> None:
    """A repeated batch has the same name and contents whatever was appended meanwhile, so the server can recognise it."""
    spool = opened(tmp_path / "s")
    for severity, data in ((E, b"1"), (E, b"2"), (C, b"3")):
        spool.append(severity, data)
    first = spool.batch(10, 1000)
    spool.append(E, b"4")
    assert first is not None
    assert first.payload() == b"[1,2]"
    assert spool.batch(10, 1000) == first
    spool.acknowledge(first.last)
    second = spool.batch(10, 1000)
    assert second is not None
    assert (second.severity, second.payload()) == (C, b"[3]")
    assert second.name != first.name


def test_what_was_not_acknowledged_is_found_by_the_next_process(tmp_path: Path) -> None:
    """A new process goes on behind the last acknowledged record and numbers on."""
    spool = opened(tmp_path / "s")
    for n in range(100):
        spool.append(E, b"%d" % n)
    batch = spool.batch(40, 10_000)
    assert batch is not None
    spool.acknowledge(batch.last)
    spool.close()
    spool = opened(tmp_path / "s")
    spool.append(D, b"later")
    assert [data for _, data in drain(spool)] == [b"%d" % n for n in range(40, 100)] + [b"later"]


def test_a_second_process_is_kept_out(tmp_path: Path) -> None:
    """Only one holds a spool; closing it lets the next one in."""
    spool = opened(tmp_path / "s")
    assert open_spool(tmp_path / "s") is None
    spool.close()
    opened(tmp_path / "s").close()


def test_a_record_cut_short_is_left_out(tmp_path: Path) -> None:
    """A write that was interrupted at any byte costs that record, which nobody acknowledged, and nothing else."""
    spool = opened(tmp_path / "s")
    for n in range(3):
        spool.append(E, b"record %d" % n)
    spool.close()
    [path] = (tmp_path / "s").glob("*.seg")
    whole = path.read_bytes()
    for cut in range(len(whole) * 2 // 3 + 1, len(whole)):
        path.write_bytes(whole[:cut])
        spool = opened(tmp_path / "s")
        assert spool.append(E, b"new")
        assert spool.dropped() == {}
        batch = spool.batch(10, 1000)
        assert batch is not None
        assert [record.data for record in batch.records] == [b"record 0", b"record 1", b"new"]
        spool.close()


def test_a_damaged_record_is_noticed(tmp_path: Path) -> None:
    """A changed byte ends its file there, and the loss is counted instead of passed on as truth."""
    spool = opened(tmp_path / "s")
    for n in range(3):
        spool.append(E, b"record %d" % n)
    spool.close()
    [path] = (tmp_path / "s").glob("*.seg")
    content = bytearray(path.read_bytes())
    content[len(content) * 2 // 3 - 1] ^= 1
    path.write_bytes(content)
    spool = opened(tmp_path / "s")
    assert [data for _, data in drain(spool)] == [b"record 0"]
    assert spool.dropped() == {E: 1}


def test_a_full_spool_drops_the_lowest_severity_first_and_counts(tmp_path: Path) -> None:
    """Critical reports find room at the cost of debug ones; every single one is delivered or counted."""
    spool = opened(tmp_path / "s", limit=40_000, segment_size=4_000)
    accepted = sum(spool.append(D, b"d" * 100) for _ in range(1000))
    assert spool.dropped() == {D: 1000 - accepted}
    assert all(spool.append(C, b"c" * 100) for _ in range(100))
    left = drain(spool)
    assert left.count((C, b"c" * 100)) == 100
    assert left.count((D, b"d" * 100)) + spool.dropped()[D] == 1000
    assert C not in spool.dropped()


def test_what_is_as_severe_and_accepted_stays(tmp_path: Path) -> None:
    """When nothing lower is left, the newcomer is refused and counted, since what was accepted is not given up."""
    spool = opened(tmp_path / "s", limit=10_000, segment_size=2_000)
    accepted = [n for n in range(500) if spool.append(E, b"%04d" % n + b"x" * 96)]
    assert [int(data[:4]) for _, data in drain(spool)] == accepted
    assert spool.dropped() == {E: 500 - len(accepted)}
    assert spool.append(E, b"room again")


def test_dropped_counts_survive_the_process(tmp_path: Path) -> None:
    """The number of lost reports is on disk, and only what was told is taken off."""
    spool = opened(tmp_path / "s", limit=8_000, segment_size=1_000)
    for _ in range(200):
        spool.append(E, b"x" * 100)
    told = spool.dropped()
    spool.append(E, b"x" * 100)
    spool.told_dropped(told)
    spool.close()
    assert opened(tmp_path / "s", limit=8_000).dropped() == {E: 1}


def test_files_of_shipped_records_go(tmp_path: Path) -> None:
    """However much passes through, the directory stays small."""
    spool = opened(tmp_path / "s", segment_size=4_000)
    for _ in range(50):
        for _ in range(100):
            spool.append(E, b"x" * 100)
        drain(spool, 64)
    assert sum(file.stat().st_size for file in (tmp_path / "s").iterdir()) < 8_000
    assert spool.fill < 0.01


def test_a_full_disk_refuses_and_leaves_no_half_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk takes only a part of a record, the call says so and later records are sound."""
    spool = opened(tmp_path / "s")
    spool.append(E, b"before")
    real = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: real(fd, data[:5]))
    assert not spool.append(E, b"during")
    monkeypatch.undo()
    assert spool.append(E, b"after")
    spool.close()
    spool = opened(tmp_path / "s")
    assert [data for _, data in drain(spool)] == [b"before", b"after"]
    assert spool.dropped() == {E: 1}


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("append"), st.sampled_from(SEVERITIES), st.binary(max_size=3000)),
            st.tuples(st.just("ship"), st.integers(1, 5), st.just(b"")),
            st.tuples(st.just("reopen"), st.just(0), st.just(b"")),
        ),
        max_size=60,
    )
)
def test_nothing_is_lost_uncounted(tmp_path_factory: pytest.TempPathFactory, steps: list) -> None:
    """Through any mixture of reports, shipping and restarts: what comes out is in order, once, and the rest is counted."""
    directory = tmp_path_factory.mktemp("spool") / "s"
    spool = opened(directory, limit=16_000, segment_size=2_000)
    sent: list[tuple[Severity, bytes]] = []
    shipped: list[tuple[Severity, bytes]] = []
    for step, first, data in steps:
        if step == "append":
            sent.append((first, b"%d:" % len(sent) + data))
            spool.append(*sent[-1])
        elif step == "ship" and (batch := spool.batch(first, 4_000)):
            shipped += [(batch.severity, record.data) for record in batch.records]
            spool.acknowledge(batch.last)
        elif step == "reopen":
            spool.close()
            spool = opened(directory, limit=16_000, segment_size=2_000)
    shipped += drain(spool)
    assert shipped == [record for record in sent if record in set(shipped)]
    for severity in SEVERITIES:
        missing = sum(record[0] is severity for record in sent) - sum(
            record[0] is severity for record in shipped
        )
        assert missing == spool.dropped().get(severity, 0)
    spool.close()


@pytest.mark.parametrize("damage", [b"", b"short", b"\xa5" * 66, b"\xa5" * 200, b"\x00" * 66])
def test_a_damaged_note_of_what_was_sent_loses_nothing(tmp_path: Path, damage: bytes) -> None:
    """What waits is sent once more under new names: who counts knows reports by their own identity."""
    spool = opened(tmp_path / "s")
    for n in range(3):
        spool.append(E, b"record %d" % n)
    spool.close()
    (tmp_path / "s" / "state").write_bytes(damage)
    spool = opened(tmp_path / "s")
    assert [data for _, data in drain(spool)] == [b"record 0", b"record 1", b"record 2"]
    spool.close()
    spool = opened(tmp_path / "s")
    assert drain(spool) == [] and spool.append(E, b"next") and [data for _, data in drain(spool)] == [b"next"]
