"""How figures, times and states are said to people."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

Tone = Literal["well", "degraded", "trouble", "moving", "off"]
"""What a state means to an onlooker; pages give each a shape, a colour and keep the state's own word beside it."""

_IN_TROUBLE = frozenset({"unhealthy", "failed", "backoff", "invalid"})
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def tone(state: str, verdict: str = "up") -> Tone:
    """``state`` is a phase or a status, ``verdict`` as in :class:`tandem.hub.picture.AgentPicture`."""
    if verdict == "off" or state in ("stopped", ""):
        return "off"
    if verdict == "trouble" or state in _IN_TROUBLE:
        return "trouble"
    if state == "degraded":
        return "degraded"
    return "well" if state == "healthy" else "moving"


def span(seconds: float | None) -> str:
    """A length of time with at most three digits: ``850 µs``, ``12.4 ms``, ``3.2 s``, ``5 min``, ``3 h 12 min``, ``2 d 4 h``."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return _short(seconds)
    minutes = int(seconds // 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"


def _short(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{figure(seconds / size)} {unit}"
    return f"{seconds * 1e6:.0f} µs"


def figure(value: float) -> str:
    """Three digits that matter: ``0.12``, ``3.2``, ``14``, ``1,024``."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}".removesuffix(".0") if value >= 1 else f"{value:.2f}".rstrip("0").rstrip(".")


def size(count: float | None) -> str:
    """Bytes in the largest unit that leaves a whole part."""
    if count is None:
        return "–"
    for unit in _UNITS:
        if count < 1024 or unit == _UNITS[-1]:
            return f"{figure(count)} {unit}"
        count /= 1024
    raise AssertionError


def rate(per_second: float | None) -> str:
    return "–" if per_second is None else f"{figure(per_second)}/s"


def share(fraction: float | None) -> str:
    """``0.124`` as ``12%``."""
    return "–" if fraction is None else f"{figure(fraction * 100)}%"


def clock(unix_s: float) -> str:
    """The time of day, with the day when it is another one; in this computer's zone."""
    at = datetime.fromtimestamp(unix_s).astimezone()
    today = datetime.now().astimezone().date() == at.date()
    return at.strftime("%H:%M:%S" if today else "%d %b %H:%M")


def iso(unix_s: float) -> str:
    """For ``<time datetime>``."""
    return datetime.fromtimestamp(unix_s).astimezone().isoformat(timespec="milliseconds")


def log_clock(rfc3339: str) -> str:
    """The time of day of a log line; empty for a line without."""
    try:
        return datetime.fromisoformat(rfc3339).astimezone().strftime("%H:%M:%S")
    except ValueError:
        return ""


def title(name: str) -> str:
    """A group's name as a heading: ``memory_system`` as ``Memory system``."""
    words = name.replace("_", " ").replace("-", " ").strip()
    return words[:1].upper() + words[1:]


def sentence(text: str) -> str:
    """A message that begins in the middle of a line, as a sentence of its own."""
    ended = text if not text or text[-1] in ".!?:" else f"{text}."
    return ended[:1].upper() + ended[1:]


def plural_of(count: int, one: str, many: str = "") -> str:
    """``1 agent``, ``1,024 agents``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
