"""What time does to memories: they fade, move to longer tiers, and old turns shrink into summaries.

Fading only orders memories; what a person asked to be remembered is never shortened, merged or dropped.
"""

from __future__ import annotations

import re
import sqlite3
from itertools import groupby

from tandem.core.ids import new_id
from tandem_agents.memory_services.contracts import Tier, UpkeepReport
from tandem_agents.memory_services.store import MemoryDatabase
from tandem_agents.storage import Row

DAY_S = 86_400.0
FADE_PER_DAY: dict[Tier, float] = {"short": 0.10, "medium": 0.05, "long": 0.01}
MEDIUM_BELOW = 0.4
LONG_BELOW = 0.2
SHORT_TEXT_CHARS = 280
MERGE_FROM = 3
MERGE_AT_MOST = 40
KEEP_SUPERSEDED_S = 90 * DAY_S

_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def faded(importance: float, tier: Tier, elapsed_s: float) -> float:
    """Importance after ``elapsed_s`` seconds: 10, 5 or 1 percent less a day, compounded. A clock set back changes nothing."""
    days = max(0.0, elapsed_s) / DAY_S
    return float(importance * (1 - FADE_PER_DAY[tier]) ** days)


def next_tier(tier: Tier, importance: float) -> Tier:
    """Where an entry belongs: faded short entries are medium, faded medium ones long."""
    if tier == "short" and importance < MEDIUM_BELOW:
        return "medium"
    if tier == "medium" and importance < LONG_BELOW:
        return "long"
    return tier


def shortened(text: str, limit: int = SHORT_TEXT_CHARS) -> str:
    """The first whole sentences that fit into ``limit`` characters, at least the beginning of the first."""
    if len(text) <= limit:
        return text
    kept = ""
    for sentence in _SENTENCE_END.split(text):
        if len(kept) + len(sentence) + 1 > limit:
            break
        kept = f"{kept} {sentence}".strip()
    return kept or text[: limit - 1].rstrip() + "…"


def run_upkeep(store: MemoryDatabase, now: float) -> UpkeepReport:
    """One round, in one transaction: repeating it right away changes nothing."""
    with store.database.transaction() as connection:
        rows = connection.execute(
            "SELECT id, kind, tier, importance, faded, content FROM memories"
        ).fetchall()
        moved = sum(_age(connection, row, now) for row in rows)
        merged = _merge(connection, now)
        dropped = connection.execute(
            "DELETE FROM memories WHERE superseded_by != '' AND kind = 'turn' AND updated < ?",
            (now - KEEP_SUPERSEDED_S,),
        ).rowcount
    return UpkeepReport(faded=len(rows), moved=moved, merged=merged, dropped=dropped)


def _age(connection: sqlite3.Connection, row: Row, now: float) -> int:
    importance = faded(row["importance"], row["tier"], now - row["faded"])
    tier = next_tier(row["tier"], importance)
    connection.execute(
        "UPDATE memories SET importance = ?, tier = ?, faded = ? WHERE id = ?",
        (importance, tier, max(now, row["faded"]), row["id"]),
    )
    if tier == "long" and row["tier"] != "long" and row["kind"] == "turn":
        # Apart from the rest: whoever sets a text, be it to what it was, has the index of words written anew.
        connection.execute("UPDATE memories SET content = ? WHERE id = ?", (shortened(row["content"]), row["id"]))
    return int(tier != row["tier"])


def _merge(connection: sqlite3.Connection, now: float) -> int:
    """Three or more long-tier turns of one session become one summary entry that links to them."""
    rows = connection.execute(
        """SELECT id, parent, content, created FROM memories WHERE kind = 'turn' AND tier = 'long'
        AND superseded_by = '' AND parent IS NOT NULL ORDER BY parent, created, rowid"""
    ).fetchall()
    merged = 0
    for parent, turns in groupby(rows, key=lambda row: row["parent"]):
        listed = list(turns)
        for start in range(0, len(listed), MERGE_AT_MOST):
            chunk = listed[start : start + MERGE_AT_MOST]
            if len(chunk) >= MERGE_FROM:
                _summarise(connection, parent, chunk, now)
                merged += len(chunk)
    return merged


def _summarise(connection: sqlite3.Connection, parent: str, turns: list[Row], now: float) -> None:
    memory_id = new_id()
    text = "\n".join(shortened(turn["content"], 120) for turn in turns)
    connection.execute(
        """INSERT INTO memories (id, content, kind, tier, importance, parent, created, updated, faded)
        VALUES (?, ?, 'summary', 'long', 0.3, ?, ?, ?, ?)""",
        (memory_id, text, parent, turns[0]["created"], now, now),
    )
    connection.executemany(
        "UPDATE memories SET superseded_by = ?, updated = ? WHERE id = ?",
        [(memory_id, now, turn["id"]) for turn in turns],
    )
    connection.executemany(
        "INSERT INTO links VALUES (?, ?, 'summarises', 1.0)", [(memory_id, turn["id"]) for turn in turns]
    )
