"""Where model files are kept on this computer.

A file is stored under its SHA-256, so it is kept once whoever needs it, and being there under that name means
its content was checked: files arrive as ``partial/<sha256>`` and are renamed only when their sum is right.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import importlib.metadata
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tandem.core.errors import Unavailable
from tandem_agents.engines.models.catalogue import Bundle, Model, ModelFile

_BLOCK = 1 << 20
_SPARE_BYTES = 64 << 20
"""Left free on the disk by a fetch, for everybody else's logs and state."""


class ModelMissing(Unavailable):
    """A model is needed that is not on this computer; the hint is the command that gets it."""


class ModelDamaged(Unavailable):
    """A file's bytes are not the ones the catalogue names."""


class DiskFull(Unavailable):
    """There is no room for the model."""


class Store(Struct, frozen=True):
    """A directory of model files, shared safely by any number of processes."""

    root: Path

    @classmethod
    def from_environment(cls) -> Store:
        """``$TANDEM_MODELS``, else ``$XDG_CACHE_HOME/tandem/models``, else ``~/.cache/tandem/models``."""
        chosen = os.environ.get("TANDEM_MODELS")
        if chosen:
            return cls(Path(chosen).expanduser().absolute())
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return cls((Path(cache).expanduser() / "tandem" / "models").absolute())

    def blob(self, file: ModelFile) -> Path:
        return self.root / "sha256" / file.sha256

    def partial(self, file: ModelFile) -> Path:
        return self.root / "partial" / file.sha256

    def scratch(self) -> Path:
        """A directory on the same file system for archives being unpacked."""
        path = self.root / "scratch"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def find(self, model: Model, file: ModelFile) -> Path | None:
        """The file, or None when it is not here."""
        path = self.blob(file) if model.bundled is None else _in_bundle(model.bundled, file)
        return path if path is not None and path.is_file() and path.stat().st_size == file.bytes else None

    def has(self, model: Model) -> bool:
        return all(self.find(model, file) for file in model.files)

    def path(self, model: Model, name: str) -> Path:
        """The path of the model's file ``name``. Raises :class:`ModelMissing`, or ``NotFound`` for a wrong name."""
        path = self.find(model, model.file(name))
        if path is None:
            raise ModelMissing(f"the model {model.id} is not on this computer", hint=model.mend)
        return path

    def paths(self, model: Model) -> dict[str, Path]:
        """Every file's path by name. Raises :class:`ModelMissing`."""
        return {file.name: self.path(model, file.name) for file in model.files}

    def require_intact(self, model: Model) -> None:
        """Read every fetched file again. Raises :class:`ModelDamaged` for one that no longer holds what it held.

        Formats without sums of their own load with flipped bits, and then compute nonsense.
        """
        for file in model.files if model.bundled is None else ():
            if sha256(self.path(model, file.name)) != file.sha256:
                raise ModelDamaged(f"{file.name} is not what was fetched: some of its bytes have changed")

    @contextmanager
    def lock(self, file: ModelFile, waiting: Callable[[], None]) -> Iterator[None]:
        """One fetcher per file, over all processes; ``waiting`` is called when another one is at it.

        The kernel drops the lock when its holder dies.
        """
        path = self.root / "locks" / file.sha256
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                waiting()
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def require_space(self, needed: int) -> None:
        """Raises :class:`DiskFull` when ``needed`` bytes and a reserve do not fit."""
        self.root.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(self.root).free
        if free < needed + _SPARE_BYTES:
            raise DiskFull(
                f"the model needs {needed / 1e6:.0f} MB more and {free / 1e6:.0f} MB are free in {self.root}",
                hint="free some space, or set TANDEM_MODELS to a directory on another disk",
            )

    def commit(self, file: ModelFile) -> Path:
        """Check the partial file and make it the stored one.

        Raises :class:`ModelDamaged` and removes it when it is not what the catalogue names.
        """
        partial = self.partial(file)
        found = sha256(partial)
        if found != file.sha256:
            size = partial.stat().st_size
            partial.unlink()
            raise ModelDamaged(
                f"{file.name} is not the file the catalogue names: "
                f"sha256 {found} instead of {file.sha256}, {size} bytes instead of {file.bytes}"
            )
        with partial.open("rb") as handle:
            os.fsync(handle.fileno())
        target = self.blob(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.chmod(0o444)
        return partial.rename(target)

    def discard(self, file: ModelFile) -> None:
        """Forget a stored file, for example a damaged one."""
        self.blob(file).unlink(missing_ok=True)


def _in_bundle(bundle: Bundle, file: ModelFile) -> Path | None:
    try:
        distribution = importlib.metadata.distribution(bundle.distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
    return Path(str(distribution.locate_file(bundle.directory))) / file.name


def sha256(path: Path) -> str:
    """The file's sum, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


@contextmanager
def disk_errors(root: Path) -> Iterator[None]:
    """Turn the operating system's word for a full disk into :class:`DiskFull`."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(
                f"the disk is full: {root}",
                hint="free some space and fetch again; what has arrived is kept",
            ) from error
        raise
