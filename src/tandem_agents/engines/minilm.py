"""Sentence embeddings by all-MiniLM-L6-v2 (Apache-2.0), computed in numpy: small enough to need no framework."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tandem.core.errors import Unavailable
from tandem_agents.engines.optional import LazyModule
from tandem_agents.engines.worker import Worker

if TYPE_CHECKING:
    import numpy as np
    import safetensors
    import safetensors.numpy
    import tokenizers
    from numpy.typing import NDArray
else:
    np = LazyModule("numpy", extra="llm")
    safetensors = LazyModule("safetensors", extra="llm")
    tokenizers = LazyModule("tokenizers", extra="llm")

# The model's config.json.
LAYERS = 6
HEADS = 12
DIMENSIONS = 384
LAYER_NORM_EPSILON = 1e-12

MAX_TOKENS = 256
"""The window the model was trained for (its ``sentence_bert_config.json``)."""

BATCH = 8
"""Texts computed together; their attention matrices take 25 MB at full length."""


class MiniLm:
    """A loaded model."""

    def __init__(self, network: _Network, worker: Worker):
        self._network = network
        self._worker = worker

    @classmethod
    async def load(cls, weights: Path, tokenizer: Path) -> MiniLm:
        """Raises ``Unavailable``."""
        worker = Worker("minilm")
        try:
            return cls(await worker.run(_Network, weights, tokenizer), worker)
        except BaseException:
            worker.close()
            raise

    @property
    def name(self) -> str:
        return "all-MiniLM-L6-v2"

    @property
    def dimensions(self) -> int:
        return DIMENSIONS

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See :class:`Embedder`. Many texts are computed batch by batch; cancelling stops between two."""
        # Texts of like length together waste little on padding.
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        vectors = np.zeros((len(texts), DIMENSIONS), np.float32)
        for start in range(0, len(order), BATCH):
            batch = order[start : start + BATCH]
            vectors[batch] = await self._worker.run(self._network.embed, [texts[index] for index in batch])
        return vectors

    async def close(self) -> None:
        self._worker.close()


class _Network:
    """BERT, forwards only (Devlin et al. 2018), with mean pooling."""

    def __init__(self, weights: Path, tokenizer: Path):
        try:
            with safetensors.safe_open(weights, framework="np") as file:
                self._weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            self._tokenizer = tokenizers.Tokenizer.from_file(str(tokenizer))
        except Exception as error:
            raise Unavailable(f"the embedding model in {weights} does not load: {error}") from error
        self._tokenizer.enable_truncation(MAX_TOKENS)
        self._tokenizer.enable_padding()

    def embed(self, texts: list[str]) -> NDArray[np.float32]:
        encoded = self._tokenizer.encode_batch(texts)
        ids = np.array([each.ids for each in encoded])
        mask = np.array([each.attention_mask for each in encoded], np.float32)
        hidden = self._embeddings(ids)
        # Added to the scores, it keeps padding out of the softmax.
        bias = (1.0 - mask)[:, None, None, :] * np.float32(-1e9)
        for layer in range(LAYERS):
            hidden = self._layer(f"encoder.layer.{layer}.", hidden, bias)
        pooled = (hidden * mask[:, :, None]).sum(axis=1) / mask.sum(axis=1, keepdims=True)
        unit: NDArray[np.float32] = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
        return unit.astype(np.float32, copy=False)

    def _embeddings(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        tables = (
            "embeddings.word_embeddings",
            "embeddings.position_embeddings",
            "embeddings.token_type_embeddings",
        )
        words, positions, types = (self._weights[f"{table}.weight"] for table in tables)
        return self._norm("embeddings.LayerNorm", words[ids] + positions[: ids.shape[1]] + types[0])

    def _layer(
        self, prefix: str, hidden: NDArray[np.float32], bias: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        count, length, _ = hidden.shape
        query, key, value = (
            self._linear(f"{prefix}attention.self.{part}", hidden)
            .reshape(count, length, HEADS, DIMENSIONS // HEADS)
            .transpose(0, 2, 1, 3)
            for part in ("query", "key", "value")
        )
        scores = query @ key.transpose(0, 1, 3, 2) / np.float32((DIMENSIONS // HEADS) ** 0.5) + bias
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        scores /= scores.sum(axis=-1, keepdims=True)
        mixed = (scores @ value).transpose(0, 2, 1, 3).reshape(count, length, DIMENSIONS)
        attended = self._linear(f"{prefix}attention.output.dense", mixed)
        hidden = self._norm(f"{prefix}attention.output.LayerNorm", hidden + attended)
        inner = _gelu(self._linear(f"{prefix}intermediate.dense", hidden))
        return self._norm(f"{prefix}output.LayerNorm", hidden + self._linear(f"{prefix}output.dense", inner))

    def _linear(self, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        product: NDArray[np.float32] = (
            values @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        )
        return product

    def _norm(self, name: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
        centred = values - values.mean(axis=-1, keepdims=True)
        deviation = np.sqrt((centred * centred).mean(axis=-1, keepdims=True) + np.float32(LAYER_NORM_EPSILON))
        scaled: NDArray[np.float32] = centred / deviation * self._weights[f"{name}.weight"]
        shifted: NDArray[np.float32] = scaled + self._weights[f"{name}.bias"]
        return shifted


def _gelu(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """``x * Phi(x)`` with erf by Abramowitz and Stegun 7.1.26, whose error (1.5e-7) is float32's."""
    scaled = np.abs(values) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * scaled)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    erf = np.sign(values) * (1 - series * np.exp(-scaled * scaled))
    gelu: NDArray[np.float32] = values * np.float32(0.5) * (1 + erf)
    return gelu
