"""What `tandem doctor` looks at for the assistant: libraries, models, sound."""

from __future__ import annotations

import os
from collections.abc import Iterable

from tandem.core.checkup import Finding, fine, judge_requirements, note, problem
from tandem.core.errors import TandemError
from tandem_agents.engines.models import Model, Store, builtin_catalogue
from tandem_agents.engines.optional import load_sounddevice

EXTRAS = ("llm", "voice")


def check() -> Iterable[Finding]:
    """Everything the assistant needs of this computer; nothing is changed."""
    for extra in EXTRAS:
        yield from judge_requirements(f"extra {extra}", extra)
    yield from _judge_models()
    yield _judge_sound()


def _judge_models() -> Iterable[Finding]:
    """Presence and size; `tandem models verify` also reads every byte."""
    store = Store.from_environment()
    remote = os.environ.get("OPENAI_BASE_URL")
    absent = [model for model in builtin_catalogue().defaults() if not store.has(model)]
    for model in absent:
        if model.kind == "llm" and remote:
            yield note(
                "models", f"no {model.id} here; {remote} answers instead (OPENAI_BASE_URL)", model.mend
            )
        else:
            state = "is damaged" if _is_damaged(store, model) else "is missing"
            yield problem("models", f"{model.id} ({model.title}) {state}", model.mend)
    if not absent:
        yield fine("models", f"the default models are in {store.root}; tandem models verify reads every byte")


def _is_damaged(store: Store, model: Model) -> bool:
    """Whether a file of it is there and has the wrong size."""
    return any(
        store.blob(file).exists() and store.find(model, file) is None
        for file in model.files
        if model.bundled is None
    )


def _judge_sound() -> Finding:
    """A sound card is optional: files and network sources work without one."""
    try:
        devices = load_sounddevice().query_devices()
    except TandemError as error:
        return note("sound", error.message, f"{error.hint}, if there is a sound card; tandem talk FILE.wav works without")
    except Exception as error:
        # PortAudioError cannot be named before the library is there, and derives from Exception itself.
        return note("sound", f"no sound: {error}", "tandem talk FILE.wav works without a sound card")
    able = [name for name, key in (("microphone", "max_input_channels"), ("loudspeaker", "max_output_channels"))
            if any(device[key] > 0 for device in devices)]  # fmt: skip
    if len(able) == 2:
        return fine("sound", "a microphone and a loudspeaker")
    had = f"only a {able[0]}" if able else "no sound card"
    return note("sound", had, "tandem talk FILE.wav works without one")
