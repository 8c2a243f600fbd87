"""The embedding network's arithmetic, on random weights."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from tandem.core.errors import Unavailable
from tandem_agents.engines.minilm import DIMENSIONS, LAYERS, MAX_TOKENS, MiniLm, _gelu

WORDS = [f"w{number}" for number in range(40)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A network of the right shapes with random weights, and a tokenizer of forty words."""
    random = np.random.default_rng(7)

    def matrix(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) * 0.05).astype(np.float32)

    weights = {
        "embeddings.word_embeddings.weight": matrix(50, DIMENSIONS) * 20,
        "embeddings.position_embeddings.weight": matrix(512, DIMENSIONS),
        "embeddings.token_type_embeddings.weight": matrix(2, DIMENSIONS),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in range(LAYERS):
        prefix = f"encoder.layer.{layer}."
        shapes = {
            f"attention.self.{part}": (DIMENSIONS, DIMENSIONS) for part in ("query", "key", "value")
        } | {
            "attention.output.dense": (DIMENSIONS, DIMENSIONS),
            "intermediate.dense": (4 * DIMENSIONS, DIMENSIONS),
            "output.dense": (DIMENSIONS, 4 * DIMENSIONS),
        }
        for name, shape in shapes.items():
            weights[f"{prefix}{name}.weight"] = matrix(*shape)
            weights[f"{prefix}{name}.bias"] = matrix(shape[0])
        norms += [f"{prefix}attention.output.LayerNorm", f"{prefix}output.LayerNorm"]
    for norm in norms:
        weights[f"{norm}.weight"] = np.ones(DIMENSIONS, np.float32)
        weights[f"{norm}.bias"] = matrix(DIMENSIONS)
    directory = tmp_path_factory.mktemp("minilm")
    save_file(weights, directory / "model.safetensors")
    tokenizer = Tokenizer(
        WordLevel({"[PAD]": 0, "[UNK]": 1} | {w: i + 2 for i, w in enumerate(WORDS)}, "[UNK]")
    )
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(directory / "tokenizer.json"))
    return directory / "model.safetensors", directory / "tokenizer.json"


async def test_vectors_are_of_length_one_and_do_not_depend_on_their_neighbours(
    files: tuple[Path, Path],
) -> None:
    """A short text padded to a long one's length has the vector it has alone, in whatever order they come."""
    model = await MiniLm.load(*files)
    texts = [" ".join(WORDS[start : start + size]) for start, size in ((0, 1), (5, 30), (9, 4), (2, 12))] * 20
    together = await model.embed(texts)
    alone = np.concatenate([await model.embed([text]) for text in texts[:4]])
    await model.close()
    assert together.shape == (80, DIMENSIONS)
    assert together.dtype == np.float32
    assert np.abs(np.linalg.norm(together, axis=1) - 1).max() < 1e-5
    assert np.abs(together[:4] - alone).max() < 1e-5
    assert np.abs(together[:4] - together[4:8]).max() < 1e-5


async def test_no_text_gives_no_vector_and_long_text_is_cut_at_the_window(files: tuple[Path, Path]) -> None:
    """The window is the model's; what lies beyond it changes nothing."""
    model = await MiniLm.load(*files)
    assert (await model.embed([])).shape == (0, DIMENSIONS)
    window = " ".join(WORDS[number % 40] for number in range(MAX_TOKENS))
    cut, longer = await model.embed([window, window + " w1 w2 w3"])
    await model.close()
    assert np.abs(cut - longer).max() < 1e-5


def test_gelu_is_the_gaussian_one() -> None:
    """The erf approximation is as exact as float32 (checked against the C library's erf)."""
    values = np.linspace(-6, 6, 2001, dtype=np.float32)
    exact = [0.5 * x * (1 + math.erf(x / math.sqrt(2))) for x in values.tolist()]
    assert np.abs(_gelu(values) - exact).max() < 2e-6


async def test_files_that_are_no_model_are_said_so(tmp_path: Path) -> None:
    """A wrong file is a typed error that names it."""
    (tmp_path / "model.safetensors").write_bytes(b"not a model")
    with pytest.raises(Unavailable, match=r"model\.safetensors"):
        await MiniLm.load(tmp_path / "model.safetensors", tmp_path / "tokenizer.json")
