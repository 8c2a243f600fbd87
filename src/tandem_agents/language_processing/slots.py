"""Readers: what a matched utterance says besides its intent. A reader returns None to decline the match."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, time

from msgspec import structs

from tandem_agents.language_processing.contracts import Slots
from tandem_agents.language_processing.dates import WEEKDAYS, day_at
from tandem_agents.language_processing.durations import DAY, Duration, duration_at, find_duration
from tandem_agents.language_processing.moments import Moment, find_moment, moment_at
from tandem_agents.language_processing.numerals import join_spelled_digits
from tandem_agents.language_processing.sums import read_sum
from tandem_agents.language_processing.tokens import clean, cut, text_at, tokenize

MAX_TIMER_S = 365 * DAY
MAX_SUBJECT_WORDS = 8

_LABEL_LEAD = re.compile(
    r"^(?:(?:from now|called|named|for|to|about|of|that|with|labell?ed|na|ng|sa|para|the|my|a|an|says?|saying)\b\s*)+",
    re.IGNORECASE,
)
_LABEL_TAIL = re.compile(
    r"(?:\s*\b(?:for|at|in|on|by|the|a|an|and|of|to|ng|na|nang|long|please))+$", re.IGNORECASE
)
_NOT_A_LABEL = re.compile(
    r"(?:new|another|quick|short|long|set|start|minute|hour|second|one|kitchen)?", re.IGNORECASE
)
_COPULA = re.compile(
    r"^(?P<subject>.{2,80}?)\s+(?P<verb>is|are|was|were|=|ay)\s+(?P<value>.+)$", re.IGNORECASE | re.DOTALL
)
_NAMED = re.compile(r"(?!(?:The|My|Our|His|Her|Their|Its|Your|Ang|Si)\b)[A-Z]\w*(?:\s+[A-Z]\w*)*$")
"""Somebody or something by name: what is told of it adds up, while a new boiler code takes the old one's place."""
_ARTICLE = re.compile(r"^(?:the|a|an|my|our|your|ang|si|yung)\s+", re.IGNORECASE)
_FILLER = re.compile(r"\s+(?:again|now|right now|called|please|ko|natin)$", re.IGNORECASE)
SECRETS = {"password", "passwords", "passcode", "pin", "code", "codes", "combination", "wifi"}
_PUBLIC_CODES = {"zip", "postal", "area", "country", "dress", "morse", "genetic", "source", "machine", "binary", "bar", "qr", "error",
                 "colour", "color", "civil", "penal", "tax", "building", "python", "a"}  # fmt: skip
_CHAT = re.compile(
    r"(?:what|why|how|who|when|where|is|are|does|did|do|i|you|we|they|he|she|it|if|because|explain|describe|define"
    r"|tell|write|translate|buy|repair|sell|cancel|the|this|that|my|your|a|an)\b",
    re.IGNORECASE,
)
_EVERY = re.compile(
    r"\b(?:(?:every|each|tuwing)\s+(?:single\s+|other\s+)?(?:\d+\s+)?(?P<unit>days?|mornings?|afternoons?|evenings?|nights?"
    r"|weekdays?|weekends?|weeks?|months?|years?|hours?|minutes?|mondays?|tuesdays?|wednesdays?|thursdays?|fridays?"
    r"|saturdays?|sundays?|umaga|gabi|araw|lunes|martes|miyerkules|huwebes|biyernes|sabado|linggo)"
    r"|daily|weekly|monthly|yearly|hourly|araw-araw|linggo-linggo|on weekdays|on weekends)\b",
    re.IGNORECASE,
)
"""How people ask for something that recurs."""
_KINDS = (("timer", "timer"), ("alarm", "alarm"), ("reminder", "reminder"), ("paalala", "reminder"))


def nothing(match: re.Match[str], now: datetime) -> Slots | None:
    """The intent says it all."""
    return Slots()


def place(match: re.Match[str], now: datetime) -> Slots | None:
    """Where; declines a length of time (``what time is it in 3 hours``)."""
    where = clean(match["place"])
    return None if find_duration(tokenize(where)) else Slots(place=where)


def own_name(match: re.Match[str], now: datetime) -> Slots | None:
    """What the person who asks is called."""
    return Slots(subject="name", kind="own")


def day(match: re.Match[str], now: datetime) -> Slots | None:
    """A date question about one day; declines when the words name no day (``what day does school start``).

    ``duration_s`` is how long it is until a time of day that was named without one (``how long until 6 pm``).
    """
    tokens = tokenize(match["day"])
    found = find_moment(tokens, now)
    if found is None or found.start > 0 or found.end < len(tokens):
        return None
    named = any(day_at(tokens, index, now.date()) for index in range(len(tokens)))
    left = None if named else (found.at - now).total_seconds()
    return Slots(at=found.at.timestamp(), label=clean(match["day"]), duration_s=left)


def sum_asked(match: re.Match[str], now: datetime) -> Slots | None:
    expression = read_sum(match[0])
    return Slots(expression=expression) if expression else None


def listed(match: re.Match[str], now: datetime) -> Slots | None:
    """What to list; ``at`` is the day it is about. Declines words after it that name no day."""
    said = match.groupdict()
    kind, label = _kind(said.get("kind") or "timer"), label_of(said.get("label") or "")
    if not said.get("day"):
        return Slots(kind=kind, label=label)
    tokens = tokenize(said["day"] or "")
    found = day_at(tokens, 0, now.date())
    if found is None or found.end < len(tokens):
        return None
    return Slots(kind=kind, label=label, at=datetime.combine(found.date, time()).timestamp())


def cancelled(match: re.Match[str], now: datetime) -> Slots | None:
    """Which ones to cancel: ``everything``, or by length, time or label."""
    said = match.groupdict()
    kind = _kind(match["kind"])
    wanted = said.get("name") or said.get("label") or ""
    everything = (
        "all" if said.get("all") or (clean(match["kind"]).lower().endswith("s") and not wanted) else ""
    )
    length = find_duration(tokenize(wanted))
    if length:
        return Slots(kind=kind, duration_s=length.seconds)
    found = find_moment(tokenize(f"at {clean(wanted)}"), now) if wanted else None
    if found:
        return Slots(kind=kind, at=found.at.timestamp())
    return Slots(kind=kind, label=label_of(wanted), everything=everything)


def timer(match: re.Match[str], now: datetime) -> Slots | None:
    """``10 minute timer for the eggs``: a length and perhaps a label, on either side of the word."""
    said = match.groupdict()
    before, after = clean(said.get("before") or ""), clean(said.get("after") or said.get("countdown") or "")
    if _is_chat(before) or not (said.get("verb") or said.get("countdown") or _is_order(after, now)):
        return None
    text = f"{before} ; {after}"
    length = find_duration(tokenize(text))
    if length and 0 < length.seconds <= MAX_TIMER_S:
        named, _, other = without(text, length).partition(";")
        return Slots(kind="timer", duration_s=length.seconds, label=label_of(other) or label_of(named))
    moment = find_moment(tokenize(after), now)
    if moment and moment.at > now:
        return Slots(kind="timer", at=moment.at.timestamp(), label=label_of(without(after, moment)))
    if said.get("countdown") or not _only_labels(after):
        return None
    return Slots(kind="timer", label="" if length else label_of(after) or label_of(before), missing="duration")


def alarm(match: re.Match[str], now: datetime) -> Slots | None:
    """``alarm for half past six``, ``wake me in 20 minutes``; a length counts from now."""
    said = match.groupdict()
    before, (after, repeat) = (
        clean(said.get("before") or ""),
        _once(clean(said.get("after") or said.get("wake") or "")),
    )
    if _is_chat(before) or not (said.get("verb") or said.get("wake") or _is_order(after, now)):
        return None
    found = find_moment(tokenize(after), now, habit="wake" if said.get("wake") else "alarm")
    if found:
        return Slots(
            kind="alarm", at=found.at.timestamp(), label=label_of(without(after, found)), repeat=repeat
        )
    found = find_moment(tokenize(f"at {before}"), now, habit="alarm")
    if found:
        return Slots(kind="alarm", at=found.at.timestamp(), label=label_of(after), repeat=repeat)
    length = find_duration(tokenize(after))
    if length and 0 < length.seconds <= MAX_TIMER_S:
        return Slots(kind="alarm", at=now.timestamp() + length.seconds, label=label_of(without(after, length)))
    if said.get("wake") or not _only_labels(after):
        return None
    return Slots(kind="alarm", label=label_of(after), repeat=repeat, missing="moment")


def reminder(match: re.Match[str], now: datetime) -> Slots | None:
    """What to be reminded of, and when; the time may stand before, after or inside (``remind me at 5 to call``)."""
    said = match.groupdict()
    lead, _ = _once(clean(said.get("when") or ""))
    what, repeat = _once(clean(said.get("what") or ""))
    found = _whole_moment(lead, now) if lead else None
    if lead and found is None:
        return None
    if found is None:
        found = _last_moment(what, now)
        what = without(what, found) if found else what
    label = label_of(what)
    if not label:
        return Slots(
            kind="reminder", at=found.at.timestamp() if found else None, repeat=repeat, missing="text"
        )
    if found is None:
        return Slots(kind="reminder", label=label, repeat=repeat, missing="moment")
    return Slots(kind="reminder", at=found.at.timestamp(), label=label, repeat=repeat)


def fact(match: re.Match[str], now: datetime) -> Slots | None:
    """``the boiler code is 4711`` → subject and value; a note without a copula has a value only.

    ``kind`` is ``about`` when it tells something of a name, such as ``Anna is my sister``.
    """
    stated = clean(match["fact"])
    if re.match(
        r"(?:me|when|how|the time|us|him|her|what|where|who)\b(?!.*\b(?:is|are)\b)", stated, re.IGNORECASE
    ):
        return None
    split = _COPULA.match(stated)
    if split is None:
        return Slots(value=stated)
    value = clean(split["value"])
    spelled = join_spelled_digits(tokenize(value))
    if spelled:
        value, stated = spelled, f"{split['subject']} {split['verb']} {spelled}"
    return Slots(
        kind="about" if _NAMED.match(split["subject"]) else "",
        subject=_subject(split["subject"]),
        value=value,
        label=stated,
    )


def subject(match: re.Match[str], now: datetime) -> Slots | None:
    """What is asked about; it may be something told before (``what is the boiler code``)."""
    asked = _subject(match["subject"])
    return Slots(subject=asked) if asked and len(asked.split()) <= MAX_SUBJECT_WORDS else None


def question(match: re.Match[str], now: datetime) -> Slots | None:
    """An open question that may be about something told before; ``kind`` is its question word."""
    slots = subject(match, now)
    return slots and structs.replace(slots, kind=clean(match.groupdict().get("wh") or "").lower())


def secret(match: re.Match[str], now: datetime) -> Slots | None:
    """A question about a code or password of the house: only a person can have told it, so no model may guess it."""
    asked = subject(match, now)
    words = asked.subject.lower().split() if asked else []
    if not SECRETS.intersection(words) or _PUBLIC_CODES.intersection(words):
        return None
    return asked


def forgotten(match: re.Match[str], now: datetime) -> Slots | None:
    said = match.groupdict()
    if not said.get("subject"):
        return Slots(everything="all")
    return Slots(subject=_subject(match["subject"]))


def request(kind: str) -> Callable[[re.Match[str], datetime], Slots | None]:
    """A reader for things of one ``kind`` that the house or the assistant is asked to do."""

    def read(match: re.Match[str], now: datetime) -> Slots | None:
        said = match.groupdict()
        what = clean(said.get("what") or match[0])
        if kind == "music":
            return Slots(kind=kind, subject=what)
        room = clean(said.get("room") or "")
        return Slots(kind=kind, subject=clean(f"{room} {_ARTICLE.sub('', what)}"))

    return read


def detail(match: re.Match[str], now: datetime) -> Slots | None:
    """Nothing but a length or a point in time: the answer to a question asked back."""
    text = re.sub(r"^(?:for|make it|about)\s+", "", clean(match[0]), flags=re.IGNORECASE)
    tokens = tokenize(text)
    length = find_duration(tokens)
    if length and (length.start, length.end) == (0, len(tokens)):
        return Slots(duration_s=length.seconds)
    found = _whole_moment(match[0], now) or _whole_moment(f"at {match[0]}", now)
    return Slots(at=found.at.timestamp()) if found else None


def _whole_moment(text: str, now: datetime) -> Moment | None:
    tokens = tokenize(text)
    found = moment_at(tokens, 0, now)
    return (
        found
        if found and found.end >= len(tokens) - (bool(tokens) and tokens[-1].text in (",", "-"))
        else None
    )


def _last_moment(text: str, now: datetime) -> Moment | None:
    """The last point in time named: ``call about the 5 o'clock train tomorrow at 4`` means the latter."""
    tokens = tokenize(text)
    found: Moment | None = None
    index = 0
    while index < len(tokens):
        here = moment_at(tokens, index, now)
        if here:
            found, index = here, here.end
        else:
            index += 1
    return found


def without(text: str, span: Duration | Moment) -> str:
    """``text`` without the words of ``span``."""
    tokens = tokenize(text)
    return cut(text, tokens[span.start].start, tokens[span.end - 1].end)


def label_of(text: str) -> str:
    """What remains as a name once articles and small words are taken from its edges."""
    label = clean(text.replace(";", " "))
    previous = ""
    while previous != label:
        previous = label
        label = clean(_LABEL_TAIL.sub("", _LABEL_LEAD.sub("", label)))
    return "" if _NOT_A_LABEL.fullmatch(label) else label


def _subject(text: str) -> str:
    """The thing a fact is about, without article and filler, so that telling and asking use the same words."""
    subject = clean(text)
    previous = ""
    while previous != subject:
        previous = subject
        subject = clean(_FILLER.sub("", _ARTICLE.sub("", subject)))
    return subject


def _once(text: str) -> tuple[str, str]:
    """``text`` for its first occurrence, and the words that ask for more of them (``every day``)."""
    found = _EVERY.search(text)
    if found is None:
        return text, ""
    unit = (found["unit"] or "").lower()
    once = {
        "morning": "in the morning",
        "evening": "in the evening",
        "night": "tonight",
        "afternoon": "in the afternoon",
    }.get(unit, "")
    if unit.rstrip("s") in WEEKDAYS:
        once = f"on {unit.rstrip('s')}"
    return clean(f"{text[: found.start()]} {once} {text[found.end() :]}"), clean(found[0])


def _kind(word: str) -> str:
    return next((kind for stem, kind in _KINDS if clean(word).lower().startswith(stem)), "timer")


def _only_labels(after: str) -> bool:
    """Whether nothing but a label follows the word, as in ``set a timer for the eggs``."""
    return not after or bool(_LABEL_LEAD.match(after))


def _is_order(after: str, now: datetime) -> bool:
    """Without a verb a time or label must follow at once: ``timer 5 minutes`` is an order, ``the timer rang at 5`` is none."""
    tokens = tokenize(after)
    start = int(text_at(tokens, 0) == "for" and duration_at(tokens, 1) is not None)
    span = duration_at(tokens, start) or moment_at(tokens, 0, now)
    if span is None:
        return _only_labels(after)
    return _only_labels(clean(after[tokens[span.end - 1].end :]))


def _is_chat(before: str) -> bool:
    """Words before ``timer`` that make the sentence about timers, not an order for one."""
    return bool(_CHAT.match(before))
