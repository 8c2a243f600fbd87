"""A spoken turn: how long it takes, and how little of it is the platform's.

Starts the fleet of ``fleet.yaml`` under a home and ports of its own, asks by voice, and reads each turn's trace. While
no model works (speech recognition, language model, speech synthesis), the time is the platform's.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from _rows import Row, run, say

COMMANDS = [f"What is {number} plus 14?" for number in (20, 31, 42, 53, 64, 75)]
QUESTIONS = [f"What is the capital of {land}?" for land in ("Italy", "Portugal", "France", "Spain", "Japan", "Norway")]
"""All different, so that no answer's sound is remembered from the one before."""

MODEL_WORK = {
    ("FusedAudioPreprocessor", "clean"),
    ("STTService", "transcribe"),
    ("ModelManagerSuite", "generate"),
    ("ModelManagerSuite", "generate_text"),
    ("TTSService", "synthesize"),
    ("MemoryOrchestratorService", "semantic_search"),
}
"""Spans in which a model computes: voice activity, recognition, language model, synthesis, embeddings."""

Interval = tuple[float, float]


def tandem(*arguments: str) -> str:
    """What the command prints; raises ``CalledProcessError`` when it fails."""
    command = [str(Path(sys.executable).with_name("tandem")), *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def covered(intervals: Iterable[Interval]) -> float:
    """Seconds covered by at least one interval."""
    total, end = 0.0, float("-inf")
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def shares(turn: str) -> tuple[float, float]:
    """Seconds of a turn's trace in all, and those in which a model worked."""
    trace = json.loads(tandem("trace", turn, "--json"))
    spans = [row["span"] for row in trace["spans"]]
    whole = covered((span["start"], span["start"] + span["duration_s"]) for span in spans)
    models = covered(
        (span["start"], span["start"] + span["duration_s"])
        for span in spans
        if (span.get("agent"), span["name"]) in MODEL_WORK and span.get("kind") == "server"
    )
    return whole, models


def measure() -> Sequence[Row]:
    with tempfile.TemporaryDirectory(prefix="tb-") as home:
        os.environ.update(TANDEM_HOME=home, PORT_OFFSET=os.environ.get("PORT_OFFSET", "30000"))
        say("starting the fleet …")
        tandem("up")
        try:
            return [*_turns(home, COMMANDS, "command"), *_turns(home, QUESTIONS, "question")]
        finally:
            tandem("down")


def _turns(home: str, texts: Sequence[str], name: str) -> list[Row]:
    wholes, fractions, first_sounds = [], [], []
    for number, text in enumerate(texts):
        spoken = Path(home, f"{name}{number}.wav")
        _say(text, spoken)
        result = json.loads(tandem("talk", str(spoken), "--json", "--session", f"{name}{number}"))
        whole, models = shares(result["turn"])
        say(f"{name}: {whole:.3f} s, models {models:.3f} s: {result['transcript']} -> {result['answer']}")
        # The first turn finds caches cold and models unused.
        if number:
            wholes.append(whole)
            fractions.append((whole - models) / models)
            first_sounds.append(result["timings"]["hear"] + result["timings"]["first_sound"])
    return [
        Row(id="turn.platform_fraction" if name == "question" else f"turn.{name}.platform_fraction", ours=statistics.median(fractions), unit="1"),
        Row(id=f"turn.{name}.s", ours=statistics.median(wholes), unit="s"),
        Row(id=f"turn.{name}.first_sound_s", ours=statistics.median(first_sounds), unit="s"),
    ]


def _say(text: str, path: Path) -> None:
    """Speak ``text`` into a WAV file with our own voice."""
    import asyncio

    from tandem_agents.engines.audio import concat, silence, to_wav
    from tandem_agents.engines.select import open_text_to_speech

    async def speak() -> bytes:
        voice = await open_text_to_speech()
        pieces = [piece async for piece in voice.synthesize(text)]
        await voice.close()
        return to_wav(concat([*pieces, silence(0.7, voice.rate)]))

    path.write_bytes(asyncio.run(speak()))


if __name__ == "__main__":
    run("turn", measure)
