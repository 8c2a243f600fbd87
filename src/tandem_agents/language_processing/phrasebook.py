"""Everything the assistant says in fixed words, in English and Filipino.

A fact whose name ends with ``_s`` is a length in seconds, with ``_at`` a moment in Unix seconds, with ``_time`` or
``_date`` the time or day of such a moment; they are put into words before the phrase is filled.
"""

from __future__ import annotations

from datetime import datetime

from tandem_agents.language_processing.calendar_words import (
    ClockStyle,
    local,
    say_date,
    say_duration,
    say_moment,
    say_time,
)
from tandem_agents.language_processing.contracts import Language, Reply, Value

PHRASES: dict[str, dict[str, str]] = {
    "time": {"en": "It is {now_time}.", "fil": "{now_time} na."},
    "time_there": {"en": "It is {now_time} in {place}.", "fil": "{now_time} na sa {place}."},
    "place_unknown": {
        "en": "I do not know which time zone {place} is in.",
        "fil": "Hindi ko alam ang oras sa {place}.",
    },
    "date": {"en": "Today is {now_date}.", "fil": "Ngayon ay {now_date}."},
    "date_of": {"en": "{name} is {day_date}.", "fil": "Ang {name} ay {day_date}."},
    "sum": {"en": "{expression} is {value}.", "fil": "Ang {expression} ay {value}."},
    "sum_rounded": {
        "en": "{expression} is about {value}.",
        "fil": "Ang {expression} ay humigit-kumulang {value}.",
    },
    "timer_set": {"en": "Timer set for {length_s}.", "fil": "Naka-set na ang timer para sa {length_s}."},
    "timer_set_named": {
        "en": "{label} timer set for {length_s}.",
        "fil": "Naka-set na ang timer na {label} para sa {length_s}.",
    },
    "timer_set_at": {
        "en": "Timer set; it rings {due_at}.",
        "fil": "Naka-set na ang timer; tutunog {due_at}.",
    },
    "alarm_set": {"en": "Alarm set; it rings {due_at}.", "fil": "Naka-set na ang alarm; tutunog {due_at}."},
    "reminder_set": {
        "en": "I will remind you {due_at}: {label}.",
        "fil": "Ipapaalala ko sa iyo {due_at}: {label}.",
    },
    "ask_duration": {"en": "For how long?", "fil": "Gaano katagal?"},
    "ask_moment": {"en": "When should that be?", "fil": "Kailan po?"},
    "ask_text": {"en": "What should I remind you of?", "fil": "Ano ang ipapaalala ko?"},
    "past": {
        "en": "That time has already passed. Please name one that is still to come.",
        "fil": "Nakaraan na ang oras na iyon. Pumili po ng oras na darating pa.",
    },
    "too_far": {
        "en": "That is more than ten years away; I do not plan that far.",
        "fil": "Masyado pang malayo iyon.",
    },
    "too_many_alarms": {
        "en": "There are already {count} timers and reminders; cancel some first.",
        "fil": "Mayroon nang {count} timer at paalala; magkansela muna ng ilan.",
    },
    "alarms_none": {"en": "There is no {kind} set.", "fil": "Walang nakatakdang {kind}."},
    "alarms_none_named": {
        "en": "I find no {kind} called {label}.",
        "fil": "Wala akong makitang {kind} na {label}.",
    },
    "alarms_list": {"en": "You have {count}: {parts}.", "fil": "Mayroon kang {count}: {parts}."},
    "timer_item": {"en": "a timer with {left_s} left", "fil": "timer na may natitirang {left_s}"},
    "timer_item_named": {
        "en": "the {label} timer with {left_s} left",
        "fil": "timer na {label} na may natitirang {left_s}",
    },
    "alarm_item": {"en": "an alarm {due_at}", "fil": "alarm {due_at}"},
    "reminder_item": {"en": "a reminder {due_at}: {label}", "fil": "paalala {due_at}: {label}"},
    "cancelled_one": {"en": "Cancelled {parts}.", "fil": "Kinansela: {parts}."},
    "cancelled_many": {"en": "Cancelled {count}: {parts}.", "fil": "Kinansela ang {count}: {parts}."},
    "which_one": {
        "en": "There are {count}: {parts}. Which one shall I cancel?",
        "fil": "Mayroong {count}: {parts}. Alin ang kakanselahin?",
    },
    "timer_rang": {"en": "Your timer for {length_s} is up.", "fil": "Tapos na ang timer mong {length_s}."},
    "timer_rang_named": {
        "en": "Your {label} timer is up.",
        "fil": "Tapos na ang timer mo na {label}.",
    },
    "alarm_rang": {"en": "Here is your alarm: it is {due_time}.", "fil": "Gising na: {due_time} na."},
    "alarm_rang_named": {
        "en": "Here is your alarm for {label}: it is {due_time}.",
        "fil": "Alarm para sa {label}: {due_time} na.",
    },
    "reminder_rang": {"en": "Reminder: {label}.", "fil": "Paalala: {label}."},
    "rang_late": {
        "en": "{parts} It was due {late_s} ago, while I was not running.",
        "fil": "{parts} Dapat ay {late_s} na ang nakalipas, noong hindi ako tumatakbo.",
    },
    "remembered": {"en": "I will remember: {fact}.", "fil": "Tatandaan ko: {fact}."},
    "remembered_here": {
        "en": "I will remember: {fact}. {where} is away, so it is kept on {here} until {where} is back.",
        "fil": "Tatandaan ko: {fact}. Wala ang {where}, kaya nasa {here} muna ito.",
    },
    "fact": {"en": "{fact}.", "fil": "{fact}."},
    "not_remembered": {
        "en": "I do not remember anything about {subject}.",
        "fil": "Wala akong natatandaan tungkol sa {subject}.",
    },
    "memory_away": {
        "en": "I cannot reach my memory right now, and nothing I hold here is about {subject}.",
        "fil": "Hindi ko maabot ang aking memorya ngayon.",
    },
    "nothing_remembered": {
        "en": "You have not asked me to remember anything yet.",
        "fil": "Wala ka pang ipinatatandaan sa akin.",
    },
    "memories": {"en": "I remember {count}: {parts}.", "fil": "Natatandaan ko ang {count}: {parts}."},
    "forgotten": {"en": "Forgotten: {parts}.", "fil": "Nakalimutan na: {parts}."},
    "forget_which": {
        "en": "Several things are about {subject}: {parts}. Please say which one to forget.",
        "fil": "Marami ang tungkol sa {subject}: {parts}. Alin ang kakalimutan?",
    },
    "forget_all": {
        "en": "I do not forget everything at a word. Name one thing, or use: tandem memory forget --all.",
        "fil": "Hindi ko basta kinakalimutan ang lahat. Sabihin kung alin.",
    },
    "stopped": {"en": "All right, stopped.", "fil": "Sige, tumigil na."},
    "device": {
        "en": "I cannot switch or see devices yet, so the {subject} stays as it is.",
        "fil": "Hindi ko pa kayang kontrolin ang {subject}.",
    },
    "music": {
        "en": "I cannot play music yet, so I did not do anything with {subject}.",
        "fil": "Hindi pa ako makapagpatugtog ng musika.",
    },
    "volume": {
        "en": "I cannot change the volume yet.",
        "fil": "Hindi ko pa kayang baguhin ang lakas ng tunog.",
    },
    "weather": {
        "en": "I cannot look up the weather: nothing here is connected to a weather service.",
        "fil": "Hindi ko pa matingnan ang panahon.",
    },
    "web": {"en": "I cannot search the web yet.", "fil": "Hindi pa ako makapaghanap sa web."},
    "news": {"en": "I cannot read the news yet.", "fil": "Hindi ko pa mabasa ang balita."},
    "contact": {"en": "I cannot call or write to anybody yet.", "fil": "Hindi pa ako makatawag o makasulat."},
    "help": {
        "en": "I can tell the time and date, work out sums, set timers, alarms and reminders, remember what you tell "
        "me, chat, and answer questions. Say stop and I stop.",
        "fil": "Kaya kong magsabi ng oras at petsa, magkuwenta, mag-set ng timer, alarm at paalala, magtanda ng "
        "sasabihin mo, at makipagkuwentuhan. Sabihin ang tigil para tumigil ako.",
    },
    "empty": {"en": "I did not catch any words.", "fil": "Wala akong narinig na salita."},
    "no_model": {
        "en": "I have no language model, so I cannot answer that. {mend}",
        "fil": "Wala akong language model, kaya hindi ko masagot iyan. {mend}",
    },
    "no_model_but": {
        "en": "I have no language model to answer that, but this I remember: {parts}. {mend}",
        "fil": "Wala akong language model, pero ito ang natatandaan ko: {parts}. {mend}",
    },
    "mend": {"en": "To get one, run: {command}", "fil": "Para magkaroon, patakbuhin ang: {command}"},
    "unreachable": {
        "en": "The part of me that does this is not answering right now ({reason}).",
        "fil": "Hindi sumasagot ngayon ang bahaging gagawa nito ({reason}).",
    },
    "too_slow": {"en": "That took too long, so I gave up.", "fil": "Masyadong matagal, kaya tumigil na ako."},
    "interrupted": {"en": "Stopped.", "fil": "Tumigil na."},
    "refused": {"en": "{reason}", "fil": "{reason}"},
    "greeting": {"en": "Good {part}! How can I help?", "fil": "Magandang {part}! Ano ang maitutulong ko?"},
    "thanks": {"en": "You are welcome.", "fil": "Walang anuman."},
    "goodbye": {"en": "Goodbye!", "fil": "Paalam!"},
    "how_are_you": {
        "en": "I am running well, thank you. How are you?",
        "fil": "Mabuti naman, salamat. Ikaw, kumusta ka?",
    },
    "who_are_you": {
        "en": "I am {name}, your assistant. I run on your own computers.",
        "fil": "Ako si {name}, ang iyong assistant. Tumatakbo ako sa sarili mong mga computer.",
    },
    "acknowledged": {"en": "All right.", "fil": "Sige."},
}
DAYPARTS_FIL = {"morning": "umaga", "afternoon": "hapon", "evening": "gabi"}


def render(reply: Reply, now: datetime, style: ClockStyle = "12h") -> str:
    """The words of a reply in its language. Raises ``KeyError`` for a phrase or fact that does not exist."""
    if not reply.phrase:
        return reply.text
    language: Language = "en" if reply.language == "en" else "fil"
    facts = {name: _word(name, value, language, now, style) for name, value in reply.facts.items()}
    if reply.parts:
        facts["parts"] = "; ".join(render(part, now, style).rstrip(".") for part in reply.parts)
        if reply.phrase == "rang_late":
            facts["parts"] += "."
    if language == "fil" and facts.get("part") in DAYPARTS_FIL:
        facts["part"] = DAYPARTS_FIL[facts["part"]]
    text = PHRASES[reply.phrase][language].format(**facts)
    return text[:1].upper() + text[1:] if reply.phrase not in _INSIDE else text


_INSIDE = {name for name in PHRASES if name.endswith(("_item", "_item_named"))} | {"fact"}


def _word(name: str, value: Value, language: Language, now: datetime, style: ClockStyle) -> str:
    if isinstance(value, str):
        return value
    kind = name.rpartition("_")[2]
    if kind == "s":
        return say_duration(value, language)
    if kind == "at":
        return say_moment(local(value), now, language, style)
    if kind == "time":
        return say_time(local(value), language, style)
    if kind == "date":
        return say_date(local(value), language)
    return f"{value:g}" if isinstance(value, float) else str(value)
