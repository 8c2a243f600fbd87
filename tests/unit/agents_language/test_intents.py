"""What utterances ask for, seen from Wednesday, 4 March 2026, 15:00."""

from __future__ import annotations

import time
from datetime import datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem_agents.language_processing.contracts import Analysis, Intent
from tandem_agents.language_processing.intents import regular, understand

NOW = datetime(2026, 3, 4, 15, 0)


def heard(text: str) -> Analysis:
    return understand(text, NOW)


INTENTS: dict[Intent, tuple[str, ...]] = {
    "time": (
        "What time is it?", "what's the time", "whats the time", "Hey Tandem, what time is it please?", "tell me the time",
        "do you have the time", "what time is it right now", "time", "the current time please", "could you tell me what time it is",
        "jarvis what time is it", "anong oras na?", "Ano ang oras ngayon", "anong oras na po ba", "what time is it in Tokyo",
    ),
    "date": (
        "whats the date today", "What's today's date?", "what day is it", "what is the date", "what day is today", "what year is it",
        "which day of the week is it", "what day is tomorrow", "what is the date on friday", "what day is december 25",
        "what day is christmas", "anong petsa ngayon", "ano ang araw ngayon",
    ),
    "sum": ("what is 17 plus 25", "what's 12 times 3.5?", "15 percent of 80", "two plus two", "calculate 10 / 4", "how much is 20% of 150"),
    "set_timer": (
        "set a timer for five minutes", "Set a timer for 5 minutes.", "set timer for one hour and thirty minutes please",
        "set a 10 minute timer for pasta", "timer 5 minutes", "5 minute timer", "start a pasta timer for ten minutes",
        "could you please set a timer for 90 seconds", "set a timer", "set a timer for the eggs", "count down from 30 seconds",
        "Set, a timer for five minutes", "time me for two minutes", "i need a timer for 3 minutes", "mag-set ng timer ng limang minuto",
    ),
    "set_alarm": ("set an alarm for 7 am", "wake me up at 6 30", "wake me in 20 minutes", "set an alarm", "7 am alarm", "gisingin mo ako nang alas singko"),
    "set_reminder": (
        "remind me to call mom tomorrow at 9", "remind me in 20 minutes to take the cake out", "in ten minutes remind me to stretch",
        "set a reminder to water the plants at 6 pm", "remind me", "remind me to buy milk", "don't let me forget to lock the door at ten tonight",
        "paalalahanan mo ako na uminom ng gamot bukas ng alas otso ng umaga",
    ),
    "list_timers": (
        "what timers do I have", "list my timers", "how much time is left on my timer", "how long is left on the pasta timer",
        "do I have any reminders", "show my reminders", "is my alarm set", "how many alarms are there",
    ),
    "cancel_timer": (
        "cancel my timer", "stop the timer", "cancel the pasta timer", "cancel all timers", "delete the reminder to call mom",
        "cancel the 5 minute timer", "turn off the 7 am alarm", "clear all my reminders",
    ),
    "remember": (
        "remember that the boiler code is 4711", "Remember the wifi password is hunter two.", "remember my keys are in the blue drawer",
        "remember to buy milk, eggs and bread", "please note that the car needs oil", "tandaan mo na ang code ay 99",
        "Hey Tandem, remember that Anna's birthday is on May 3rd",
    ),
    "recall": (
        "what is my wifi password", "where are my keys", "do you remember where my keys are", "what did I tell you about the boiler",
        "remind me what the boiler code is", "where did I put the passports", "when is our anniversary", "do you remember the garage code", "what is the boiler code", "what is the wifi password", "do you know the door code",
    ),
    "forget": ("forget the boiler code", "forget what I said about the boiler", "forget everything", "kalimutan mo na ang code"),
    "list_memories": ("what do you remember", "what did I ask you to remember", "show my notes"),
    "stop": ("stop", "Stop!", "never mind", "Nevermind.", "forget it", "cancel", "be quiet", "shut up", "stop talking", "tama na", "tigil", "Jarvis, stop"),
    "greeting": ("hello", "Hello Tandem!", "good morning", "hi there", "hey", "jarvis", "kumusta ka", "magandang umaga po"),
    "thanks": ("thanks", "thank you very much", "salamat", "ok thank you"),
    "goodbye": ("goodbye", "good night", "bye bye", "paalam"),
    "small_talk": ("this is a test", "Testing, one two three.", "no thanks", "hold on", "are you ChatGPT", "how are you", "what's your name", "who are you", "yes", "are you there"),
    "help": ("actually, what can you do", "what can you do", "help", "help me"),
    "device": (
        "turn on the lamp", "Turn on the lamp.", "turn the living room lights off", "switch off the fan", "is the light on", "play the Beatles",
        "turn up the volume", "open the door", "set the thermostat to 21 degrees", "buksan mo ang ilaw", "pause the music", "mute",
    ),
    "unsupported": (
        "is it safe to mix bleach and vinegar", "are these mushrooms poisonous", "can I take aspirin with ibuprofen",
        "how many aspirin can I take per day", "I think I'm having a heart attack", "help, my kitchen is on fire", "call an ambulance",
        "I want to die", "do you send my data to the internet", "are you listening to everything I say", "do you work offline",
        "who can hear me", "sing me a song", "move my alarm to 8", "snooze", "what's the weather like tomorrow", "will it rain", "search the web for cheap flights", "call mom", "what is the news",
    ),
    "detail": ("five minutes", "tomorrow at 9", "seven thirty", "for 10 minutes", "at noon"),
    "empty": ("", "  ", "?!", "..."),
    "statement": (
        "I had a great time", "the timer went off 5 minutes ago", "my alarm at 7 was too loud", "the lamp is on the table",
        "the play was great", "my day is going well", "my keys are gone", "the alarm rang this morning", "I had a rough day at work.",
        "I just got back from a walk.", "The weather is nice today.", "Anna is coming tomorrow", "my dog died yesterday", "I'll be late",
        "no, the boiler code is 5000", "actually the boiler code is 4812", "no, it's 5000", "change the boiler code to 12",
        "wait, the meeting is at 5", "the boiler code is now 12", "you are wrong about that",
        "and so my fellow Americans ask not what your country can do for you ask what you can do for your country",
        "And so my fellow Americans. As not. What your country can do for you? Ask what you can do for your country.", "they said it will rain",
    ),
    # Near misses: a command's words without the command.
    "question": (
        "what time does the train leave", "time flies like an arrow", "can I take a nap", "is my password safe", "the capital of France",
        "I want to know why the sky is blue", "I need a recipe for pancakes", "is my boss coming?", "I have a headache. What should I do? Thanks.",
        "Why is the sky blue? Answer in one sentence.", "Why is the sky blue", "Where was Napoleon born", "So why was Rome built on hills", "If I had ten apples and ate two I would have how many",
        "Name three rivers that are in Africa", "Who was Marie Curie", "Bakit is it so", "what is the time zone of Manila",
        "stop by the store on the way", "cancel my subscription", "what does 'stop' mean", "how do timers work", "what is a timer",
        "explain what an alarm clock is", "close my account",
        "what is the capital of France", "why is the sky blue", "write a poem about the sea",
        "remember when we went to Paris", "do you remember me", "what is the boiler", "when is Anna's birthday", "what is the area code of Manila", "what is the dress code", "what is a pin",

        "what is one of them", "what is a mile", "how do I spell out my feelings",
        "I put up with it", "how many people are in the room", "when is the meeting",
    ),
}  # fmt: skip
CASES = [(text, intent) for intent, texts in INTENTS.items() for text in texts]


@pytest.mark.parametrize(("text", "intent"), CASES, ids=[text or "empty" for text, _ in CASES])
def test_intents(text: str, intent: Intent) -> None:
    """Commands are recognised in many wordings, and sentences that only look like them are not."""
    assert heard(text).intent == intent


@pytest.mark.parametrize(
    ("text", "slots"),
    [
        ("set a timer for five minutes", {"kind": "timer", "duration_s": 300}),
        ("set a 10 minute timer for pasta", {"kind": "timer", "duration_s": 600, "label": "pasta"}),
        ("start a pasta timer for ten minutes", {"kind": "timer", "duration_s": 600, "label": "pasta"}),
        ("set a timer called green eggs for 3 minutes", {"kind": "timer", "duration_s": 180, "label": "green eggs"}),
        ("set a timer", {"kind": "timer", "missing": "duration"}),
        ("set a timer for zero minutes", {"kind": "timer", "missing": "duration"}),
        ("set an alarm for half past six tomorrow", {"kind": "alarm", "at": "03-05 06:30"}),
        ("set an alarm", {"kind": "alarm", "missing": "moment"}),
        ("remind me to call Mom tomorrow at 9", {"kind": "reminder", "at": "03-05 09:00", "label": "call Mom"}),
        ("remind me in 20 minutes to take the cake out", {"kind": "reminder", "at": "03-04 15:20", "label": "take the cake out"}),
        ("remind me to buy 2 apples at 5 pm", {"kind": "reminder", "at": "03-04 17:00", "label": "buy 2 apples"}),
        ("remind me to buy milk", {"kind": "reminder", "label": "buy milk", "missing": "moment"}),
        ("remind me", {"kind": "reminder", "missing": "text"}),
        ("cancel the pasta timer", {"kind": "timer", "label": "pasta"}),
        ("cancel all timers", {"kind": "timer", "everything": "all"}),
        ("cancel the 5 minute timer", {"kind": "timer", "duration_s": 300}),
        ("delete the reminder to call mom", {"kind": "reminder", "label": "call mom"}),
        ("how long is left on the pasta timer", {"kind": "timer", "label": "pasta"}),
        ("remember that the boiler code is 4711", {"subject": "boiler code", "value": "4711", "label": "the boiler code is 4711"}),
        ("remember that the boiler code is four seven one one", {"subject": "boiler code", "value": "4711", "label": "the boiler code is 4711"}),
        ("remember to buy milk, eggs and bread", {"value": "to buy milk, eggs and bread"}),
        ("what is the boiler code?", {"subject": "boiler code"}),
        ("where are my keys", {"subject": "keys"}),
        ("what time is it in New York right now", {"place": "New York"}),
        ("what is 17 plus 25", {"expression": "17 + 25"}),
        ("turn on the kitchen lamp", {"kind": "device", "subject": "kitchen lamp"}),
        ("play the Beatles", {"kind": "music", "subject": "the Beatles"}),
        ("forget everything", {"everything": "all"}),
        ("what time will it be in 2 hours", {"at": "03-04 17:00", "label": "in 2 hours"}),
        ("add 5 minutes to the pasta timer", {"kind": "timer", "duration_s": 300, "label": "pasta"}),
        ("remind me every monday at 9 to water the plants", {"kind": "reminder", "at": "03-09 09:00", "label": "water the plants", "repeat": "every monday"}),
        ("set an alarm for 6 am daily", {"kind": "alarm", "at": "03-05 06:00", "repeat": "daily"}),
        ("what reminders do I have on friday", {"kind": "reminder", "at": "03-06 00:00"}),
        ("my name is eva", {"subject": "name", "value": "Eva", "label": "my name is Eva"}),
        ("my shoe size is 43", {"subject": "shoe size", "value": "43", "label": "my shoe size is 43"}),
        ("convert 3 miles to km", {"kind": "km", "value": "3 miles"}),
        ("pick a number between 10 and 1", {"kind": "number", "value": "1 10"}),
        ("ten minutes", {"duration_s": 600}),
    ],
)  # fmt: skip
def test_slots(text: str, slots: dict[str, object]) -> None:
    """What is said besides the intent is found, whatever side of the command it stands on."""
    found = msgspec.to_builtins(heard(text).slots)
    if "at" in found:
        found["at"] = datetime.fromtimestamp(found["at"]).strftime("%m-%d %H:%M")
    assert found == slots


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("Hey Jarvis, could you please tell me the time for me, thanks!", "tell me the time"), ("please", "please"),
        ("tandem", "tandem"), ("What's up?", "What is up"), ("willow trees", "willow trees"), ("sofas are soft", "sofas are soft"),
        ("pleased to meet you", "pleased to meet you"), ("at 7 p.m.", "at 7 pm"),
    ],
)  # fmt: skip
def test_politeness_is_not_the_message(text: str, meant: str) -> None:
    """Names and polite words around a request are dropped, never parts of words and never everything."""
    assert regular(text) == meant


@given(st.text(max_size=300))
def test_any_text_gets_an_intent(text: str) -> None:
    """No text makes the table fail; confidence stays within 0 and 1."""
    analysis = heard(text)
    assert 0 <= analysis.confidence <= 1


COMMAND_WORDS = [
    "what",
    "is",
    "the",
    "my",
    "timer",
    "alarm",
    "remind",
    "me",
    "to",
    "set",
    "a",
    "for",
    "in",
    "at",
    "five",
    "minutes",
    "and",
    "on",
    "of",
    "turn",
    "light",
    "show",
    "all",
    "how",
    "stop",
]


@given(st.lists(st.sampled_from(COMMAND_WORDS), max_size=150).map(" ".join))
def test_word_salad_is_read_in_bounded_time(text: str) -> None:
    """Commands' own words in any order cannot make a pattern backtrack without end (two seconds are a thousandfold)."""
    started = time.process_time()
    heard(text)
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "1+" * 50_000 + "1", "remind me " * 10_000, "(" * 50_000, "a, " * 30_000]
)
def test_long_texts_are_questions(text: str) -> None:
    """A text of a hundred thousand characters is read at once and is no command."""
    assert heard(text).intent == "question"


def test_a_long_note_can_be_remembered() -> None:
    """What is to be remembered may be long."""
    note = "the recipe is " + "flour and water and " * 100
    assert heard(f"remember that {note}").intent == "remember"
