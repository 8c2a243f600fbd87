"""What `tandem doctor` finds about models, libraries and sound."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from tandem.core.checkup import Finding
from tandem.core.errors import Unavailable
from tandem_agents.commands import health_checks
from tandem_agents.engines.models import Store, builtin_catalogue


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """An empty store that the checks look into."""
    monkeypatch.setenv("TANDEM_MODELS", str(tmp_path / "models"))
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    monkeypatch.setattr(
        health_checks, "load_sounddevice", lambda: SimpleNamespace(query_devices=list)
    )
    return Store.from_environment()


def about(check: str) -> list[Finding]:
    return [finding for finding in health_checks.check() if finding.check == check]


def fetched() -> list[str]:
    """Default models that are files of their own."""
    return [model.id for model in builtin_catalogue().defaults() if model.bundled is None]


def test_missing_models(store: Store) -> None:
    """Each default model that is not here is a problem whose fix fetches it; nothing is created by looking."""
    problems = [finding for finding in about("models") if finding.verdict == "problem"]
    assert [finding.fix for finding in problems] == [f"tandem models fetch {model}" for model in fetched()]
    assert all(finding.message.endswith("is missing") for finding in problems)
    assert not store.root.exists()


def test_damaged_model(store: Store) -> None:
    """A file of the wrong size makes its model damaged, not missing."""
    model = builtin_catalogue().get(fetched()[0])
    blob = store.blob(model.files[0])
    blob.parent.mkdir(parents=True)
    blob.write_bytes(b"too short")
    (first, *_rest) = about("models")
    assert first.message.endswith("is damaged")


def test_models_that_are_here(store: Store) -> None:
    """With every file in its right size the models are fine."""
    for model in builtin_catalogue().defaults():
        for file in model.files if model.bundled is None else ():
            blob = store.blob(file)
            blob.parent.mkdir(parents=True, exist_ok=True)
            blob.touch()
            os.truncate(blob, file.bytes)
    assert [finding.verdict for finding in about("models")] == ["ok"]


def test_model_served_elsewhere(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With OPENAI_BASE_URL set the language model need not be here."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:8080/v1")
    noted = [finding for finding in about("models") if finding.verdict == "note"]
    assert len(noted) == 1
    assert "http://127.0.0.1:8080/v1 answers instead" in noted[0].message


@pytest.mark.parametrize(
    ("devices", "verdict", "words"),
    [
        ([], "note", "no sound card"),
        ([(1, 0)], "note", "only a microphone"),
        ([(0, 2)], "note", "only a loudspeaker"),
        ([(1, 0), (0, 2)], "ok", "a microphone and a loudspeaker"),
    ],
)
def test_sound_devices(
    store: Store, monkeypatch: pytest.MonkeyPatch, devices: list[tuple[int, int]], verdict: str, words: str
) -> None:
    """What of microphone and loudspeaker there is; a lack is no problem."""
    found = [{"max_input_channels": inputs, "max_output_channels": outputs} for inputs, outputs in devices]
    library = SimpleNamespace(query_devices=lambda: found)
    monkeypatch.setattr(health_checks, "load_sounddevice", lambda: library)
    (sound,) = about("sound")
    assert (sound.verdict, sound.message) == (verdict, words)


@pytest.mark.parametrize(
    "fault", [Unavailable("PortAudio library not found"), RuntimeError("ALSA is unwell")]
)
def test_broken_sound(store: Store, monkeypatch: pytest.MonkeyPatch, fault: Exception) -> None:
    """A sound library that fails is noted with what works without it."""

    def fail(*_args: object, **_more: object) -> None:
        raise fault

    monkeypatch.setattr(health_checks, "load_sounddevice", fail)
    (sound,) = about("sound")
    assert (sound.verdict, "tandem talk FILE.wav" in sound.fix) == ("note", True)
