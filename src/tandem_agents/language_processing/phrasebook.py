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
    "time_then": {"en": "{then} it will be {now_time}.", "fil": "{then} ay {now_time} na."},
    "place_unknown": {
        "en": "I do not know which time zone {place} is in.",
        "fil": "Hindi ko alam ang oras sa {place}.",
    },
    "date": {"en": "Today is {now_date}.", "fil": "Ngayon ay {now_date}."},
    "date_of": {"en": "{name} is {day_date}.", "fil": "Ang {name} ay {day_date}."},
    "date_was": {"en": "{name} was {day_date}.", "fil": "Ang {name} ay {day_date}."},
    "days_until": {
        "en": "{count} days until {name}, {day_date}.",
        "fil": "{count} araw pa bago ang {name}, {day_date}.",
    },
    "one_day_until": {"en": "{name} is tomorrow, {day_date}.", "fil": "Bukas na ang {name}, {day_date}."},
    "day_is_today": {"en": "That is today, {day_date}.", "fil": "Ngayon na iyon, {day_date}."},
    "days_since": {
        "en": "{name} was {count} days ago, on {day_date}.",
        "fil": "{count} araw na ang nakalipas mula {name}, {day_date}.",
    },
    "converted": {"en": "{amount} is {result}.", "fil": "Ang {amount} ay {result}."},
    "converted_about": {
        "en": "{amount} is about {result}.",
        "fil": "Ang {amount} ay humigit-kumulang {result}.",
    },
    "coin": {"en": "{side}.", "fil": "{side}."},
    "dice": {"en": "You rolled {points}.", "fil": "{points} ang lumabas."},
    "number_picked": {"en": "{number}.", "fil": "{number}."},
    "spelled": {"en": "{word} is spelled {letters}.", "fil": "Ang baybay ng {word}: {letters}."},
    "nothing_said": {"en": "I have not said anything yet.", "fil": "Wala pa akong nasasabi."},
    "nothing_asked": {
        "en": "You have not said anything before this.",
        "fil": "Wala ka pang nasasabi bago nito.",
    },
    "you_said": {"en": "You said: {said}", "fil": "Sinabi mo: {said}"},
    "unclear": {
        "en": "I did not understand that. I know English and Filipino; please say it in other words.",
        "fil": "Hindi ko iyon naintindihan. Ingles at Filipino ang alam ko; pakisabi sa ibang salita.",
    },
    "unsure": {
        "en": "I am not sure, but I think: {guess}",
        "fil": "Hindi ako sigurado, pero sa tingin ko: {guess}",
    },
    "unknown": {
        "en": "I do not know that well enough to tell you; I would only be guessing.",
        "fil": "Hindi ko iyon alam nang sapat; manghuhula lang ako.",
    },
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
    "timer_extended": {
        "en": "{length_s} more: {parts}.",
        "fil": "Dagdag na {length_s}: {parts}.",
    },
    "which_extend": {
        "en": "There are {count}: {parts}. Which one shall I extend?",
        "fil": "Mayroong {count}: {parts}. Alin ang dadagdagan?",
    },
    "set_once": {
        "en": "I cannot repeat {kind}s yet, so this is for one time. {parts}.",
        "fil": "Hindi ko pa kayang umulit ng {kind}, kaya isang beses lang ito. {parts}.",
    },
    "alarm_set_named": {
        "en": "The {label} alarm is set; it rings {due_at}.",
        "fil": "Naka-set na ang alarm na {label}; tutunog {due_at}.",
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
    "alarms_none_that_day": {
        "en": "There is no {kind} set for that day.",
        "fil": "Walang nakatakdang {kind} sa araw na iyon.",
    },
    "alarms_one": {"en": "You have {parts}.", "fil": "Mayroon kang {parts}."},
    "alarms_list": {"en": "You have {count}: {parts}.", "fil": "Mayroon kang {count}: {parts}."},
    "timer_item": {"en": "a timer with {left_s} left", "fil": "timer na may natitirang {left_s}"},
    "timer_item_named": {
        "en": "the {label} timer with {left_s} left",
        "fil": "timer na {label} na may natitirang {left_s}",
    },
    "alarm_item_named": {"en": "the {label} alarm {due_at}", "fil": "alarm na {label} {due_at}"},
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
        "en": "I cannot switch or see devices yet, so nothing changes about the {subject}.",
        "fil": "Hindi ko pa kayang kontrolin ang {subject}.",
    },
    "music": {
        "en": "I cannot play music yet.",
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
    "pause": {
        "en": "I cannot pause timers. I can cancel one, or add time to it.",
        "fil": "Hindi ko mapapahinto ang timer. Maaari ko itong kanselahin o dagdagan.",
    },
    "mail": {
        "en": "I cannot read mail or messages yet.",
        "fil": "Hindi ko pa mabasa ang mga email at mensahe.",
    },
    "lists": {
        "en": "I do not keep lists yet. Say remember, and I keep a note for you.",
        "fil": "Hindi pa ako nag-iingat ng listahan. Sabihin ang tandaan mo, at itatala ko.",
    },
    "calendar": {
        "en": "I have no calendar. I can tell you your reminders, and set new ones.",
        "fil": "Wala akong kalendaryo. Masasabi ko ang mga paalala mo at makapagtatakda ng bago.",
    },
    "cannot_see": {
        "en": "I cannot look at pictures: no {agent} is running.",
        "fil": "Hindi ako makakita ng larawan: walang tumatakbong {agent}.",
    },
    "camera": {"en": "I cannot see anything yet.", "fil": "Wala pa akong nakikita."},
    "apps": {
        "en": "I cannot open programs or order anything yet.",
        "fil": "Hindi pa ako makapagbukas ng programa o makapag-order.",
    },
    "translate": {"en": "I cannot translate yet.", "fil": "Hindi pa ako makapagsalin."},
    "live": {
        "en": "That changes all the time and I cannot look it up, so I would rather not guess.",
        "fil": "Palaging nagbabago iyan at hindi ko matingnan, kaya hindi ako manghuhula.",
    },
    "contact": {"en": "I cannot call or write to anybody yet.", "fil": "Hindi pa ako makatawag o makasulat."},
    "help": {
        "en": "I can tell the time and date, work out sums, convert units, set timers, alarms and reminders, remember what you tell "
        "me, chat, and answer questions. Say stop and I stop.",
        "fil": "Kaya kong magsabi ng oras at petsa, magkuwenta, mag-convert, mag-set ng timer, alarm at paalala, magtanda ng "
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
    "what_am_i": {
        "en": "I am software: a program called {name} that runs on your own computers.",
        "fil": "Isa akong programa na ang pangalan ay {name}; tumatakbo ako sa sarili mong mga computer.",
    },
    "made_by": {
        "en": "I am {name}, open-source software. The people who write it made me.",
        "fil": "Ako si {name}, open-source na software. Ginawa ako ng mga sumusulat nito.",
    },
    "no_age": {"en": "I am software, so I have no age.", "fil": "Software ako, kaya wala akong edad."},
    "my_place": {
        "en": "I run right here, on your own computers.",
        "fil": "Dito mismo ako tumatakbo, sa mga computer mo.",
    },
    "no_feelings": {
        "en": "I am software, so I have no feelings or favorites. I am glad to help, though.",
        "fil": "Software ako, kaya wala akong damdamin o paborito. Pero ikalulugod kong tumulong.",
    },
    "hearing": {"en": "Yes, I am here.", "fil": "Oo, nandito ako."},
    "praised": {"en": "Thank you, that is kind.", "fil": "Salamat!"},
    "scolded": {
        "en": "I am sorry. Tell me what you need, and I will try to do better.",
        "fil": "Pasensya na. Sabihin mo ang kailangan mo, susubukan kong ayusin.",
    },
    "sympathy": {
        "en": "I am sorry to hear that. Would you like to talk about it?",
        "fil": "Nalulungkot akong marinig iyan. Gusto mo bang pag-usapan?",
    },
    "glad": {"en": "I am glad to hear that.", "fil": "Natutuwa akong marinig iyan."},
    "bored": {
        "en": "Ask me for a joke or a story, or tell me something to think about.",
        "fil": "Magpakuwento ka sa akin o magpatawa, o sabihin mo kung ano ang pag-iisipan natin.",
    },
    "met": {"en": "Nice to meet you, too.", "fil": "Ikinagagalak din kitang makilala."},
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
