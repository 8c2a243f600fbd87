"""Reading what keepers wrote: every file of every machine, rotated ones included, merged by time."""

from __future__ import annotations

import gzip
import heapq
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct, field

from tandem.core import clock
from tandem.core.errors import InvalidArguments
from tandem.core.paths import Home
from tandem.fleet.diagnostics import did_you_mean
from tandem.supervise.node_client import known_machines

_ROTATED = re.compile(r"(?P<name>.+)-(?P<stamp>\d{8}T\d{9})\.log(\.gz)?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Line(Struct, frozen=True):
    """One stored line; ``ts`` is RFC 3339 in UTC, or empty when the line has none."""

    ts: str
    level: str
    text: str


class _Fields(Struct):
    ts: str = ""
    level: str = "INFO"


_decode = msgspec.json.Decoder(_Fields).decode


_Unit = tuple[str, str]
"""Machine and name."""


class _Place(Struct):
    """Where reading a unit ended: within the current file, having seen these files put aside."""

    offset: int = 0
    aside: set[str] = field(default_factory=set)


class LogReader:
    """``chosen``: names, bare or with their machine; None for all. ``machines``: those to read; None for all that are here."""

    def __init__(self, home: Home, chosen: set[str] | None, machines: Sequence[str] | None = None):
        self._home = home
        self._machines = machines
        self._chosen = chosen
        self._places: dict[_Unit, _Place] = {}

    def read(self, earliest: str | None = None) -> Iterator[Line]:
        """Everything there is, in order of time, from ``earliest`` (RFC 3339) on."""
        streams = [self._read_unit(unit, files, earliest) for unit, files in self._units().items()]
        for line in heapq.merge(*streams, key=lambda line: line.ts):
            if earliest is None or line.ts >= earliest:
                yield line

    def read_new(self) -> list[Line]:
        """What was written since the last reading, in order of time, whatever was put aside meanwhile."""
        found = [line for unit, files in self._units().items() for line in self._read_on(unit, files)]
        return sorted(found, key=lambda line: line.ts)

    def silent(self) -> dict[str, str]:
        """Chosen names nothing was ever written by, each with the nearest name there is (or nothing)."""
        known = set(self.names())
        return {name: did_you_mean(name, known) for name in sorted((self._chosen or set()) - known)}

    def names(self) -> list[str]:
        """Everybody who ever wrote anything, chosen or not: bare, and with the machine."""
        everything = LogReader(self._home, None, self._machines)._units()
        return sorted({name for _machine, name in everything} | {f"{name}@{at}" for at, name in everything})

    def _units(self) -> dict[_Unit, list[Path]]:
        """Files by machine and unit name, oldest first, the one being written last."""
        units: dict[_Unit, list[Path]] = {}
        for machine in self._machines or known_machines(self._home):
            logs = self._home.machine(machine).logs
            for path in sorted(logs.glob("*.log*")) if logs.is_dir() else []:
                rotated = _ROTATED.fullmatch(path.name)
                name = rotated["name"] if rotated else path.name.removesuffix(".log")
                being_packed = path.suffix == ".gz" and path.with_suffix("").exists()
                if path.suffix in (".log", ".gz") and not being_packed and self._is_chosen(name, machine):
                    units.setdefault((machine, name), []).append(path)
        for files in units.values():
            files.sort(key=lambda path: (_ROTATED.fullmatch(path.name) is None, path.name))
        return units

    def _is_chosen(self, name: str, machine: str) -> bool:
        return self._chosen is None or name in self._chosen or f"{name}@{machine}" in self._chosen

    def _read_unit(self, unit: _Unit, files: Iterable[Path], earliest: str | None) -> Iterator[Line]:
        place = self._places[unit] = _Place()
        for path in files:
            stamp = _stamp(path)
            if stamp is not None:
                place.aside.add(stamp)
            if earliest is None or not _ended_before(path, earliest):
                yield from self._read_file(path, 0, place)

    def _read_on(self, unit: _Unit, files: Iterable[Path]) -> Iterator[Line]:
        """From where the last reading of this unit ended: the first file put aside since then was the current one."""
        place = self._places.setdefault(unit, _Place())
        for path in files:
            stamp = _stamp(path)
            if stamp is None:
                yield from self._read_file(path, place.offset, place)
            elif stamp not in place.aside:
                place.aside.add(stamp)
                yield from self._read_file(path, place.offset, None)
                place.offset = 0

    def _read_file(self, path: Path, offset: int, place: _Place | None) -> Iterator[Line]:
        """Complete lines from ``offset`` on; the current file's end is kept in ``place``."""
        try:
            start, data = _content(path, offset)
        except FileNotFoundError:
            # Compressed or deleted for the ceiling while we looked.
            packed = path.with_name(f"{path.name}.gz")
            start, data = _content(packed, offset) if packed.is_file() else (0, b"")
        except (EOFError, gzip.BadGzipFile, zlib.error):
            return  # torn by a crash, or damaged
        end = data.rfind(b"\n") + 1
        if place is not None and _stamp(path) is None:
            place.offset = start + end
        yield from _in_order(data[:end].splitlines())


def _content(path: Path, offset: int) -> tuple[int, bytes]:
    """What follows ``offset``, and where that is: a file that is shorter was begun anew."""
    if path.suffix == ".gz":
        data = gzip.decompress(path.read_bytes())
        return offset, data[offset:]
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        start = file.seek(offset if offset <= size else 0)
        return start, file.read()


def _stamp(path: Path) -> str | None:
    """When a rotated file was put aside; None for the one being written."""
    rotated = _ROTATED.fullmatch(path.name)
    return rotated["stamp"] if rotated else None


def _ended_before(path: Path, earliest: str) -> bool:
    """Whether a rotated file's last line is older than that: its name says when it was put aside."""
    stamp = _stamp(path)
    return stamp is not None and stamp < re.sub(r"[^0-9T]", "", earliest)


def _in_order(lines: Iterable[bytes]) -> Iterator[Line]:
    """Parsed lines; one without a time is given that of the line before it, so that it stays where it was."""
    ts = ""
    for raw in lines:
        if raw:
            line = _parse(raw)
            ts = max(ts, line.ts)
            yield line if line.ts == ts else Line(ts, line.level, line.text)


def _parse(raw: bytes) -> Line:
    text = raw.decode("utf-8", "replace")
    try:
        fields = _decode(raw)
    except msgspec.MsgspecError:
        return Line("", "INFO", text)
    return Line(fields.ts, fields.level, text)


def parse_since(text: str) -> str:
    """``10m``, ``2h``, ``1d``, ``30s`` ago, or a local time, as RFC 3339 in UTC. Raises :class:`InvalidArguments`."""
    short = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text.strip())
    if short:
        moment = datetime.fromtimestamp(clock.wall(), UTC) - timedelta(**{_UNITS[short[2]]: float(short[1])})
    else:
        try:
            moment = datetime.fromisoformat(text.strip()).astimezone(UTC)
        except ValueError:
            raise InvalidArguments(
                f"--since {text!r} is neither like 10m nor a time like 2026-01-31T12:00"
            ) from None
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
