"""Without its model an agent is unhealthy and names the command that mends it; everything else works."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from household import REAL_FLEET, Household, MakeHousehold, eventually

from tandem_agents.engines.audio import concat, silence, to_wav
from tandem_agents.engines.models import Store, builtin_catalogue
from tandem_agents.engines.select import open_text_to_speech

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

SUM = "what is 17 plus 25"
NEEDY = {
    "ModelManagerSuite": "qwen2.5-0.5b",
    "TTSService": "kokoro-82m",
    "MemoryOrchestratorService": "minilm",
}
OPEN_QUESTION = "why is the sky blue"


def issues(household: Household, agent: str) -> str:
    return "; ".join(household.agent(agent)["issues"])


def test_no_models_at_all(make_household: MakeHousehold, tmp_path: Path) -> None:
    """With an empty store the fleet comes up but for the agents that need a model; skills answer; each lack is named."""
    household = make_household(REAL_FLEET, TANDEM_MODELS=str(tmp_path / "none"))
    said = household.tandem("up")
    assert said.status == 1
    for agent, model in NEEDY.items():
        assert f"tandem models fetch {model}" in issues(household, agent)
    assert "tandem models fetch qwen2.5-0.5b" in said.err
    states = {agent["name"]: agent["state"] for agent in household.status()["agents"]}
    assert {name for name, state in states.items() if state != "healthy"} <= {
        *NEEDY,
        "TinyLlamaServiceEnhanced",
    }
    assert "42" in household.ask(SUM)
    household.ask("remember that the boiler code is 4711")
    assert "4711" in household.ask("what is the boiler code?")
    assert "tandem models fetch qwen2.5-0.5b" in household.ask(OPEN_QUESTION)
    doctor = household.tandem("doctor", "--json")
    assert doctor.status == 1
    fixes = {check["fix"] for check in doctor.json["checks"] if check["verdict"] == "problem"}
    assert {f"tandem models fetch {model}" for model in NEEDY.values()} <= fixes
    assert not (tmp_path / "none").exists()


@pytest.mark.models
def test_no_voice(make_household: MakeHousehold, default_models: None, tmp_path: Path) -> None:
    """A recording that cannot be answered aloud is still answered in writing, and ``--out`` says why there is no sound."""
    clip = tmp_path / "question.wav"
    clip.write_bytes(asyncio.run(spoken("What is 17 plus 25?")))
    household = make_household(REAL_FLEET, TANDEM_MODELS=str(tmp_path / "none"))
    household.tandem("up")
    said = household.tandem("talk", str(clip))
    assert said.status == 0, said.text
    assert "42" in said.out
    assert "not played aloud" in said.err
    refused = household.tandem("talk", str(clip), "--out", str(tmp_path / "answer.wav"), "--json")
    assert refused.status == 1
    assert "not spoken" in refused.err
    assert "42" in refused.json["answer"]


@pytest.mark.models
def test_damaged_models(make_household: MakeHousehold, default_models: None, tmp_path: Path) -> None:
    """Files of the right size with wrong bytes: their agents say so with the mend; mended, they recover.

    The agent that remembers works on with one flipped bit in its embedding model, searching by words.
    """
    damaged = {"qwen2.5-0.5b": "model.gguf", "kokoro-82m": "model.onnx", "minilm": "model.safetensors"}
    good, store = Store.from_environment(), Store(tmp_path / "models")
    copy(good, store, damaged)
    household = make_household(REAL_FLEET, TANDEM_MODELS=str(store.root))
    said = household.tandem("up")
    assert said.status == 1
    for agent, model in (("ModelManagerSuite", "qwen2.5-0.5b"), ("TTSService", "kokoro-82m")):
        assert household.agent(agent)["state"] == "unhealthy"
        assert f"tandem models verify {model}, then tandem models fetch {model}" in issues(household, agent)
    assert household.agent("MemoryOrchestratorService")["state"] == "degraded"
    searching = issues(household, "MemoryOrchestratorService")
    assert "searching by words only: the model minilm does not load: model.safetensors is not what was fetched" in searching
    assert "tandem models verify minilm, then tandem models fetch minilm" in searching
    household.ask("remember that the boiler code is 4711")
    assert "4711" in household.ask("what is the boiler code?")
    assert household.agent("STTService")["state"] == "healthy"
    assert "42" in household.ask(SUM)
    assert "tandem models" in household.ask(OPEN_QUESTION)

    verified = household.tandem("models", "verify")
    assert verified.status == 1
    for model, file in damaged.items():
        assert f"damaged  {model} {file}  (tandem models fetch {model})" in verified.out
    copy(good, store, {})
    eventually(lambda: household.tandem("status").status == 0, "a whole fleet, without a restart")
    assert "tandem models" not in household.ask(OPEN_QUESTION)


async def spoken(text: str) -> bytes:
    """A WAV of ``text`` with a moment of silence around it."""
    engine = await open_text_to_speech()
    try:
        pause = silence(0.5, engine.rate)
        return to_wav(concat([pause, *[piece async for piece in engine.synthesize(text)], pause]))
    finally:
        await engine.close()


def copy(good: Store, store: Store, damaged: dict[str, str]) -> None:
    """Links to all default models' files; those of ``damaged`` (model to file) are zeros of the same size instead.

    Of the embedding model's, which has no sum of its own, one bit in the middle differs.
    """
    for model in builtin_catalogue().defaults():
        for file in model.files if model.bundled is None else ():
            path = store.blob(file)
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.exists():
                continue
            if damaged.get(model.id) == file.name == "model.safetensors":
                whole = bytearray(good.blob(file).read_bytes())
                whole[len(whole) // 2] ^= 1
                path.write_bytes(whole)
            elif damaged.get(model.id) == file.name:
                with path.open("wb") as zeros:
                    os.truncate(zeros.fileno(), file.bytes)
            else:
                path.symlink_to(good.blob(file))
