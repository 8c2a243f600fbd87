"""A model's work in the trace of a turn, called as OpenTelemetry's semantic conventions for generative AI say."""

from __future__ import annotations

from tandem.agent import span
from tandem.api import AnySpan

INPUT_TOKENS, OUTPUT_TOKENS = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"
AUDIO_S = "tandem.audio_s"
"""Seconds of sound that were heard or spoken; the conventions have no name for it."""


def model_span(operation: str, model: str) -> AnySpan:
    """A span for one piece of work of a model; it never holds what was said."""
    attributes = {"gen_ai.operation.name": operation, "gen_ai.request.model": model}
    return span(f"{operation} {model}", "internal", **attributes)
