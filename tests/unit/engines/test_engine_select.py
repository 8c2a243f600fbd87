"""Engines from settings, and libraries that may be absent."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tandem.core.errors import ConfigError, NotFound, Unavailable
from tandem_agents.engines import select
from tandem_agents.engines.models import ModelMissing, Store
from tandem_agents.engines.openai_http import OpenAIModel
from tandem_agents.engines.optional import LazyModule, load_module

HEAVY = ["numpy", "httpx", "onnxruntime", "xllamacpp", "moonshine_voice", "soundfile", "tokenizers"]


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    return Store(tmp_path)


async def test_each_engine_says_which_command_brings_its_model(empty: Store) -> None:
    """An agent shows the hint as it is."""
    openings = {
        "qwen2.5-0.5b": select.open_language_model(store=empty),
        "smollm2-135m": select.open_language_model(
            select.LanguageModelSettings(model="smollm2-135m"), store=empty
        ),
        "kokoro-82m": select.open_text_to_speech(store=empty),
        "minilm": select.open_embedder(store=empty),
    }
    for model_id, opening in openings.items():
        with pytest.raises(ModelMissing) as caught:
            await opening
        assert caught.value.hint == f"tandem models fetch {model_id}"
    with pytest.raises(ModelMissing):
        select.model_path("yunet", "model.onnx", store=empty)


async def test_a_model_of_another_kind_or_none_is_a_mistake_in_the_settings(empty: Store) -> None:
    """Naming a voice where a language model belongs is found at once."""
    with pytest.raises(ConfigError, match="kokoro-82m is a model of kind tts"):
        await select.open_language_model(select.LanguageModelSettings(model="kokoro-82m"), store=empty)
    with pytest.raises(NotFound):
        await select.open_embedder(select.EmbedderSettings(model="nonsense"), store=empty)
    with pytest.raises(Unavailable, match=r"/no/such\.gguf"):
        await select.open_language_model(select.LanguageModelSettings(model="/no/such.gguf"), store=empty)


async def test_an_address_in_the_settings_wins_over_the_environment(
    empty: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """``OPENAI_BASE_URL`` is used when the settings name none; the key is read from its file."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    from_environment = await select.open_language_model(select.LanguageModelSettings(model="m"), store=empty)
    assert isinstance(from_environment, OpenAIModel)
    assert from_environment.name == "m"
    await from_environment.close()
    key = tmp_path / "key"
    key.write_text("secret\n")
    elsewhere = select.LanguageModelSettings(
        model="m", base_url="http://llm.example.org/v1", api_key_file=str(key)
    )
    with pytest.raises(ConfigError, match="unencrypted") as caught:
        await select.open_language_model(elsewhere, store=empty)
    assert "secret" not in str(caught.value)
    with pytest.raises(ConfigError, match="cannot read the API key"):
        await select.open_language_model(
            select.LanguageModelSettings(model="m", api_key_file=str(tmp_path / "none")), store=empty
        )


def test_bundled_engines_open_without_fetching(empty: Store) -> None:
    """Voice activity and wake words come with their libraries; several phrases can be listened for at once."""
    assert select.open_voice_activity(store=empty).rate == 16_000
    both = select.WakeWordSettings(models=("wake-alexa", "wake-hey-jarvis"))
    assert select.open_wake_word(both, store=empty).phrases == ("Alexa", "Hey Jarvis")


def test_importing_the_engines_loads_none_of_their_libraries() -> None:
    """Agents can be described and configured where no model library is installed, and start fast."""
    modules = sorted(
        path.stem for path in Path(select.__file__).parent.glob("*.py") if path.stem != "__init__"
    )
    code = (
        f"import sys, importlib\nfor name in {modules!r}: importlib.import_module('tandem_agents.engines.' + name)\n"
        f"import tandem_agents.engines.models.fetch\nprint([name for name in {HEAVY!r} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_a_missing_library_is_an_error_with_the_extra_that_brings_it() -> None:
    """It is raised on use, not on import, and names the module."""
    absent = LazyModule("no_such_module_anywhere", extra="voice")
    with pytest.raises(Unavailable, match="no_such_module_anywhere") as caught:
        _ = absent.anything
    assert caught.value.hint == "pip install 'tandem-fleet[voice]'"
    present = LazyModule("math", extra="voice")
    assert present.sqrt(9) == 3
    assert load_module("math", extra="voice") is sys.modules["math"]


def test_a_library_that_does_not_load_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared object that is missing on the system is not reported as "not installed"."""
    (tmp_path / "broken_library.py").write_text("raise OSError('libportaudio.so: cannot open shared object')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(Unavailable, match="libportaudio"):
        load_module("broken_library", extra="voice")
