"""Clips that wait to be written down, and what was heard in them: on disk, so that a restart loses none."""

from __future__ import annotations

from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.core.errors import NotFound, Overloaded
from tandem_agents.engines.kinds import Pcm, Transcript
from tandem_agents.speech_services.contracts import BatchResult
from tandem_agents.storage import Database, Migration

MIGRATIONS = (
    Migration(
        1,
        """
CREATE TABLE clips (
    ticket TEXT PRIMARY KEY, queued REAL NOT NULL, audio BLOB, rate INTEGER NOT NULL, state TEXT NOT NULL,
    transcript BLOB, problem TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX clips_by_state ON clips(state, queued);
""",
    ),
)
KEPT_S = 86_400.0
"""How long a result can be asked for."""


class Queued(Struct, frozen=True):
    """A clip that waits."""

    ticket: str
    audio: Pcm


class ClipQueue:
    """Not for several threads at once."""

    def __init__(self, path: Path, limit: int):
        self._database = Database(path, MIGRATIONS)
        self._limit = limit

    def close(self) -> None:
        self._database.close()

    def add(self, ticket: str, audio: Pcm, now: float) -> None:
        """Raises ``Overloaded`` when ``limit`` clips wait."""
        with self._database.transaction() as store:
            store.execute("DELETE FROM clips WHERE state <> 'waiting' AND queued < ?", (now - KEPT_S,))
            waiting = store.execute("SELECT count(*) FROM clips WHERE state = 'waiting'").fetchone()[0]
            if waiting >= self._limit:
                raise Overloaded(
                    f"{waiting} clips wait to be written down", hint="queue more when some are done"
                )
            store.execute(
                "INSERT INTO clips (ticket, queued, audio, rate, state) VALUES (?, ?, ?, ?, 'waiting')",
                (ticket, now, audio.data, audio.rate),
            )

    def oldest(self) -> Queued | None:
        """The clip that has waited longest."""
        row = self._database.row(
            "SELECT ticket, audio, rate FROM clips WHERE state = 'waiting' ORDER BY queued, ticket LIMIT 1"
        )
        return Queued(row["ticket"], Pcm(row["audio"], row["rate"])) if row else None

    def done(self, ticket: str, transcript: Transcript) -> None:
        """Keep what was heard; the sound goes."""
        self._settle(ticket, "done", msgspec.json.encode(transcript), "")

    def failed(self, ticket: str, problem: str) -> None:
        self._settle(ticket, "failed", None, problem)

    def results(self, tickets: list[str]) -> list[BatchResult]:
        """In the order asked. Raises ``NotFound`` for a ticket that was never given, or whose result is gone."""
        found = []
        for ticket in tickets:
            row = self._database.row("SELECT state, transcript, problem FROM clips WHERE ticket = ?", ticket)
            if row is None:
                raise NotFound(f"there is no clip {ticket!r}", hint="results are kept for a day")
            heard = msgspec.json.decode(row["transcript"], type=Transcript) if row["transcript"] else None
            found.append(
                BatchResult(ticket=ticket, state=row["state"], transcript=heard, problem=row["problem"])
            )
        return found

    def _settle(self, ticket: str, state: str, transcript: bytes | None, problem: str) -> None:
        with self._database.transaction() as store:
            store.execute(
                "UPDATE clips SET state = ?, transcript = ?, problem = ?, audio = NULL WHERE ticket = ?",
                (state, transcript, problem, ticket),
            )
