from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tandem.core.errors import InvalidArguments
from tandem.core.paths import Home
from tandem.supervise.log_reader import LogReader, parse_since


def line(second: int, text: str, agent: str = "A") -> bytes:
    return b'{"ts":"2024-01-01T00:00:%02d.000Z","level":"INFO","agent":"%s","msg":"%s"}\n' % (second, agent.encode(), text.encode())


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    for machine in ("m1", "m2"):
        home.machine(machine).logs.mkdir(parents=True)
    return home


def texts(reader: LogReader, earliest: str | None = None) -> list[str]:
    return [found.text.split('"msg":"')[1].split('"')[0] for found in reader.read(earliest)]


def test_lines_of_all_agents_and_machines_come_by_time(home: Home) -> None:
    """Files of two machines are merged, rotated and compressed ones included."""
    m1, m2 = home.machine("m1").logs, home.machine("m2").logs
    (m1 / "A-20240101T000000000.log.gz").write_bytes(gzip.compress(line(1, "one") + line(4, "four")))
    (m1 / "A-20240101T000005000.log").write_bytes(line(5, "five"))
    (m1 / "A.log").write_bytes(line(7, "seven"))
    (m1 / "keeper.stderr").write_bytes(b"not a log\n")
    (m2 / "B.log").write_bytes(line(2, "two", "B") + line(6, "six", "B"))
    assert texts(LogReader(home, None)) == ["one", "two", "four", "five", "six", "seven"]


@pytest.mark.parametrize(("chosen", "found"), [({"A"}, ["a1", "a2"]), ({"A@m2"}, ["a2"]), ({"B@m2", "A@m1"}, ["a1"])])
def test_names_choose_with_or_without_their_machine(home: Home, chosen: set[str], found: list[str]) -> None:
    """A bare name means it on every machine."""
    (home.machine("m1").logs / "A.log").write_bytes(line(1, "a1"))
    (home.machine("m2").logs / "A.log").write_bytes(line(2, "a2"))
    assert texts(LogReader(home, chosen)) == found


def test_earlier_lines_can_be_left_out(home: Home) -> None:
    """Only lines from the given time on are returned."""
    (home.machine("m1").logs / "A.log").write_bytes(line(1, "one") + line(2, "two"))
    assert texts(LogReader(home, None), "2024-01-01T00:00:02.000Z") == ["two"]


def test_new_lines_are_those_written_since(home: Home) -> None:
    """A half-written line waits for its end; a file that was rotated away is read from its beginning."""
    path = home.machine("m1").logs / "A.log"
    path.write_bytes(line(1, "one"))
    reader = LogReader(home, None)
    list(reader.read())
    assert reader.read_new() == []
    whole = line(2, "two")
    path.write_bytes(line(1, "one") + whole[:20])
    assert reader.read_new() == []
    path.write_bytes(line(1, "one") + whole)
    assert [found.text for found in reader.read_new()] == [whole.decode().strip()]
    path.write_bytes(line(3, "x"))
    assert len(reader.read_new()) == 1


@pytest.mark.parametrize("packed", [False, True])
def test_following_misses_nothing_when_files_are_put_aside(home: Home, packed: bool) -> None:
    """What was written before and after two rotations between two looks is read once, compressed or not."""
    path = home.machine("m1").logs / "A.log"
    path.write_bytes(line(1, "one"))
    reader = LogReader(home, None)
    assert len(list(reader.read())) == 1
    first, second = line(1, "one") + line(2, "two"), line(3, "three")
    for stamp, data in (("20240101T000002500", first), ("20240101T000003500", second)):
        aside = path.with_name(f"A-{stamp}.log" + (".gz" if packed else ""))
        aside.write_bytes(gzip.compress(data) if packed else data)
    path.write_bytes(line(4, "four"))
    assert [found.text.split('"msg":"')[1].split('"')[0] for found in reader.read_new()] == ["two", "three", "four"]
    assert reader.read_new() == []


def test_a_file_just_being_compressed_is_read_once(home: Home) -> None:
    """For a moment there is the original beside the compressed one."""
    path = home.machine("m1").logs / "A-20240101T000002500.log"
    path.write_bytes(line(1, "one"))
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(line(1, "one")))
    assert texts(LogReader(home, None)) == ["one"]


def test_files_put_aside_before_the_time_are_not_even_opened(home: Home) -> None:
    """A week of compressed logs costs nothing when the last minute is wanted."""
    logs = home.machine("m1").logs
    (logs / "A-20240101T000002000.log.gz").write_bytes(b"no gzip at all, it would be noticed" * 100)
    (logs / "A.log").write_bytes(line(5, "five"))
    assert texts(LogReader(home, None), "2024-01-01T00:00:03.000Z") == ["five"]


def test_a_line_without_a_time_stays_where_it_was(home: Home) -> None:
    """It is shown right behind the line before it."""
    (home.machine("m1").logs / "A.log").write_bytes(line(1, "one") + b"naked words\n" + line(5, "five"))
    (home.machine("m2").logs / "B.log").write_bytes(line(3, "three", "B"))
    found = [found.text for found in LogReader(home, None).read()]
    assert found[1] == "naked words"


@pytest.mark.parametrize("text", ["10m", "2h", "1d", "30s", "1.5h", "2024-01-31T12:00", "2024-01-31 12:00:05"])
def test_since_is_understood(text: str) -> None:
    """Spans and times become RFC 3339 in UTC."""
    assert len(parse_since(text)) == len("2024-01-01T00:00:00.000Z") and parse_since(text).endswith("Z")


def test_a_span_lies_that_far_back() -> None:
    """An hour ago is later than two hours ago."""
    assert parse_since("2h") < parse_since("1h") < parse_since("0s")


@pytest.mark.parametrize("text", ["", "yesterday", "10", "m"])
def test_nonsense_is_refused_with_an_example(text: str) -> None:
    """What is neither says what it could be."""
    with pytest.raises(InvalidArguments, match="10m"):
        parse_since(text)
