"""Engines from settings: which adapter, which model, loaded and ready.

Every ``open_*`` function raises ``ModelMissing`` (an ``Unavailable``) whose hint is the command that fetches the
model, or ``Unavailable`` whose hint installs the library, so that an agent can show it as its health issue.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tandem.core.errors import ConfigError, Unavailable
from tandem_agents.engines.kinds import (
    Embedder,
    LanguageModel,
    SpeechToText,
    TextToSpeech,
    VoiceActivity,
    WakeWord,
)
from tandem_agents.engines.models import Model, Store, builtin_catalogue
from tandem_agents.engines.models.catalogue import Kind


class LanguageModelSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which language model. The first of these that is set decides:

    ``base_url`` an OpenAI-compatible address with its ``/v1``, with ``model`` as the server calls it (empty: its first)
    and the key in the file ``api_key_file``; the environment's ``OPENAI_BASE_URL``, likewise; ``model``, an id of
    ``tandem models list`` or the path of a GGUF file; the catalogue's default.
    """

    model: str = ""
    base_url: str = ""
    api_key_file: str = ""
    context_tokens: int = 4096
    parallel: int = 1
    threads: int = 0
    gpu_layers: int = -1


class SpeechToTextSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``model`` is an id of ``tandem models list``; empty for the default."""

    model: str = ""


class TextToSpeechSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``voice`` speaks when none is asked for; ``threads`` 0 takes every core."""

    model: str = ""
    voice: str = "af_heart"
    threads: int = 0


class WakeWordSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``models`` are ids of wake word models, listened for at once; empty for the default."""

    models: tuple[str, ...] = ()


class EmbedderSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``model`` is an id of ``tandem models list``; empty for the default."""

    model: str = ""


async def open_language_model(
    settings: LanguageModelSettings | None = None, store: Store | None = None
) -> LanguageModel:
    """A language model. Raises also what reaching a server can: ``Unreachable``, ``PermissionDenied``."""
    settings = settings or LanguageModelSettings()
    base_url = settings.base_url or os.environ.get("OPENAI_BASE_URL", "")
    if base_url:
        from tandem_agents.engines.openai_http import OpenAIModel

        key = _read_key(settings.api_key_file)
        return await OpenAIModel.open(base_url, name=settings.model, api_key=key)
    from tandem_agents.engines.llama import LlamaModel, LlamaOptions

    options = LlamaOptions(
        context_tokens=settings.context_tokens,
        parallel=settings.parallel,
        threads=settings.threads,
        gpu_layers=settings.gpu_layers,
    )
    if settings.model.endswith(".gguf"):
        return await LlamaModel.load(Path(settings.model).stem, Path(settings.model), options)
    model = _model("llm", settings.model)
    with _mendable(model):
        return await LlamaModel.load(model.id, _store(store).path(model, "model.gguf"), options)


async def open_speech_to_text(
    settings: SpeechToTextSettings | None = None, store: Store | None = None
) -> SpeechToText:
    from tandem_agents.engines.moonshine import Moonshine

    model = _model("stt", settings.model if settings else "")
    paths = _store(store).paths(model)
    with _mendable(model):
        return await Moonshine.load(paths["tokenizer.bin"].parent)


async def open_text_to_speech(
    settings: TextToSpeechSettings | None = None, store: Store | None = None
) -> TextToSpeech:
    """Raises ``NotFound`` for a voice the model does not have."""
    from tandem_agents.engines.kokoro import Kokoro, KokoroOptions

    settings = settings or TextToSpeechSettings()
    model = _model("tts", settings.model)
    paths = _store(store).paths(model)
    voices = {Path(name).stem: path for name, path in paths.items() if name.startswith("voices/")}
    options = KokoroOptions(threads=settings.threads, voice=settings.voice)
    with _mendable(model):
        await asyncio.to_thread(_store(store).require_intact, model)
        return await Kokoro.load(paths["model.onnx"], voices, options)


def open_voice_activity(store: Store | None = None) -> VoiceActivity:
    """One per stream; loads in milliseconds."""
    from tandem_agents.engines.vad import SileroVad

    paths = _store(store).paths(_model("vad", ""))
    return SileroVad(next(iter(paths.values())))


def open_wake_word(settings: WakeWordSettings | None = None, store: Store | None = None) -> WakeWord:
    """One per stream; loads in milliseconds."""
    from tandem_agents.engines.wake import MicroWakeWord

    models = [_model("wake", model_id) for model_id in (settings and settings.models) or ("",)]
    paths = [path for model in models for path in _store(store).paths(model).values()]
    return MicroWakeWord([path for path in paths if path.suffix == ".json"])


async def open_embedder(settings: EmbedderSettings | None = None, store: Store | None = None) -> Embedder:
    from tandem_agents.engines.minilm import MiniLm

    model = _model("embeddings", settings.model if settings else "")
    paths = _store(store).paths(model)
    with _mendable(model):
        await asyncio.to_thread(_store(store).require_intact, model)
        return await MiniLm.load(paths["model.safetensors"], paths["tokenizer.json"])


def model_path(model_id: str, file: str, store: Store | None = None) -> Path:
    """A model file for libraries driven directly (faces, speakers). Raises ``ModelMissing`` or ``NotFound``."""
    return _store(store).path(builtin_catalogue().get(model_id), file)


@contextmanager
def _mendable(model: Model) -> Iterator[None]:
    """A model whose files are here and do not load is named with what checks and replaces them."""
    try:
        yield
    except Unavailable as error:
        if error.hint:
            raise
        hint = f"tandem models verify {model.id}, then {model.mend}"
        raise Unavailable(f"the model {model.id} does not load: {error.message}", hint=hint) from error


def _read_key(file: str) -> str:
    if not file:
        return ""
    try:
        return Path(file).expanduser().read_text().strip()
    except OSError as error:
        raise ConfigError(f"cannot read the API key: {error}") from error


def _store(store: Store | None) -> Store:
    return store or Store.from_environment()


def _model(kind: Kind, model_id: str) -> Model:
    catalogue = builtin_catalogue()
    if not model_id:
        return catalogue.default(kind)
    model = catalogue.get(model_id)
    if model.kind != kind:
        raise ConfigError(f"{model_id} is a model of kind {model.kind}, not {kind}")
    return model
