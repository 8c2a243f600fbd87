"""Releases on disk: ``$TANDEM_HOME/releases/<name>.json`` says what one is, ``releases/code/<id>`` has its files.

Both are written once and never changed. Releases that differ only in their fleet file share their code.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import sys
from collections.abc import Collection, Mapping
from importlib.metadata import distributions
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.core import clock
from tandem.core.damage import read_json, set_aside
from tandem.core.errors import NotFound, TandemError
from tandem.core.ids import new_id
from tandem.core.paths import Home, private_dir
from tandem.fleet.diagnostics import did_you_mean
from tandem.fleet.model import Fleet
from tandem.supervise.made_of import SAME_START_S, base_file, release_file
from tandem.supervise.release import DEV, Code, Release, Target

KEPT = 10
"""So many releases stay on disk besides those in use."""

log = logging.getLogger("tandem.release")

_NAME_DIGITS = 12
_SKIPPED = ("__pycache__", ".git", ".mypy_cache", ".ruff_cache", ".pytest_cache", "node_modules")


class Manifest(Struct, frozen=True, kw_only=True):
    """What a release consists of. ``created``: Unix seconds. ``files``: path to SHA-256. ``environment``: installed
    distributions and their versions."""

    name: str
    created: float
    code: Code
    files: dict[str, str]
    environment: dict[str, str]
    fleet: Fleet

    @property
    def target(self) -> Target:
        return Target(release=Release(name=self.name, code=self.code), fleet=self.fleet)


class Store:
    """The releases of one home."""

    def __init__(self, home: Home):
        self._root = home.releases

    @property
    def import_cache(self) -> Path:
        return private_dir(self._root) / "imports.cache"

    def load(self, name: str) -> Manifest:
        """The release of that name, or the only one whose name begins so.

        Raises :class:`NotFound`; what says what it is, and is damaged, is put aside and counts as not there.
        """
        names = [known for known in self.names() if known.startswith(name)] if name else []
        if len(names) != 1:
            choices = did_you_mean(name, self.names()) or "tandem rollout status lists them"
            raise NotFound(f"there is no release {name!r}", hint=choices)
        found = self.find(names[0])
        if found is None:
            raise NotFound(f"the release {names[0]} is damaged", hint="tandem rollout status lists those that are left")
        return found

    def find(self, name: str) -> Manifest | None:
        """The release of exactly that name; None when there is none, or when it is damaged, which puts it aside."""
        return read_json(release_file(self._root, name), Manifest)

    def names(self) -> list[str]:
        """Every release, newest first."""
        if not self._root.is_dir():
            return []
        files = sorted(self._root.glob("*.json"), key=lambda path: path.stat().st_mtime, reverse=True)
        return [path.stem for path in files]

    def keep(self, manifest: Manifest, tops: Mapping[str, Path]) -> Manifest:
        """Write a release, with a copy of ``tops`` (packages and modules by name) as its code unless that is there."""
        private_dir(self._root)
        if tops:
            self._copy(manifest.code, tops, manifest.files)
        path = release_file(self._root, manifest.name)
        # Written anew also when it exists: the newest use counts when old ones are dropped.
        draft = path.with_suffix(f".{new_id()}")
        draft.write_bytes(msgspec.json.encode(manifest))
        draft.rename(path)
        return manifest

    def keep_base(self, machine: str, manifest: Manifest, tops: Mapping[str, Path]) -> None:
        """Keep the code that came up on ``machine``; ``manifest.created`` is when. It takes the place of an earlier one."""
        private_dir(self._root)
        self._copy(manifest.code, tops, manifest.files)
        draft = self._root / f"{machine}.{new_id()}"
        draft.write_bytes(msgspec.json.encode(manifest))
        draft.rename(self._base(machine))

    def base(self, machine: str, since: float) -> Manifest | None:
        """What came up on ``machine`` at ``since`` (Unix seconds); None when it was not kept."""
        found = read_json(self._base(machine), Manifest)
        is_there = found is not None and self.code_dir(found.code.id).is_dir()
        return found if found is not None and is_there and abs(found.created - since) < SAME_START_S else None

    def _base(self, machine: str) -> Path:
        return base_file(self._root, machine)

    def prune(self, used: Collection[Release]) -> None:
        """Drop the oldest releases beyond the kept ones, and code no release has any more. ``used`` stay."""
        names = {release.name for release in used}
        for name in self.names()[KEPT:]:
            if name not in names:
                release_file(self._root, name).unlink(missing_ok=True)
        kept = [*map(self.find, self.names()), *(read_json(path, Manifest) for path in self._root.glob("*.base"))]
        needed = {manifest.code.id for manifest in kept if manifest is not None} | {release.code.id for release in used}
        for folder in (self._root / "code").glob("*"):
            if folder.name not in needed:
                shutil.rmtree(folder, ignore_errors=True)

    def code_dir(self, code_id: str) -> Path:
        return self._root / "code" / code_id

    def _copy(self, code: Code, tops: Mapping[str, Path], files: Mapping[str, str]) -> None:
        """Raises :class:`TandemError` when what was copied is not ``files`` any more. An earlier copy that is damaged is put aside."""
        folder = self.code_dir(code.id)
        if folder.exists():
            if _has(folder, files):
                return
            log.error("the copy of the code in %s is damaged; it is put aside as %s", folder, set_aside(folder).name)
        draft = private_dir(folder.parent) / f".{new_id()}"
        draft.mkdir(mode=0o700)
        for name, place in tops.items():
            if place.is_dir():
                # Times are kept, so that compiled files stay valid and the first start is as fast as any.
                shutil.copytree(place, draft / name, ignore=shutil.ignore_patterns(*_SKIPPED[1:]))
            else:
                shutil.copy2(place, draft / place.name)
        if files_of({name: draft / place.name for name, place in tops.items()}) != files:
            shutil.rmtree(draft, ignore_errors=True)
            raise TandemError("the code changed while it was copied", hint="try again")
        try:
            draft.rename(folder)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)  # somebody else was faster with the same


def files_of(tops: Mapping[str, Path]) -> dict[str, str]:
    """Every source file of packages and modules: path from the package on, to SHA-256."""
    found: dict[str, str] = {}
    for name, place in sorted(tops.items()):
        for file in sorted(_walk(place)) if place.is_dir() else [place]:
            label = f"{name}/{file.relative_to(place)}" if place.is_dir() else file.name
            found[label] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def _has(folder: Path, files: Mapping[str, str]) -> bool:
    """Whether a copy has every one of these files as it was; others may have come."""
    try:
        return all(hashlib.sha256((folder / name).read_bytes()).hexdigest() == sum_ for name, sum_ in files.items())
    except OSError:
        return False


def _walk(folder: Path) -> list[Path]:
    found = []
    # Links to folders are followed, as a copy does.
    for place, folders, files in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name not in _SKIPPED]
        found += [Path(place, name) for name in files if not name.endswith(".pyc")]
    return found


def installed() -> dict[str, str]:
    """Distributions of the running interpreter and their versions."""
    return {dist.name: dist.version for dist in distributions() if dist.name}


def code_of(files: Mapping[str, str], environment: Mapping[str, str], store: Store) -> Code:
    """The code with these files, to run with the present interpreter."""
    parts = [sys.executable, *(f"{k}={v}" for k, v in sorted({**files, **environment}.items()))]
    code_id = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
    return Code(id=code_id, python=sys.executable, paths=(str(store.code_dir(code_id)),))


def manifest_of(code: Code, files: dict[str, str], environment: dict[str, str], fleet: Fleet) -> Manifest:
    """A release of that code and fleet, named by its contents."""
    content = f"{code.id or DEV}\n".encode() + msgspec.json.encode(fleet, order="deterministic")
    name = hashlib.sha256(content).hexdigest()[:_NAME_DIGITS]
    return Manifest(
        name=name, created=clock.wall(), code=code, files=files, environment=environment, fleet=fleet
    )
