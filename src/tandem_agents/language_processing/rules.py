"""The intent table: what people say, in the notation of :mod:`.templates`. First match wins.

A rule's reader fills the slots from the match, or declines, in which case the next rule is tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime

from msgspec import Struct

from tandem_agents.language_processing import slots
from tandem_agents.language_processing.contracts import Intent, Slots
from tandem_agents.language_processing.templates import compile_template

Reader = Callable[[re.Match[str], datetime], Slots | None]

FRAGMENTS = {
    "name": "tandem|jarvis|computer|assistant",
    "ask": "tell me|do you know|say|give me",
    "now": "now|right now|currently|at the moment|today",
    "timer": "timer|timers",
    "alarm": "alarm|alarms|alarma",
    "reminder": "reminder|reminders|paalala",
    "ringer": "<timer>|<alarm>|<reminder>",
    "set": "set|start|create|make|add|put|run|begin|give me|i need|i want|mag-set [ka] ng|mag set ng|maglagay [ka] ng",
    "a": "a|an|the|another|my|one|a new|another new|new",
    "all": "all|all of|every|everything|lahat",
    "cancel": "cancel|stop|delete|remove|clear|turn off|dismiss|end|kanselahin [mo] [ang]|burahin [mo] [ang]",
    "wh": "what|where|who|when|which|how",
    "plain_wh": "what|which|who|where|when",
    "is": "is|are|was|were",
    "device": (
        "lamp|lamps|light|lights|lighting|ilaw|fan|fans|electric fan|bentilador|tv|television|heater|heaters|heating"
        "|aircon|air conditioner|air conditioning|ac|thermostat|radiator|radiators|blinds|curtains|shutters|door|doors"
        "|lock|locks|garage|oven|stove|kettle|coffee maker|coffee machine|plug|plugs|switch|socket|outlet|vacuum"
        "|washing machine|dishwasher|radio|speaker|speakers"
    ),
    "climate": "temperature|brightness|volume",
    "state": "on|off|up|down|open|closed|locked|unlocked|running|still on",
}


class Rule(Struct, frozen=True):
    """One line of the table; ``confidence`` is 0..1."""

    intent: Intent
    confidence: float
    pattern: re.Pattern[str]
    read: Reader


def _rules(intent: Intent, confidence: float, read: Reader, *templates: str) -> Iterable[Rule]:
    return [Rule(intent, confidence, compile_template(template, FRAGMENTS), read) for template in templates]


RULES: tuple[Rule, ...] = (
    # Stop first: it must work whatever else a sentence could mean.
    *_rules(
        "stop", 0.99, slots.nothing,
        "stop [it|that|now|talking|speaking|everything]",
        "cancel [it|that]",
        "(never mind|nevermind|forget it|forget about it|shut up|be quiet|quiet|silence|hush|abort|halt)",
        "[that is|that's] enough",
        "(tigil|tumigil [ka]|itigil mo|hinto|huminto [ka]|tama na|huwag na|wag na|tahimik|manahimik [ka])",
    ),
    *_rules(
        "time", 0.98, slots.nothing,
        "[<ask>] what [is] the [current] time [is it|it is|is] [<now>]",
        "[<ask>] what time (is it|it is|do we have|have we) [<now>]",
        "[<ask>] the [current] time [<now>]",
        "time [now]",
        "[do you] (have|got) the time",
        "(how late|late) is it [<now>]",
        "(anong|ano ang|sabihin mo ang) oras [na] [po] [ba] [ngayon]",
        "oras na ba",
    ),
    *_rules(
        "time", 0.95, slots.place,
        "[<ask>] what [is the] [current] time [is it|it is] [<now>] in {place} [<now>]",
        "[<ask>] the [current] time in {place} [<now>]",
    ),
    *_rules(
        "date", 0.97, slots.nothing,
        "[<ask>] what [is] [the|today's|the current] (date|day) [of the week|of the month] [is it|it is|is] [<now>]",
        "[<ask>] (the|today's) date [<now>]",
        "date [today]",
        "what [is] (day|date) (today|today is)",
        "what is today",
        "what (month|year) (is it|is this|are we in) [now]",
        "which day [of the week] is (it|today) [today]",
        "(anong|ano ang) (petsa|araw) [na] [ba] [ngayon] [ba]",
        "petsa [ngayon]",
    ),
    *_rules(
        "date", 0.93, slots.day,
        "what [is the] (day|date) [of the week] [is|was|will it be|is it] {day}",
        "(anong|ano ang) (petsa|araw) {day}",
    ),
    *_rules(
        "list_timers", 0.95, slots.listed,
        "(what|which|list|show|show me|tell me|read|read me|give me) [<is>] [about] [<all>] [the|my|our|all my] "
        "[active|current|pending|running] {kind=ringer} [do i have|have i|i have|are there|<is>] [set|running|active|pending]",
        "(do i have|have i|have i got|are there|is there) [any|a|an] [active] {kind=ringer} [set|running|left|active]",
        "(is|are) (my|the) {kind=ringer} [still] (set|running|on|active)",
        "how many {kind=ringer} [do i have|are there|have i] [set|running|left]",
        "how (much time|much|long|much longer) [is] [there] [left|remaining] (on|in|for|until|does) [the|my] "
        "[{label}] {kind=ringer} [have|has] [left|goes off|rings]",
        "(ano ang|anong|ilan ang) [mga] [aking] {kind=ringer} [ko]",
    ),
    *_rules(
        "cancel_timer", 0.96, slots.cancelled,
        "<cancel> [the|my|our|that] {kind=ringer} [(called|named|for|to|about|at) {name}]",
        "<cancel> {all=all} [the|my|our|of the|of my|pending|active] {kind=ringer}",
        "<cancel> [the|my|our|that] {label} {kind=ringer}",
    ),
    *_rules(
        "set_timer", 0.97, slots.timer,
        "[{verb=set}] [<a>] [countdown] timer [{after}]",
        "[{verb=set}] [<a>] {before} [countdown] timer [{after}]",
        "(count down|countdown) [from] {countdown}",
        "time me [for] {countdown}",
    ),
    *_rules(
        "set_alarm", 0.97, slots.alarm,
        "[{verb=set}] [<a>] (alarm|alarma) [clock] [{after}]",
        "[{verb=set}] [<a>] {before} (alarm|alarma) [clock] [{after}]",
        "wake me [up] {wake}",
        "gisingin mo ako [nang|ng|sa] {wake}",
    ),
    *_rules(
        "recall", 0.95, slots.subject,
        "[do you [still]|can you] (remember|recall|remind me|tell me again) (<wh>) (<is>) {subject}",
        "[do you [still]|can you] (remember|recall|remind me|tell me again) (<wh>) {subject} (<is>)",
        "do you [still] remember (<wh>) {subject}",
        "what (did i|have i|do you) (say|tell you|told you|said|know|remember) [to remember] about {subject}",
        "(recall|remind me of|do you know|do you remember|do you still remember|tell me [again]) (my|our) {subject}",
        "do you [still] remember (the|his|her|their) {subject}",
        "(what|where|who|when|which) (<is>) (my|our) {subject}",
        "where did (i|we) (put|leave|park|hide|store) {subject}",
        "(naaalala|natatandaan) mo [pa] [ba] [ang|kung ano ang] {subject}",
    ),
    *_rules(
        "set_reminder", 0.97, slots.reminder,
        "(remind|nudge|ping) me [about|of|that|to] [{what}]",
        "{when} (remind|nudge|ping) me [about|of|that|to] [{what}]",
        "<set> [<a>] reminder [{what}]",
        "(do not|don't) let me forget [about|to|that] {what}",
        "(ipaalala mo|paalalahanan mo) [sa] [ako|akin] [na|ng|nang|tungkol sa] [{what}]",
        "{when} (ipaalala mo|paalalahanan mo) [sa] [ako|akin] [na|ng|nang|tungkol sa] [{what}]",
    ),
    *_rules("sum", 0.98, slots.sum_asked, "{sum}"),
    *_rules(
        "list_memories", 0.93, slots.nothing,
        "what (do you|have you|did you) [still] (remember|memorized|know about me)",
        "what [all] (did|have) i (tell|told|ask|asked) you [to remember] [so far]",
        "(list|show) [me] [all] [of] [my|your|the] (memories|notes|facts)",
        "ano ang (natatandaan|naaalala) mo",
    ),
    *_rules(
        "forget", 0.95, slots.forgotten,
        "forget (everything|all of it|all that) [i told you|you know|you remember] [about me]",
        "forget [about|that|what i said about|what i told you about] {subject}",
        "(delete|erase|remove) [the|my|your] (memory|note|fact) [of|about|on|that] {subject}",
        "kalimutan mo [na] [ang] {subject}",
    ),
    *_rules(
        "remember", 0.97, slots.fact,
        "(remember|memorize|memorise|keep in mind|note|make a note|take a note|write down|note down) [that|down] {fact}",
        "(tandaan mo|itala mo) [na] {fact}",
        "(i want you to know|you should know|for your information|fyi) [that] {fact}",
    ),
    *_rules(
        "device", 0.94, slots.request("device"),
        "(turn|switch|power|shut|put|flip) (on|off|up|down) [<all>] [the|my|our] [{room}] {what=device} [(in|of|at) {where}]",
        "(turn|switch|power|shut|put|flip) [<all>] [the|my|our] [{room}] {what=device} (on|off|up|down)",
        "(turn|switch) (on|off) {what}",
        "(dim|brighten|open|close|lock|unlock|raise|lower) [<all>] [the|my|our] [{room}] {what=device} [(in|of|at|to) {where}]",
        "(buksan [mo]|isara [mo]|patayin [mo]|i-on [mo]|i-off [mo]) [ang] [{room}] {what=device} [sa {where}]",
        "(is|are) (the|my) [{room}] {what=device} (<state>) [now]",
        "[the] {what=device} (on|off)",
        "set [the|my] [{room}] {what=device} (to|at) {where}",
        "set [the|my] {what=climate} (to|at) {where}",
    ),
    *_rules(
        "device", 0.94, slots.request("music"),
        "(play|put on|listen to|magpatugtog [ka] ng|patugtugin mo [ang]) {what}",
        "(pause|resume|skip|stop) [the|this] [music|song|track]",
        "(next|previous|skip) (song|track)",
    ),
    *_rules(
        "device", 0.94, slots.request("volume"),
        "(turn|crank) (up|down) [the] (volume|sound|music)",
        "(turn|crank) [the] (volume|sound|music) (up|down|off)",
        "volume (up|down|{level})",
        "(mute|unmute|louder|quieter|softer)",
    ),
    *_rules(
        "unsupported", 0.9, slots.request("weather"),
        "(what is|how is|what will) the (weather|temperature|forecast) [be] [{rest}]",
        "(will it|is it going to|is it) (rain|snow|raining|snowing|sunny|cold outside|hot outside) [{rest}]",
        "do i need an umbrella [{rest}]",
        "(ano ang|kumusta ang) panahon [{rest}]",
    ),
    *_rules(
        "unsupported", 0.9, slots.request("web"),
        "(search|google|look up|browse) [for|the web for|the internet for|online for] {what}",
    ),
    *_rules(
        "unsupported", 0.9, slots.request("news"),
        "(what is|read me|tell me|any) [in] [the] [latest] (news|headlines) [{rest}]",
    ),
    *_rules(
        "unsupported", 0.85, slots.request("contact"),
        "(call|phone|dial|text|email|send an email to|send a message to|send a text to) {what}",
    ),
    *_rules(
        "help", 0.95, slots.nothing,
        "help [me]", "what can (you|i) (do|say|ask) [for me|you]", "what do you do", "tulong",
        "how (do|can) i (use|talk to) you", "what are (your skills|your commands|your abilities|you able to do)",
        "(ano ang|anong) [mga] (kaya|magagawa) mo [ng] [gawin]",
    ),
    *_rules(
        "thanks", 0.95, slots.nothing,
        "[ok|okay|great|cool|good] (thanks|thank you|cheers|many thanks|salamat|maraming salamat) "
        "[a lot|so much|very much|po|for {rest}] [<name>]",
    ),
    *_rules(
        "goodbye", 0.95, slots.nothing,
        "(goodbye|good bye|bye|bye bye|good night|goodnight|farewell|see you|talk to you later|paalam|babay) "
        "[later|soon|tomorrow|now|po] [<name>]",
    ),
    *_rules(
        "greeting", 0.95, slots.nothing,
        "(hi|hello|hey|hiya|howdy|greetings|morning|good morning|good afternoon|good evening|good day|mabuhay) "
        "[there|everyone|all|friend|again] [<name>]",
        "(kumusta|kamusta) [ka] [po] [na]",
        "magandang (umaga|hapon|gabi|araw|tanghali) [po] [sa iyo|sa'yo]",
        "(<name>)",
    ),
    *_rules(
        "small_talk", 0.85, slots.nothing,
        "[and] how are (you|things) [doing] [today|tonight|this morning]", "how is it going", "what is (up|new)",
        "(who|what) are you", "what is your name", "what should i call you", "tell me a (joke|story|secret)",
        "are you (there|listening|awake|ok|okay|a robot|human|real|alive|an ai|happy|sad|tired|busy)",
        "(you are|you're) (great|nice|funny|cool|smart|stupid|awesome|amazing|the best|welcome|useless|right|wrong)",
        "i (love|like|hate|miss) you", "(i am|i'm) (bored|tired|happy|sad|fine|good|ok|okay|lonely|hungry) [today]",
        "(good job|well done|nice one|magaling)", "(yes|no|ok|okay|sure|yeah|nope|oo|hindi)",
        "sino ka [ba]", "(ano ang|anong) pangalan mo",
    ),
    *_rules("detail", 0.6, slots.detail, "{detail}"),
    *_rules(
        "recall", 0.8, slots.secret,
        "(what|which) (<is>) the {subject}",
        "(do you know|tell me|can you tell me) [what] the {subject} [is]",
    ),
    *_rules(
        "question", 0.6, slots.question,
        "{wh=wh} (<is>) {subject}",
        "(do you know|tell me|can you tell me) {wh=wh} (<is>) {subject}",
        "(do you know|tell me|can you tell me) {wh=wh} {subject} (<is>)",
        "{wh=plain_wh} {subject}",
        "how (do i|much is|old is|long is) {subject}",
        "(ano|nasaan|sino|kailan|ilan|saan) [ang|si|yung] {subject}",
    ),
)  # fmt: skip
