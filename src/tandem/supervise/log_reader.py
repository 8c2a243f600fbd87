"""Reading what keepers wrote: every file of every machine, rotated ones included, merged by time."""

from __future__ import annotations

import gzip
import heapq
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.core import clock
from tandem.core.errors import InvalidArguments
from tandem.core.paths import Home
from tandem.fleet.diagnostics import did_you_mean
from tandem.supervise.node_client import known_machines

_ROTATED = re.compile(r"(?P<name>.+)-\d{8}T\d{9}\.log(\.gz)?")
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


class LogReader:
    """``chosen``: names, bare or with their machine; None for all."""

    def __init__(self, home: Home, chosen: set[str] | None):
        self._home = home
        self._chosen = chosen
        self._offsets: dict[Path, int] = {}

    def read(self, earliest: str | None = None) -> Iterator[Line]:
        """Everything there is, in order of time, from ``earliest`` (RFC 3339) on."""
        streams = [self._read_unit(files) for files in self._units().values()]
        for line in heapq.merge(*streams, key=lambda line: line.ts):
            if earliest is None or line.ts >= earliest:
                yield line

    def read_new(self) -> list[Line]:
        """What was written since the last reading, in order of time."""
        found: list[Line] = []
        for files in self._units().values():
            current = files[-1]
            if current.suffix == ".log" and not _ROTATED.fullmatch(current.name):
                found += self._read_rest(current)
        return sorted(found, key=lambda line: line.ts)

    def silent(self) -> dict[str, str]:
        """Chosen names nothing was ever written by, each with the nearest name there is (or nothing)."""
        everything = LogReader(self._home, None)._units()
        known = {name for _machine, name in everything} | {f"{name}@{at}" for at, name in everything}
        return {name: did_you_mean(name, known) for name in sorted((self._chosen or set()) - known)}

    def _units(self) -> dict[tuple[str, str], list[Path]]:
        """Files by machine and unit name, oldest first, the one being written last."""
        units: dict[tuple[str, str], list[Path]] = {}
        for machine in known_machines(self._home):
            logs = self._home.machine(machine).logs
            for path in sorted(logs.glob("*.log*")) if logs.is_dir() else []:
                rotated = _ROTATED.fullmatch(path.name)
                name = rotated["name"] if rotated else path.name.removesuffix(".log")
                if path.suffix in (".log", ".gz") and self._is_chosen(name, machine):
                    units.setdefault((machine, name), []).append(path)
        for files in units.values():
            files.sort(key=lambda path: (_ROTATED.fullmatch(path.name) is None, path.name))
        return units

    def _is_chosen(self, name: str, machine: str) -> bool:
        return self._chosen is None or name in self._chosen or f"{name}@{machine}" in self._chosen

    def _read_unit(self, files: Iterable[Path]) -> Iterator[Line]:
        for path in files:
            if path.suffix == ".gz":
                try:
                    yield from _in_order(gzip.decompress(path.read_bytes()).splitlines())
                except (FileNotFoundError, EOFError, gzip.BadGzipFile):
                    continue  # deleted for the ceiling, or torn by a crash, while we looked
            else:
                yield from self._read_rest(path)

    def _read_rest(self, path: Path) -> list[Line]:
        """Complete lines from where the last reading ended."""
        try:
            with path.open("rb") as file:
                size = file.seek(0, 2)
                offset = self._offsets.get(path, 0)
                file.seek(offset if offset <= size else 0)
                start, data = file.tell(), file.read()
        except FileNotFoundError:
            return []
        complete = data[: data.rfind(b"\n") + 1]
        self._offsets[path] = start + len(complete)
        return list(_in_order(complete.splitlines()))


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
