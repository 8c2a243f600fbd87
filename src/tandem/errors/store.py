"""Incidents on disk (SQLite): a batch of reports and what it changed are committed together, so each counts once."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.core.databases import open_database
from tandem.core.errors import NotFound, Unavailable
from tandem.errors.incident import LIVE, Incident, Judgement, State
from tandem.errors.report import ErrorReport

SAMPLES = 50
"""Reports kept by themselves per incident; the stream has the others for a week."""

SEEN_S = 9 * 86400.0
"""How long a report's id is known; longer than the streams keep a report that could come again."""

KEPT_S = 30 * 86400.0
"""How long a resolved incident is kept."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS incidents (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, state TEXT NOT NULL, last REAL NOT NULL, data BLOB NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS by_state ON incidents (state, last);
CREATE TABLE IF NOT EXISTS samples (
    incident TEXT NOT NULL, id TEXT NOT NULL, time REAL NOT NULL, data BLOB NOT NULL, PRIMARY KEY (incident, id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS seen (id TEXT PRIMARY KEY, time REAL NOT NULL) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS seen_by_time ON seen (time);
CREATE TABLE IF NOT EXISTS alerts (
    incident TEXT NOT NULL, route TEXT NOT NULL, stage TEXT NOT NULL, time REAL NOT NULL,
    PRIMARY KEY (incident, route, stage)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told (
    key TEXT NOT NULL, route TEXT NOT NULL, stage TEXT NOT NULL, time REAL NOT NULL, PRIMARY KEY (key, route, stage)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS early (key TEXT PRIMARY KEY, at REAL NOT NULL, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS untold (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, data BLOB NOT NULL);
PRAGMA user_version = 1;
"""

_encode = msgspec.json.Encoder().encode
_incident = msgspec.json.Decoder(Incident).decode
_report = msgspec.json.Decoder(ErrorReport).decode
_judgement = msgspec.json.Decoder(Judgement).decode


class Outgoing(Struct, frozen=True):
    """What other hubs have to be told, and the id under which they hear it once."""

    id: str
    data: bytes


class Store:
    """One file, used by one thread. Methods raise :class:`Unavailable` when the disk or the file refuses.

    One that is found damaged when it is opened is put aside: what happens from then on is worth more than a hub that
    does not come up.
    """

    def __init__(self, path: Path):
        with _translated(path):
            self._db = open_database(path, ("journal_mode=WAL", "synchronous=FULL"), _SCHEMA)
        self._path = path

    def close(self) -> None:
        self._db.close()

    def unseen(self, reports: Iterable[ErrorReport]) -> list[ErrorReport]:
        """Those that have not been counted yet, each once."""
        fresh: dict[str, ErrorReport] = {}
        with _translated(self._path):
            for report in reports:
                if self._db.execute("SELECT 1 FROM seen WHERE id = ?", (report.id,)).fetchone() is None:
                    fresh.setdefault(report.id, report)
        return list(fresh.values())

    def save(
        self,
        incidents: Iterable[Incident],
        samples: Iterable[tuple[str, ErrorReport]] = (),
        seen: Iterable[ErrorReport] = (),
        *,
        settled: Iterable[str] = (),
        tell: Outgoing | None = None,
    ) -> None:
        """Keep all of it or nothing: changed incidents, (incident id, report) pairs, and reports now counted.

        ``settled``: keys of early judgements that were done or came too late. ``tell``: see :meth:`untold`.
        """
        with _translated(self._path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            for incident_id, report in samples:
                self._db.execute(
                    "INSERT OR IGNORE INTO samples SELECT ?1, ?2, ?3, ?4 "
                    "WHERE (SELECT count(*) FROM samples WHERE incident = ?1) < ?5",
                    (incident_id, report.id, report.time, _encode(report), SAMPLES),
                )
            for incident in incidents:
                self._put(incident)
                if incident.merged_into:
                    self._db.execute(
                        "UPDATE OR REPLACE samples SET incident = ? WHERE incident = ?",
                        (incident.merged_into, incident.id),
                    )
            self._db.executemany(
                "INSERT OR IGNORE INTO seen VALUES (?, ?)", [(report.id, report.time) for report in seen]
            )
            self._db.executemany("DELETE FROM early WHERE key = ?", [(key,) for key in settled])
            self._put_untold(tell)

    def untold(self, limit: int) -> list[Outgoing]:
        """What other hubs have not been told yet, oldest first."""
        with _translated(self._path):
            rows = self._db.execute("SELECT id, data FROM untold ORDER BY number LIMIT ?", (limit,))
            return [Outgoing(*row) for row in rows]

    def passed_on(self, told: str) -> None:
        """The stream has what has this id, and the other hubs will."""
        with _translated(self._path):
            self._db.execute("DELETE FROM untold WHERE id = ?", (told,))

    def keep_early(self, judgement: Judgement) -> None:
        """A decision about what we have not heard of yet; of several with one key the latest counts."""
        with _translated(self._path):
            self._db.execute(
                "INSERT INTO early VALUES (?, ?, ?) ON CONFLICT (key) DO UPDATE "
                "SET at = excluded.at, data = excluded.data WHERE excluded.at >= at",
                (judgement.key, judgement.at, _encode(judgement)),
            )

    def early(self) -> list[Judgement]:
        """Decisions that wait for their incident."""
        with _translated(self._path):
            return [_judgement(row[0]) for row in self._db.execute("SELECT data FROM early")]

    def of_key(self, key: str) -> list[Incident]:
        """Incidents of that key, the latest first."""
        with _translated(self._path):
            rows = self._db.execute("SELECT data FROM incidents WHERE key = ? ORDER BY last DESC", (key,))
            return [_incident(row[0]) for row in rows]

    def live(self) -> list[Incident]:
        """Incidents further errors may belong to."""
        marks = ", ".join("?" * len(LIVE))
        with _translated(self._path):
            rows = self._db.execute(f"SELECT data FROM incidents WHERE state IN ({marks})", tuple(LIVE))
            return [_incident(row[0]) for row in rows]

    def incidents(self, states: Iterable[State], since: float = 0.0, limit: int = 100) -> list[Incident]:
        """The latest ones first."""
        wanted = [str(state) for state in states]
        marks = ", ".join("?" * len(wanted))
        with _translated(self._path):
            rows = self._db.execute(
                f"SELECT data FROM incidents WHERE state IN ({marks}) AND last >= ? ORDER BY last DESC LIMIT ?",
                (*wanted, since, limit),
            )
            return [_incident(row[0]) for row in rows]

    def with_ids(self, ids: Iterable[str]) -> list[Incident]:
        """Those that are kept, in no particular order."""
        wanted = list(ids)
        marks = ", ".join("?" * len(wanted))
        with _translated(self._path):
            return [_incident(row[0]) for row in self._db.execute(f"SELECT data FROM incidents WHERE id IN ({marks})", wanted)]

    def counts(self) -> dict[State, int]:
        """How many incidents are kept in each state; without those that became a part of another."""
        with _translated(self._path):
            rows = self._db.execute("SELECT state, count(*) FROM incidents WHERE state != ? GROUP BY state", (str(State.MERGED),))
            return {State(state): count for state, count in rows}

    def find(self, name: str) -> Incident:
        """The incident of that id, or the only one whose id ends with ``name``, or the latest of that key.

        Raises :class:`NotFound` when there is none or there are several.
        """
        with _translated(self._path):
            rows = self._db.execute(
                "SELECT id, key, data FROM incidents WHERE id = ?1 OR key = ?1 OR substr(id, -length(?1)) = ?1 "
                "ORDER BY last DESC LIMIT 20",
                (name.lower() if ":" not in name else name,),
            ).fetchall()
        exact = [row for row in rows if name in row[:2]]
        if not rows or not name:
            raise NotFound(f"there is no incident {name!r}", hint="tandem errors list")
        if not exact and len(rows) > 1:
            raise NotFound(f"{len(rows)} incidents end with {name}", hint="give more of its letters")
        return _incident((exact or rows)[0][2])

    def samples(self, incident_id: str) -> list[ErrorReport]:
        """Its reports that were kept by themselves, oldest first."""
        with _translated(self._path):
            rows = self._db.execute(
                "SELECT data FROM samples WHERE incident = ? ORDER BY time, id", (incident_id,)
            )
            return [_report(row[0]) for row in rows]

    def alerted(self, incident_id: str) -> dict[tuple[str, str], float]:
        """(route, stage) of what was sent about it, with the time."""
        with _translated(self._path):
            rows = self._db.execute(
                "SELECT route, stage, time FROM alerts WHERE incident = ?", (incident_id,)
            )
            return {(route, stage): time for route, stage, time in rows}

    def note_alert(self, incident_id: str, route: str, stage: str, time: float, tell: Outgoing | None = None) -> None:
        """``stage`` of the incident was sent to ``route``, which other hubs have to be told."""
        with _translated(self._path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT OR REPLACE INTO alerts VALUES (?, ?, ?, ?)", (incident_id, route, stage, time)
            )
            self._put_untold(tell)

    def told(self, keys: Iterable[str], since: float) -> set[tuple[str, str]]:
        """(route, stage) of what another hub sent about these keys since then."""
        wanted = list(keys)
        marks = ", ".join("?" * len(wanted))
        with _translated(self._path):
            rows = self._db.execute(
                f"SELECT route, stage FROM told WHERE key IN ({marks}) AND time >= ?", (*wanted, since)
            )
            return {(route, stage) for route, stage in rows}

    def note_told(self, key: str, route: str, stage: str, time: float) -> None:
        """Another hub sent ``stage`` of the incident of that key to ``route``."""
        with _translated(self._path):
            self._db.execute("INSERT OR REPLACE INTO told VALUES (?, ?, ?, ?)", (key, route, stage, time))

    def tidy(self, now: float) -> None:
        """Forget what is too old to matter."""
        old = [str(state) for state in State if state not in LIVE]
        marks = ", ".join("?" * len(old))
        gone = f"SELECT id FROM incidents WHERE state IN ({marks}) AND last < ?"
        with _translated(self._path), self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM seen WHERE time < ?", (now - SEEN_S,))
            self._db.execute("DELETE FROM told WHERE time < ?", (now - KEPT_S,))
            self._db.execute("DELETE FROM early WHERE at < ?", (now - KEPT_S,))
            for table in ("samples", "alerts"):
                self._db.execute(f"DELETE FROM {table} WHERE incident IN ({gone})", (*old, now - KEPT_S))
            self._db.execute(
                f"DELETE FROM incidents WHERE state IN ({marks}) AND last < ?", (*old, now - KEPT_S)
            )

    def _put_untold(self, tell: Outgoing | None) -> None:
        if tell is not None:
            self._db.execute("INSERT INTO untold (id, data) VALUES (?, ?)", (tell.id, tell.data))

    def _put(self, incident: Incident) -> None:
        self._db.execute(
            "INSERT OR REPLACE INTO incidents VALUES (?, ?, ?, ?, ?)",
            (incident.id, incident.key, str(incident.state), incident.last, _encode(incident)),
        )


class _translated:  # noqa: N801 - reads as a phrase
    """SQLite's complaints as ours."""

    def __init__(self, path: Path):
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sqlite3.Error):
            raise Unavailable(
                f"the incident store {self._path} cannot be used: {error}", hint=f"check {self._path.parent}"
            ) from error
