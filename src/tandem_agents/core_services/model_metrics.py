"""Measurements of models, on disk."""

from __future__ import annotations

from pathlib import Path

from tandem_agents.core_services.model_contracts import ModelMetric
from tandem_agents.storage import Database, Migration

MIGRATIONS = (
    Migration(
        1,
        """
CREATE TABLE metrics (
    at REAL NOT NULL, model TEXT NOT NULL, name TEXT NOT NULL, value REAL NOT NULL, note TEXT NOT NULL
) STRICT;
CREATE INDEX metrics_by_model ON metrics(model, name, at);
""",
    ),
)
KEEP_S = 30 * 86_400.0


class ModelMetrics:
    """Not for several threads at once."""

    def __init__(self, path: Path, epoch: int = 0):
        self._database = Database(path, MIGRATIONS, epoch)

    def close(self) -> None:
        self._database.close()

    def add(self, metrics: list[ModelMetric], now: float) -> None:
        with self._database.transaction() as store:
            store.executemany(
                "INSERT INTO metrics VALUES (?, ?, ?, ?, ?)",
                [
                    (metric.at or now, metric.model, metric.name, metric.value, metric.note)
                    for metric in metrics
                ],
            )
            store.execute("DELETE FROM metrics WHERE at < ?", (now - KEEP_S,))

    def mean(self, name: str, since: float) -> dict[str, tuple[float, int]]:
        """The mean and number of a measurement's values since a point in time, by model."""
        rows = self._database.rows(
            "SELECT model, avg(value) AS mean, count(*) AS number FROM metrics WHERE name = ? AND at >= ? GROUP BY model",
            name, since,
        )  # fmt: skip
        return {row["model"]: (row["mean"], row["number"]) for row in rows}

    def newest(self, model: str, name: str, limit: int) -> list[ModelMetric]:
        """The newest first; an empty ``model`` or ``name`` stands for all."""
        rows = self._database.rows(
            """SELECT * FROM metrics WHERE (?1 = '' OR model = ?1) AND (?2 = '' OR name = ?2)
            ORDER BY at DESC LIMIT ?3""",
            model, name, max(1, min(limit, 10_000)),
        )  # fmt: skip
        return [
            ModelMetric(
                model=row["model"], name=row["name"], value=row["value"], at=row["at"], note=row["note"]
            )
            for row in rows
        ]
