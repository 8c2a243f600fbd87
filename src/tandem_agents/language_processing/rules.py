"""The intent table: what people say, in the notation of :mod:`.templates`. First match wins.

A rule's reader fills the slots from the match, or declines, in which case the next rule is tried.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime

from msgspec import Struct

from tandem_agents.language_processing import everyday, slots
from tandem_agents.language_processing.contracts import Intent, Slots
from tandem_agents.language_processing.fragments import FRAGMENTS
from tandem_agents.language_processing.templates import compile_template

Reader = Callable[[re.Match[str], datetime], Slots | None]


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
        "time", 0.95, everyday.time_then,
        "[<ask>] what time (is it|it is|will it be|it will be) {then}",
        "(anong|ano ang) oras na {then}",
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
        "what [is the] (day|date) [of the week] [is it|it is|will it be|will be|is|was] {day}",
        "(which|what) day [of the week] [is|was|does] {day} [fall on|on]",
        "when is {day} [this year]",
        "(anong|ano ang) (petsa|araw) {day}",
    ),
    *_rules(
        "days_until", 0.95, slots.day,
        "how many days [are there|is it|are left|left|remain] (until|till|to|before|til) {day}",
        "how (long|far) [is it] (until|till|to|away is) {day}",
        "how many (days|sleeps) (is|are) [it] {day} away",
        "ilang araw [na lang|pa] [bago|hanggang] [ang|mag|sa] {day}",
    ),
    *_rules(
        "list_timers", 0.95, slots.listed,
        "(what|which|list|show|show me|tell me|read|read me|give me) [<is>] [about] [<all>] [the|my|our|all my] "
        "[active|current|pending|running] {kind=ringer} [do i have|have i|have i got|i have|are there|<is>] "
        "[set|running|active|pending] [[for] {day}]",
        "(do i have|have i got|are there) [any|a] {kind=ringer} [set] [for] {day}",
        "how (much time|much longer|long) (is|do i have) [there] (left|remaining|to go)",
        "(do i have|have i|have i got|are there|is there) [any|a|an] [active] {kind=ringer} [set|running|left|active]",
        "(is|are) (my|the) {kind=ringer} [still] (set|running|on|active)",
        "how many {kind=ringer} [do i have|are there|have i] [set|running|left]",
        "how (much time|much|long|much longer) [is] [there] [left|remaining] (on|in|for|until|does) [the|my] "
        "[{label}] {kind=ringer} [have|has] [left|goes off|rings]",
        "(ano ang|anong|ilan ang|ilang) [mga] [aking] {kind=ringer} [ko|ang mayroon ako|ang meron ako|ang naka-set]",
    ),
    *_rules(
        "cancel_timer", 0.96, slots.cancelled,
        "<cancel> [the|my|our|that] {kind=ringer} [(called|named|for|to|about|at) {name}]",
        "<cancel> {all=all} [the|my|our|of the|of my|pending|active] {kind=ringer}",
        "<cancel> [the|my|our|that] {label} {kind=ringer}",
    ),
    *_rules(
        "extend_timer", 0.96, everyday.extended,
        "(add|put) {more} [more] (to|on) [the|my|our] [{label}] timer",
        "(extend|lengthen|prolong) [the|my|our] [{label}] timer [by|for] [another] {more}",
        "give me {more} more [minutes|seconds|hours]",
        "give me another {more}",
    ),
    *_rules(
        "unsupported", 0.95, slots.request("pause"),
        "(pause|hold|resume|unpause|restart) [the|my|our|all] [{label}] <timer>",
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
    *_rules("recall", 0.95, slots.own_name, "who am i", "what is my [own] name", "[do you] know (my name|who i am)", "do you know (my name|who i am)", "what am i called", "(sino ako|ano ang pangalan ko)"),
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
        "convert", 0.96, everyday.converted,
        "[what is|convert|how much is|how many is|how long is|how far is|change|turn|ano ang] {amount} (in|into|to|as|sa) {unit}",
        "how many {unit} (are|is|are there|is there|do|make|make up) [in|there are in] {amount} [have|make]",
        "how many {unit} in {amount}",
    ),
    *_rules(
        "chance", 0.96, everyday.chance,
        "(flip|toss) (a|the) {what=coin} [for me]", "{what=coin} [flip|toss]",
        "(roll|throw) [a|the|some|two|2] {what=die}",
        "(pick|choose|give me|think of|tell me|say) a [random] number (between|from) {low} (and|to) {high}",
        "(pick|choose|give me|think of) a random number",
    ),
    *_rules(
        "spell", 0.95, everyday.spelled,
        "(how do you|how do i|how to|how is|can you) spell [the word] {word}", "how is {word} (spelled|spelt)",
        "spell [the word] {word} [out]", "what is the spelling of [the word] {word}",
    ),
    *_rules(
        "repeat", 0.96, everyday.repeated("answer"),
        "(repeat|say) (that|it|this|yourself) [again|once more|please]", "(say|come) again", "(say|tell me) that [one more time|once more]",
        "(pardon|pardon me|what did you [just] say|what was that|i did not hear [that|you]|i didn't hear [that|you]|once more)",
        "(ulitin mo|pakiulit|paki-ulit|ano [po] ulit|ano daw)",
    ),
    *_rules(
        "repeat", 0.96, everyday.repeated("question"),
        "what did i [just] (say|ask|tell you|ask you|say to you) [just now|before|last]", "what was my [last] question",
        "ano ang (sinabi|tinanong) ko",
    ),
    *_rules(
        "list_memories", 0.93, slots.nothing,
        "what (do you|have you|did you) [still] (remember|memorized|know about me)",
        "what [all] (did|have) i (tell|told|ask|asked) you to remember [so far]",
        "what have i told you [so far]",
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
        "remember", 0.9, everyday.named, "(my name is|call me|i am called|you can call me|ang pangalan ko ay) {name}", "(my name's) {name}",
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
        "unsupported", 0.9, slots.request("mail"),
        "(read|check|open|show) [me] [my] [new|latest] (email|emails|mail|mails|messages|inbox)",
        "(do i have|have i got|are there) [any] [new] (email|emails|mail|messages)",
    ),
    *_rules(
        "unsupported", 0.9, slots.request("lists"),
        "(add|put) {what} (to|on|onto) [the|my|our] [{which}] list", "(remove|delete|take) {what} (from|off) [the|my|our] [{which}] list",
        "(what is|show me|read|read me) [on] [the|my|our] {which=lists} list",
    ),
    *_rules(
        "unsupported", 0.9, slots.request("calendar"),
        "(what is|what have i got|what do i have|show me|do i have anything) [on] [my|the] (calendar|agenda|schedule) [{rest}]",
        "(what do i have|do i have anything|what is) (planned|on|scheduled|to do) [{rest}]",
        "(schedule|book|add) (a|an|my) {what} (to my calendar|on {rest}|in my calendar)",
    ),
    *_rules(
        "unsupported", 0.9, slots.request("camera"),
        "(take|make|snap) (a|another) (picture|photo|selfie|video) [{rest}]",
        "what (do|can) you see [{rest}]", "what is on my screen", "(look at|describe) (this|my screen|the screen|the picture|this picture|this photo)",
    ),
    *_rules(
        "unsupported", 0.9, slots.request("apps"),
        "(open|launch|start) {what=apps}", "(open|launch) [the] {what} app",
        "(order|buy) [me] (a|an|some) {what}", "book [me] (a|an) {what}", "call [me] (a|an) (taxi|uber|cab|ambulance)",
    ),
    *_rules(
        "unsupported", 0.9, slots.request("translate"),
        "translate {what} [(to|into|in) {tongue}]", "how do (you|i) say {what} in {tongue}", "what is {what} in {tongue=tongues}",
        "isalin mo [ang] {what} [sa {tongue}]",
    ),
    *_rules(
        "unsupported", 0.85, slots.request("live"),
        "(what is|how much is|how high is) the [current|latest] (stock price|share price|price|value|exchange rate) (of|for) {what}",
        "(how much is|what is) (a|one|1|the) (dollar|euro|peso|yen|pound|bitcoin) [worth] [in {what}]",
        "who is the [current|present] (president|prime minister|king|queen|chancellor|pope|mayor|vice president|ceo) [of {what}]",
        "who won [the] {what} (yesterday|today|last night|last week|this year|this week)",
        "(is there|how is the) traffic [{rest}]", "what is the score [{rest}]",
        "what is happening (in the world|today)",
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
        "[a lot|so much|very much|a bunch] [po] [for {rest}] [<name>]",
        "(i appreciate it|much appreciated)",
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
        "are you (there|listening|awake|ok|okay|a robot|human|a human|a person|real|alive|an ai|happy|sad|tired|busy|sure|smart)",
        "who (made|created|built|wrote|programmed|invented|designed) you", "how old are you", "when were you (born|made|built)",
        "where (are|do) you [live|come from|run|from]", "where are you from", "what are you made of",
        "do you (like|love|hate|want|enjoy|feel|have feelings|sleep|eat|dream|have a [favorite] {what}) [{rest}]",
        "what is your (favorite|favourite) {what}", "what do you (like|think) [{rest}]", "can you hear me",
        "nice to meet you", "(lol|haha|ha ha|wow|great|cool|nice|awesome|good|perfect|fine)",
        "(you are|you're) (great|nice|funny|cool|smart|stupid|awesome|amazing|the best|welcome|useless|right|wrong)",
        "i (love|like|hate|miss) you", "(i am|i'm|i feel) [so|very|really|feeling|a bit|not] (bored|tired|happy|sad|fine|good|ok|okay|lonely|hungry|sick|stressed|angry|great|well) [today|now]",
        "(good job|well done|nice one|magaling)", "(yes|no|ok|okay|sure|yeah|nope|oo|hindi)",
        "sino ka [ba]", "(ano ang|anong) pangalan mo",
    ),
    *_rules(
        "remember", 0.8, everyday.stated,
        "my {subject} (is|are) {value}", "our {subject} (is|are) {value}", "i (parked|put|left|hid|stored|keep|locked) {what} (in|on|at|under|behind|inside|near|next to) {where}", "i am allergic to {what}", "i'm allergic to {what}", "i (live|work|study) (in|at|on) {where}",
        "i was born {when}",
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
