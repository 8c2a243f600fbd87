"""What the skills say: time and dates, sums, timers, memory. :mod:`.phrasebook` explains the notation."""

from __future__ import annotations

SKILLS: dict[str, dict[str, str]] = {
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
    "that_is": {"en": "That is {day_date}.", "fil": "Iyon ay {day_date}."},
    "that_was": {"en": "That was {day_date}.", "fil": "Iyon ay {day_date}."},
    "days_until": {
        "en": "{count} days until {name}, {day_date}.",
        "fil": "{count} araw pa bago ang {name}, {day_date}.",
    },
    "time_until": {"en": "{length_s} until {name}.", "fil": "{length_s} pa bago ang {name}."},
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
    "corrected": {
        "en": "I will remember: {fact}. Until now it was: {before}.",
        "fil": "Tatandaan ko: {fact}. Hanggang ngayon: {before}.",
    },
    "told_otherwise": {
        "en": "I was told something else: {before}. If that has changed, say: remember that {fact}.",
        "fil": "Iba ang sinabi sa akin: {before}. Kung nagbago na, sabihin ang: tandaan mo na {fact}.",
    },
    "known_already": {"en": "Yes, I remember: {fact}.", "fil": "Oo, natatandaan ko: {fact}."},
    "not_kept": {
        "en": "I have not kept that. If I should, say: remember that {fact}.",
        "fil": "Hindi ko iyon itinago. Kung gusto mo, sabihin ang: tandaan mo na {fact}.",
    },
    "nothing_to_correct": {
        "en": "I do not remember anything about {subject} that this could change. To keep it, say: remember that {fact}.",
        "fil": "Wala akong natatandaan tungkol sa {subject}. Para itago ito, sabihin ang: tandaan mo na {fact}.",
    },
    "say_whole": {
        "en": "I do not know what that is about. Please say it whole, for example: no, the boiler code is 5000.",
        "fil": "Hindi ko alam kung tungkol saan iyon. Pakisabi nang buo.",
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
    "forget_sure": {
        "en": "That is everything I was asked to remember, {count} in all, and cannot be undone. Do you really want that?",
        "fil": "Iyon ang lahat ng ipinatandaan sa akin, {count} lahat, at hindi na maibabalik. Sigurado ka ba?",
    },
    "forgotten_all": {"en": "All {count} are forgotten.", "fil": "Nakalimutan na ang lahat ng {count}."},
    "kept_all": {"en": "All right, I keep everything.", "fil": "Sige, itatago ko ang lahat."},
    "timers_set": {"en": "{count} timers set: {parts}.", "fil": "{count} timer ang naka-set: {parts}."},
}
