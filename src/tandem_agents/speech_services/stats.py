"""Counting what a speech engine did."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tandem.core import clock
from tandem_agents.speech_services.contracts import SpeechStats


class SpeechCounter:
    """Requests, failures, seconds of sound and seconds of work."""

    def __init__(self) -> None:
        self._requests = 0
        self._failures = 0
        self._audio_s = 0.0
        self._busy_s = 0.0

    @contextmanager
    def request(self) -> Iterator[None]:
        """One request; an exception leaving the block counts as a failure."""
        self._requests += 1
        started = clock.monotonic()
        try:
            yield
        except Exception:
            self._failures += 1
            raise
        finally:
            self._busy_s += clock.monotonic() - started

    def heard(self, seconds: float) -> None:
        """So much sound was taken in or made."""
        self._audio_s += seconds

    def stats(self) -> SpeechStats:
        return SpeechStats(
            requests=self._requests,
            failures=self._failures,
            audio_s=self._audio_s,
            busy_s=self._busy_s,
            real_time_factor=self._busy_s / self._audio_s if self._audio_s else 0.0,
        )
