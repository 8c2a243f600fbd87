"""What people usually ask at which time of day, on disk, and what they may therefore want now."""

from __future__ import annotations

from pathlib import Path

from tandem_agents.core_services.contracts import Suggestion
from tandem_agents.language_processing.calendar_words import local, say_time
from tandem_agents.language_processing.contracts import Intent
from tandem_agents.storage import Database, Migration

MIGRATIONS = (
    Migration(
        1,
        """
CREATE TABLE asked (user TEXT NOT NULL, text TEXT NOT NULL, at REAL NOT NULL) STRICT;
CREATE INDEX asked_by_user ON asked(user, at);
CREATE TABLE suggested (user TEXT NOT NULL, text TEXT NOT NULL, at REAL NOT NULL) STRICT;
""",
    ),
)
HABITUAL: frozenset[Intent] = frozenset(
    {
        "time",
        "date",
        "days_until",
        "convert",
        "set_timer",
        "set_alarm",
        "set_reminder",
        "list_timers",
        "list_memories",
    }
)
"""Commands that recur and hold nothing private; what people tell or ask the model is not kept here."""
DAY_S = 86_400.0
KEPT_DAYS, LOOKED_BACK_DAYS, ENOUGH_DAYS = 30, 14, 3
AROUND_S = 3600.0
"""How far from the usual time of day it is still that time."""


class Habits:
    """Not for several threads at once."""

    def __init__(self, path: Path, epoch: int = 0):
        self._database = Database(path, MIGRATIONS, epoch)

    def close(self) -> None:
        self._database.close()

    def note(self, user: str, text: str, now: float) -> None:
        """Somebody gave this command."""
        with self._database.transaction() as store:
            store.execute("INSERT INTO asked VALUES (?, ?, ?)", (user, text.lower(), now))
            for table in ("asked", "suggested"):
                store.execute(f"DELETE FROM {table} WHERE at < ?", (now - KEPT_DAYS * DAY_S,))

    def suggest(self, user: str, now: float) -> Suggestion | None:
        """The command given at about this time on the most of the last fourteen days, three or more; not one that was
        given or suggested today. A suggestion is remembered as made.
        """
        today = local(now).date()
        days: dict[str, set[int]] = {}
        done = {
            row["text"]
            for row in self._database.rows(
                "SELECT text, at FROM suggested WHERE user = ? AND at >= ?", user, now - DAY_S
            )
            if local(row["at"]).date() == today
        }
        for row in self._database.rows(
            "SELECT text, at FROM asked WHERE user = ? AND at >= ? AND at <= ?",
            user, now - LOOKED_BACK_DAYS * DAY_S, now,
        ):  # fmt: skip
            ago = (today - local(row["at"]).date()).days
            if ago == 0:
                done.add(row["text"])
            elif _same_time_of_day(row["at"], now):
                days.setdefault(row["text"], set()).add(ago)
        usual = {text: len(on) for text, on in days.items() if text not in done and len(on) >= ENOUGH_DAYS}
        if not usual:
            return None
        text = max(sorted(usual), key=lambda one: usual[one])
        with self._database.transaction() as store:
            store.execute("INSERT INTO suggested VALUES (?, ?, ?)", (user, text, now))
        return Suggestion(
            ask=text,
            text=f"Shall I do this now: {text}?",
            why=f"you asked for it around {say_time(local(now))} on {usual[text]} of the last {LOOKED_BACK_DAYS} days",
        )


def _same_time_of_day(then: float, now: float) -> bool:
    apart = abs(_second_of_day(then) - _second_of_day(now))
    return min(apart, DAY_S - apart) <= AROUND_S


def _second_of_day(seconds: float) -> float:
    moment = local(seconds)
    return moment.hour * 3600.0 + moment.minute * 60 + moment.second
