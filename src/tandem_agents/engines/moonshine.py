"""Speech to text by Moonshine (``moonshine-voice``, MIT), whose tiny English model comes with the library."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tandem.core.errors import Unavailable
from tandem_agents.engines.audio import SILENCE_PEAK, SPEECH_RATE, StreamResampler, resample
from tandem_agents.engines.kinds import Audio, Hypothesis, Transcript
from tandem_agents.engines.optional import LazyModule
from tandem_agents.engines.worker import Worker

if TYPE_CHECKING:
    import moonshine_voice
    import numpy as np
    from numpy.typing import NDArray
else:
    moonshine_voice = LazyModule("moonshine_voice", extra="voice")
    np = LazyModule("numpy", extra="voice")

UPDATE_S = 0.3
"""Audio between two hypotheses of a stream. Each costs a run of the model over the line so far."""

_TAIL_S = 0.5
"""Silence added after the end: speech cut off without it is often heard with a stray word in front or behind."""

_LANGUAGE = "en"


class Moonshine:
    """A loaded model; clips and streams take turns on one thread."""

    def __init__(self, transcriber: Any, worker: Worker):
        self._transcriber = transcriber
        self._worker = worker

    @classmethod
    async def load(cls, directory: Path) -> Moonshine:
        """``directory`` holds the model's three files. Raises ``Unavailable``."""
        worker = Worker("moonshine")
        try:
            return cls(await worker.run(_load, directory), worker)
        except BaseException:
            worker.close()
            raise

    @property
    def name(self) -> str:
        return "moonshine-tiny-en"

    @property
    def languages(self) -> tuple[str, ...]:
        return (_LANGUAGE,)

    async def transcribe(self, audio: Audio) -> Transcript:
        """See :class:`SpeechToText`."""
        text = await self._worker.run(self._clip, audio)
        return Transcript(text, _LANGUAGE, audio.seconds)

    async def stream(self, chunks: AsyncIterator[Audio]) -> AsyncGenerator[Hypothesis, None]:
        """See :class:`SpeechToText`. The chunks of one stream have one rate."""
        stream: _Stream | None = None
        try:
            async for chunk in chunks:
                if stream is None:
                    stream = await self._worker.run(_Stream, self._transcriber, chunk.rate)
                for hypothesis in await self._worker.run(stream.push, chunk):
                    yield hypothesis
            if stream is not None:
                for hypothesis in await self._worker.run(stream.finish):
                    yield hypothesis
        finally:
            if stream is not None:
                self._worker.submit(stream.close)

    async def close(self) -> None:
        self._worker.submit(self._transcriber.close)
        self._worker.close()

    def _clip(self, audio: Audio) -> str:
        if len(audio.samples) == 0 or float(np.abs(audio.samples).max()) < SILENCE_PEAK:
            return ""
        samples = np.concatenate([resample(audio, SPEECH_RATE).samples, _tail()])
        transcript = self._transcriber.transcribe_without_streaming(samples.tolist(), SPEECH_RATE)
        return " ".join(line.text.strip() for line in transcript.lines if line.text.strip())


def _load(directory: Path) -> Any:
    try:
        return moonshine_voice.Transcriber(
            model_path=directory,
            model_arch=moonshine_voice.ModelArch.TINY,
            update_interval=UPDATE_S,
            # Otherwise every update copies the line's samples back, one Python float each.
            options={"return_audio_data": "false"},
        )
    except moonshine_voice.MoonshineError as error:
        raise Unavailable(f"Moonshine cannot load {directory}: {error}") from error


def _tail() -> NDArray[np.float32]:
    return np.zeros(round(_TAIL_S * SPEECH_RATE), np.float32)


class _Stream:
    """One stream's state in the library; used on the worker's thread only."""

    def __init__(self, transcriber: Any, rate: int):
        self._resampler = StreamResampler(rate, SPEECH_RATE)
        self._stream = transcriber.create_stream()
        self._changed: dict[int, Any] = {}
        self._numbers: dict[int, int] = {}
        self._stream.add_listener(self._hear)
        self._stream.start()

    def push(self, chunk: Audio) -> list[Hypothesis]:
        ready = self._resampler.push(chunk.samples)
        if len(ready.samples):
            self._stream.add_audio(ready.samples.tolist(), SPEECH_RATE)
        return self._take()

    def finish(self) -> list[Hypothesis]:
        rest = self._resampler.push(np.zeros(0, np.float32), last=True)
        self._stream.add_audio([*rest.samples.tolist(), *_tail().tolist()], SPEECH_RATE)
        self._stream.stop()
        return self._take()

    def close(self) -> None:
        self._stream.close()

    def _hear(self, event: Any) -> None:
        """Called by the library while audio is added; of one line only the latest news counts."""
        if isinstance(event, moonshine_voice.LineTextChanged | moonshine_voice.LineCompleted):
            self._changed[event.line.line_id] = event.line

    def _take(self) -> list[Hypothesis]:
        lines, self._changed = self._changed, {}
        return [
            Hypothesis(
                line=self._numbers.setdefault(line_id, len(self._numbers)),
                text=line.text.strip(),
                final=line.is_complete,
                start_s=line.start_time,
                end_s=line.start_time + line.duration,
            )
            for line_id, line in lines.items()
        ]
