"""Files of ours that are damaged are put aside, never deleted, and work goes on."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

import pytest

from tandem.core.damage import read_json, set_aside
from tandem.core.databases import open_database

DAMAGES = [b"", b'{"a": 1', bytes(range(256)), b'{"a": "no number"}', b'{"a": "\xff\xfe"}']


@pytest.mark.parametrize("damage", DAMAGES, ids=["empty", "cut off", "garbage", "another make", "no text"])
def test_a_damaged_file_is_put_aside_and_told(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """It counts as none, its content is kept under another name, and the log says which."""
    path = tmp_path / "state.json"
    assert read_json(path, dict[str, int]) is None and caplog.text == ""
    path.write_bytes(damage)
    with caplog.at_level(logging.ERROR):
        assert read_json(path, dict[str, int]) is None
    (aside,) = tmp_path.iterdir()
    assert aside.name.startswith("state.json.damaged-") and aside.read_bytes() == damage
    assert str(path) in caplog.text and aside.name in caplog.text


def test_a_whole_file_is_read(tmp_path: Path) -> None:
    """And stays where it is."""
    path = tmp_path / "state.json"
    path.write_bytes(b'{"a": 1}')
    assert read_json(path, dict[str, int]) == {"a": 1} and path.exists()


def test_folders_are_put_aside_alike(tmp_path: Path) -> None:
    """With all that is in them."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "m.py").write_text("x")
    assert (set_aside(tmp_path / "code") / "m.py").read_text() == "x"


SCHEMA = "CREATE TABLE IF NOT EXISTS t (x INTEGER);"


@pytest.mark.parametrize("damage", ["garbage", "cut off", "header"])
def test_a_damaged_database_is_begun_anew(tmp_path: Path, damage: str) -> None:
    """It is put aside, and what SQLite kept beside it is not taken for the new one's; a whole one is used as it is."""
    path = tmp_path / "x.db"
    for _ in range(2):
        database = open_database(path, ["journal_mode=WAL"], SCHEMA)
        database.execute("INSERT INTO t VALUES (1)")
        database.close()
    data = path.read_bytes()
    path.write_bytes({"garbage": b"\xa5" * len(data), "cut off": data[:700], "header": b"nonsense" + data[8:]}[damage])
    path.with_name("x.db-wal").write_bytes(b"of the damaged one")
    database = open_database(path, ["journal_mode=WAL"], SCHEMA)
    assert database.execute("SELECT count(*) FROM t").fetchone() == (0,)
    database.close()
    assert list(tmp_path.glob("x.db.damaged-*"))
    assert b"of the damaged one" not in [file.read_bytes() for file in tmp_path.glob("x.db-wal")]


def test_other_refusals_of_a_database_stay_errors(tmp_path: Path) -> None:
    """A statement that is wrong, or a place that is no file, is nobody's damage; nothing is put aside."""
    with pytest.raises(sqlite3.OperationalError):
        open_database(tmp_path / "x.db", [], "CREATE NONSENSE;")
    with pytest.raises(sqlite3.OperationalError):
        open_database(tmp_path, [], SCHEMA)
    assert not list(tmp_path.glob("*.damaged-*"))
