"""When models were used, on disk, and which will likely be wanted next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from tandem_agents.core_services.model_contracts import ModelForecast
from tandem_agents.storage import Database, Migration

MIGRATIONS = (
    Migration(
        1,
        """
CREATE TABLE uses (
    model TEXT NOT NULL, hour INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (model, hour)
) STRICT;
""",
    ),
)
HOUR_S = 3600
DAY_H = 24
KEPT_DAYS = 28
HABIT_DAYS = 7
"""Days looked back on for what is usual at this time of day."""
RECENT_H = 6
"""Hours in which a use halves its meaning for the next hour."""


class Use(Struct, frozen=True):
    """``count`` uses of ``model`` within the hour that began ``hour`` hours after the Unix epoch."""

    model: str
    hour: int
    count: int


class ModelUsage(Struct, frozen=True):
    """Not for several threads at once."""

    database: Database

    @classmethod
    def open(cls, path: Path, epoch: int = 0) -> ModelUsage:
        return cls(Database(path, MIGRATIONS, epoch))

    def close(self) -> None:
        self.database.close()

    def add(self, counts: dict[str, int], now: float) -> None:
        """Note uses of this hour, and forget those of long ago."""
        hour = int(now // HOUR_S)
        with self.database.transaction() as store:
            store.executemany(
                """INSERT INTO uses VALUES (?1, ?2, ?3)
                ON CONFLICT (model, hour) DO UPDATE SET count = count + excluded.count""",
                [(model, hour, count) for model, count in counts.items()],
            )
            store.execute("DELETE FROM uses WHERE hour < ?", (hour - KEPT_DAYS * DAY_H,))

    def uses(self) -> list[Use]:
        return [
            Use(row["model"], row["hour"], row["count"])
            for row in self.database.rows("SELECT model, hour, count FROM uses")
        ]


def forecast(uses: Sequence[Use], now: float, limit: int) -> list[ModelForecast]:
    """The likeliest first. Two signs count, and either suffices: uses lately (a use six hours ago counts half), and the
    share of the last seven days on which the model was used at this time of day or in the hour after it.
    """
    hour = int(now // HOUR_S)
    found = []
    for model in sorted({use.model for use in uses}):
        own = [use for use in uses if use.model == model and use.hour <= hour]
        weight = sum(use.count * 0.5 ** ((hour - use.hour) / RECENT_H) for use in own)
        lately = 1 - 0.5**weight
        days = {day for use in own if (day := _day_of_habit(hour - use.hour)) is not None}
        habit = len(days) / HABIT_DAYS
        recent = sum(use.count for use in own if hour - use.hour < RECENT_H)
        found.append(
            ModelForecast(
                model=model,
                likelihood=round(1 - (1 - lately) * (1 - habit), 3),
                why=f"{recent} uses in the last {RECENT_H} hours; used around this time on {len(days)} of {HABIT_DAYS} days",
            )
        )
    found.sort(key=lambda one: (-one.likelihood, one.model))
    return found[: max(1, limit)]


def _day_of_habit(hours_ago: int) -> int | None:
    """Which of the last days (1 is yesterday) an hour belongs to, if it is this time of day or the hour after it."""
    day, offset = divmod(hours_ago + 1, DAY_H)
    return day if offset in (0, 1) and 1 <= day <= HABIT_DAYS else None
