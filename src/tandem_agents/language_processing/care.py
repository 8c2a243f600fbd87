"""Where a wrong answer would do harm: emergencies, what could hurt somebody, and what becomes of what is said."""

from __future__ import annotations

import re
from datetime import datetime

from tandem_agents.language_processing import slots
from tandem_agents.language_processing.contracts import Slots
from tandem_agents.language_processing.rule import Rule, rules

_OTHER_SAFETY = re.compile(
    r"\b(?:files?|data|passwords?|neighbou?rhood|city|country|website|link|email|code|bank|stranger)\b"
    r"|\btake (?:an?|the|my|off|part|out|this|it|you|him|her|them)\b(?! (?:pill|tablet|medicine|medication|drug|aspirin))",
    re.IGNORECASE,
)
"""What else is called safe or dangerous: a question about the world, not about a body."""


def hazard(match: re.Match[str], now: datetime) -> Slots | None:
    """A question whose wrong answer could hurt somebody; declines safety of other kinds."""
    return None if _OTHER_SAFETY.search(match[0]) else Slots(kind="hazard")


CARE: tuple[Rule, ...] = (
    *rules(
        "unsupported", 0.95, slots.request("emergency"),
        "[please|quick|quickly|help] (call|phone|dial|get) [me|us] (an|the|a) (ambulance|police|fire department|fire brigade|paramedics) [{rest}]",
        "[please|quick|quickly|help] (call|dial|phone) (911|112|999|for help|emergency services|the emergency services) [{rest}]",
        "[help] [i think|i believe|help] (i am|i'm|he is|he's|she is|she's|my {who} is) (having|getting) (a|an) (heart attack|stroke|seizure|asthma attack|allergic reaction) [{rest}]",
        "[help] (i|he|she|my {who}) (can not|cannot|can't) breathe [{rest}]",
        "[help] (he|she|my {who}) (is|has) (not breathing|unconscious|choking|bleeding badly|collapsed|stopped breathing) [{rest}]",
        "[help] [i think] (there is|there's) (a|an) (fire|intruder|burglar|gas leak) [{rest}]",
        "[help] [my|the|our] (house|kitchen|flat|apartment) is on fire [{rest}]",
        "[help] (someone|somebody) is breaking in [{rest}]",
        "[help] (i|he|she|my {who}) (swallowed|drank) (bleach|poison|detergent) [{rest}]",
        "[help] (i|he|she|my {who}) (took|has taken|have taken) an overdose [{rest}]",
        "(tumawag ka ng|tawagan mo ang) (ambulansya|pulis|bumbero) [{rest}]", "may sunog [{rest}]",
    ),
    *rules(
        "unsupported", 0.95, slots.request("crisis"),
        "(i|i'd) (want|like|am going|would like) to (die|kill myself|end my life|hurt myself|end it all) [{rest}]",
        "(i am|i'm) (going to|gonna) (kill|hurt) myself [{rest}]",
        "(i do not|i don't) want to (live|be alive) [anymore|any more|any longer] [{rest}]",
        "(i feel|i am|i'm) suicidal [{rest}]", "gusto ko nang mamatay [{rest}]",
    ),
    *rules(
        "unsupported", 0.9, hazard,
        "(is|are) (it|{what}) (safe|poisonous|toxic|lethal|deadly|edible|harmful) [{rest}]",
        "is it (ok|okay|dangerous|fine|bad) to (mix|take|drink|eat|swallow|inhale|combine|give) {rest}",
        "(can|may|should) (i|you|we|my {who}|a {whom}) (mix|take|swallow|combine|inhale|overdose) {rest}",
        "what happens if (i|you|we|my {who}) (mix|swallow|inhale|drink|overdose|combine) {rest}",
        "(what is|how much is) (the|a) (right|safe|maximum|correct|lethal|usual) (dose|dosage|amount) [{rest}]",
        "how (much|many) {what} (can i take|may i take|should i take|is safe|are safe|is lethal|can i give) [{rest}]",
        "should i (go to|see|call) (a|the) (doctor|hospital|emergency room|er) [{rest}]",
    ),
    *rules(
        "unsupported", 0.9, slots.request("privacy"),
        "(do|does|will|can|would) (you|this|it|tandem|anybody|anyone|someone) (send|share|upload|sell|leak|report|give|forward|transmit) {rest}",
        "are you (recording|spying|sending|uploading|sharing|tracking|watching) [{rest}]",
        "do you (record|store|save|track|spy on|log) {rest}", "do you keep (my|our|what|everything|all|a record|records) [{rest}]",
        "(who|who else) (can|may|could) (hear|see|read|listen to|access) {rest}",
        "where (is|are|does) (my|our) (data|words|voice|conversations|information) [{rest}]",
        "where do you (keep|store|send|save) {rest}", "is (my|our) (data|privacy|information|voice) {rest}",
        "(what do you do with|what happens to|what happens with) (my|our|the) (data|words|voice|recordings|conversations) [{rest}]",
        "are you (connected to the internet|online|offline|in the cloud) [{rest}]",
        "do you (need|use|work without|work offline|go to|have access to) [the] (internet|cloud) [{rest}]", "do you work offline",
    ),
    *rules(
        "unsupported", 0.9, slots.request("listening"),
        "are you [always|constantly|still|secretly] listening (to|all|in) {rest}", "are you (always|constantly|secretly) listening [to {rest}]",
        "(do|can) you [always] (listen to|hear|overhear) (me|us|everything|what|all) {rest}",
        "do you [always] listen [all the time|to me|to us]",
    ),
    *rules(
        "unsupported", 0.9, slots.request("singing"),
        "(sing|hum|whistle) [me|us] [a|the|something|for] [{rest}]", "can you sing [{rest}]", "kantahan mo ako [{rest}]",
    ),
)  # fmt: skip
ABOUT_ME: tuple[Rule, ...] = (
    *rules(
        "unsupported", 0.8, slots.request("about_me"),
        "(are|were) you (better|smarter|faster|older|younger|married|single|rich|hungry|afraid|jealous|conscious|sentient|religious|good|bad|evil|dangerous|a {what}|an {which}) [than {more}]",
        "have you (ever|been|seen|read|eaten|got|met|slept|learned|studied) {rest}",
        "did you (sleep|eat|enjoy|miss|dream|go|have|grow) {rest}", "(do|did) you have (a|any) {rest}",
    ),
)  # fmt: skip
