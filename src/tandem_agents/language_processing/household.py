"""What people ask of a house: chores, whereabouts, the sky, appointments. A language model would say that it is done, or how it is."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime

from tandem_agents.language_processing import everyday, slots
from tandem_agents.language_processing.contracts import Slots
from tandem_agents.language_processing.rule import Rule, rules


def about(kind: str, subject: str) -> Callable[[re.Match[str], datetime], Slots | None]:
    """A reader of what is meant without being named: ``make it warmer`` is about the ``temperature``."""

    def read(match: re.Match[str], now: datetime) -> Slots | None:
        return Slots(kind=kind, subject=subject)

    return read


HOUSEHOLD: tuple[Rule, ...] = (
    *rules(
        "unsupported", 0.95, slots.request("emergency"),
        "(what is|give me|tell me) the [phone] number (for|of) [the] (police|fire department|fire brigade|ambulance|hospital|emergency|poison control|poison centre) [{rest}]",
        "(what is|give me|tell me) the [local] emergency number [{rest}]",
    ),
    *rules(
        "device", 0.93, about("device", "light"),
        "make it [a bit|a little|much] (brighter|darker|lighter) [in here|in the {where}]",
    ),
    *rules(
        "device", 0.93, about("device", "temperature"),
        "make it [a bit|a little|much] (warmer|cooler|colder|hotter) [in here|in the {where}]",
    ),
    *rules(
        "device", 0.93, slots.request("device"),
        "(start|run|begin|empty|charge|use|boil|preheat) [the|my|our] [{room}] {what=machine}",
    ),
    *rules(
        "device", 0.93, slots.request("volume"),
        "(speak|talk) [a bit|a little] (louder|quieter|softer|slower|faster|up|more slowly|more quietly|more loudly)",
        "set the volume (to|at) {level}",
    ),
    *rules(
        "unsupported", 0.92, slots.request("chore"),
        "(make|brew|cook|bring|fetch|get|pour|prepare|fix) [me|us|my] [a|an|some|the] [cup of|glass of|bottle of|nice|hot] {what=food} [please|now|for {whom}]",
        "(clean|wash|sweep|mop|tidy|tidy up|vacuum|fold|iron|feed|walk|water|do|dust|paint|mow) [the|my|our] {what=chores} [now]",
        "take (out the (trash|garbage|rubbish)|the (trash|garbage|rubbish) out|the dog for a walk)",
    ),
    *rules(
        "unsupported", 0.92, slots.request("weather"),
        "[the|today's|tomorrow's] weather [forecast|report] [today|tomorrow|tonight|now|(in|for|on|at) {rest}]",
        "how (hot|cold|warm|windy|humid) (is|will) it [be] [outside|out|out there|today|tomorrow|tonight|now|right now|this week|this weekend]",
        "how (hot|cold|warm|windy|humid) (is|will) it [be] in {rest}",
        "(is|will) it [be] [too|very] (cold|hot|warm|windy|cloudy|foggy|humid|freezing|chilly|sunny|rainy|rain) [outside|out|out there|today|tomorrow|tonight|now|right now|this week|this weekend]",
        "(should|shall|do) i (take|bring|need|wear) (a|an|my) (umbrella|raincoat|jacket|coat|sweater) [{rest}]",
        "what should i wear [today|tomorrow|tonight|outside]",
    ),
    *rules(
        "unsupported", 0.9, slots.request("live"),
        "(when|what time) (is|does|will) [the] (sunset|sunrise|sun set|sun rise|sun go down|sun come up) [be] [{rest}]",
        "(what is|how is|is there) [the] [much] traffic [like] [{rest}]", "(stock|share|bitcoin|gold|silver|oil|gas|petrol|gasoline) price [today|now|of {what}]",
        "what (song|movie|music|program|show) is (this|that|playing|on) [{rest}]", "what is (playing|on tv|on television) [now|tonight|today]",
        "how long does it take to (get|drive|go|walk) (home|to [the|my] {what=nearby}) [{rest}]", "(when|what time) (does|do) the {what=places} (open|close) [{rest}]", "(is|are) the {what=places} [still|already] (open|closed) [{rest}]",
    ),
    *rules(
        "unsupported", 0.9, slots.request("whereabouts"),
        "(find|locate|ring) my {what}", "where am i [now|right now]", "(what is|tell me) my [current] (location|position|address)",
        "(find|show me|is there|are there|where is|where are) [me] (a|an|any|some) {what} (near me|nearby|around here|near here|near by|in the area)",
        "(find|show me|where is|where are|what is|how far is) [me] the (nearest|closest) {what}",
    ),
    *rules(
        "unsupported", 0.9, slots.request("calendar"),
        "(schedule|book|add|set up|arrange) (a|an|my|the|another) [{which}] (meeting|appointment|event|call) [{rest}]",
        "(do i have|have i got|are there) [any|a|an] (meetings|appointments|plans|events|meeting|appointment|event) [{rest}]",
        "(what|which) (is|are) my (plans|appointments|meetings|events|next meeting|next appointment|day|schedule|plan) [like|looking like] [{rest}]",
        "what is the plan [for (today|tomorrow|tonight|this week|the weekend|this weekend)]",
        "(what|which) (meetings|appointments|plans|events) do i have [{rest}]",
    ),
    *rules(
        "unsupported", 0.9, slots.request("lists"),
        "(make|start|create|write|show|begin|open) [me] (a|my|the|a new|our) <lists> list",
    ),
    *rules(
        "unsupported", 0.9, slots.request("what_note"),
        "(take|make|write) [me] a [quick] note", "take notes", "(write|note) (this|that|it|something) down", "(remember|memorize) (this|that|it|something)",
    ),
    *rules(
        "unsupported", 0.9, slots.request("power"),
        "(restart|reboot|shut down|shutdown|power off|power down|switch off|turn off|update|upgrade) [yourself|the computer|the system|the pc|the server|my computer|this computer|your computer]",
    ),
    *rules(
        "list_timers", 0.93, slots.listed,
        "when (does|will|do|is) (my|the) {kind=ringer} (go off|end|ring|due|finish|over)",
        "check [on] [the|my|all] {kind=ringer}", "how much longer [is it|to go|left|does it take]", "how (long|much time) to go",
    ),
    *rules(
        "unsupported", 0.9, slots.request("camera"),
        "did i (lock|close|shut|turn off|switch off|turn on|leave|unplug|feed|forget) {rest}", "(who is|is there (somebody|someone|anybody|anyone)) (at|outside|in|near) the {where}",
        "is (anybody|anyone|somebody|someone) (home|there|here|in|outside)",
    ),
    *rules(
        "repeat", 0.9, everyday.repeated("question"),
        "what was the last thing i (said|asked|told you|asked you)",
    ),
    *rules("recall", 0.9, about("own", "car"), "where did (i|we) park"),
    *rules("recall", 0.9, about("own", "age"), "how old am i", "what is my age"),
    *rules("recall", 0.9, about("", "where you live"), "where do i live"),
    *rules("recall", 0.9, about("", "where you work"), "where do i work"),
    *rules("date", 0.93, slots.nothing, "is (it|today) [a] <weekday> [today]", "is it [the] weekend [yet|today]"),
    *rules("date", 0.93, slots.day, "is {day=tomorrow} [a] <weekday>", "what (is|was) {day=faraway}"),
    *rules(
        "repeat", 0.9, everyday.repeated("answer"),
        "(what|huh|what was that again|i did not catch that|i didn't catch that)",
    ),
    *rules(
        "help", 0.93, slots.nothing,
        "how can you help [me|us]", "what do you know [how to do]", "what else can you do", "what are you (good|able|capable|here|there) (for|at|of|to do)",
        "(ano ang|anong) (kaya|magagawa) mong gawin", "what (should|could|do) i (ask|say|ask you|say to you|tell you)",
    ),
    *rules(
        "small_talk", 0.9, slots.nothing,
        "how do you work", "what languages (do|can) you (speak|understand|know)", "(what|which) languages you (speak|understand|know)",
        "[do you|can you] (speak|understand|know) {tongue=tongues}", "hear me [now|well|ok|okay]", "wake up",
        "(merry|happy) [a] (christmas|new year|easter|birthday|holidays|anniversary|halloween|weekend|friday|mother's day|father's day|valentine's day) [to you]",
        "maligayang (pasko|bagong taon|kaarawan) [po]", "(congratulations|congrats|bless you)",
        "[i am|i'm] [so|very|really] sorry [about that|for that]", "(my bad|my mistake|my apologies|i apologize|excuse me|pasensya na|sorry po)",
        "[will you|would you] (marry|date|kiss|hug) me", "(who is|who's) your (boss|owner|master|creator|maker|developer)",
        "(that is|that's|that was|this is|you are|you're|you were) [all|totally|completely] (wrong|not right|not true|not correct|incorrect|nonsense|not what i (asked|meant|said|wanted) [for])",
        "you (did not|didn't|do not|don't) (understand|get|hear|listen to) (me|it|that|what i said)", "you (misunderstood|got it wrong|got that wrong|made a mistake)",
        "(i am|i'm) (home|back|back home) [now|again]", "(i am|i'm) (leaving|off|going out|heading out|going|going to work|off to work) [now]",
        "(i am|i'm) (going to|off to|going to go to) (bed|sleep) [now]", "(maybe|perhaps|i do not know|i don't know|not sure|i am not sure|i'm not sure|whatever|hmm|hm|never|always|no idea)",
        "what version are you", "(is everything|are things|is all) (ok|okay|alright|all right|fine|good|well)", "(say something|talk to me|let us talk|let's talk|chat with me)",
    ),
)  # fmt: skip
