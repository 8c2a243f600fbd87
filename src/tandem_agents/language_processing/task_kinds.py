"""What kind of work an open question is: a fact, an explanation, chat, reasoning, code, or one that needs a tool."""

from __future__ import annotations

import re
from typing import cast

from tandem_agents.language_processing.contracts import TaskKind

_SIGNS: dict[TaskKind, tuple[tuple[float, str], ...]] = {
    "code": (
        (2.0, r"```|\bdef \w+\(|\bimport \w+\b|\bfunction\s*\(|[;{}]\s*$"),
        (
            2.0,
            r"\b(?:write|fix|debug|refactor|explain|review)\b.{0,40}\b(?:code|function|script|program|regex|query|bug)\b",
        ),
        (
            1.0,
            r"\b(?:(?:in|a|of) rust|python|javascript|typescript|java|c\+\+|sql|bash|html|css|algorithm|compile|stack trace)\b",
        ),
    ),
    "reasoning": (
        (1.5, r"\b(?:step by step|prove|derive|pros and cons|trade-?offs?|compare|analy[sz]e|plan)\b"),
        (1.0, r"\b(?:what if|which is better|should i)\b"),
        (1.5, r"\b(?:if|suppose|given)\b.+\b(?:then|how many|how much|how long|what)\b"),
    ),
    "tool": (
        (
            2.0,
            r"\b(?:today's news|latest|current price|stock price|search the web|look up online|exchange rate)\b",
        ),
    ),
    "chat": ((1.0, r"\b(?:tell me (?:a|about)|story|poem|joke|feel|think of|favou?rite|chat)\b"),),
}
_TOLD: tuple[tuple[TaskKind, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in cast(
        tuple[tuple[TaskKind, str], ...],
        (
            ("joke", r"^(?:(?:tell|give) (?:me|us) |say |do you know |know |got |have you got )?(?:an?|another|one more|some|any|a few)?\s*(?:\w+ )?(?:jokes?|riddles?|pun)\b(?: please)?\W*$"
             r"|^(?:make me laugh|cheer me up|entertain me|say something funny|magpatawa ka|patawanin mo ako)\b"),
            ("story", r"^(?:(?:can you |please )?(?:tell|give|read) (?:me|us) )(?:an?|another|one more|some)\s+(?:\w+ ){0,2}(?:story|stories|tale|fairy tale)\b|^magkuwento ka"),
            ("verse", r"^(?:(?:can you |please )?(?:tell|give|read|write|say|make|recite)(?: me| us)? )(?:an?|another|one more|some)\s+(?:\w+ ){0,2}(?:poem|poems|poetry|rhyme|verse|haiku|limerick)\b"),
            ("fact", r"^(?:(?:tell|give) (?:me|us) )(?:an?|another|some)?\s*(?:\w+ ){0,2}(?:facts?|trivia)\b|^(?:tell|teach) me something(?: (?:interesting|new|fun|cool|amazing|i do not know|i don't know))?\W*$"),
        ),
    )
)
"""What is asked to be told for its own sake. A fact to be thought of by itself is doubted like any other."""
_COMPILED = {
    kind: [(weight, re.compile(pattern, re.IGNORECASE)) for weight, pattern in signs]
    for kind, signs in _SIGNS.items()
}
NEEDED = 1.0
_FACT = re.compile(
    r"^(?:(?:do you know|tell me|can you tell me)\s+)?(?:who|whom|whose|when|where|which"
    r"|how\s+(?:many|much|tall|old|far|long|big|high|deep|heavy|fast|large|hot|cold|wide|many)"
    r"|sino|kailan|nasaan|saan|ilan|ilang|gaano"
    r"|(?:what|ano)\s+(?:year|day|month|colou?r|country|city|continent|language)"
    r"|(?:what|ano)\s+(?:is|are|was|were|did|does|ang)\s+the\b.+\b(?:of|in|for)"
    r"|(?:what|ano)\s+(?:is|are|was|were)\s+the\s+(?:\w+est|most|least|first|last|second|third|only)\s+\w+"
    r"|ano\s+ang\s+\w+\s+ng|(?:is|are|was|were|did|does|do|has|have|can)\s+(?!there\b|it\b|this\b|that\b))\b",
    re.IGNORECASE,
)
_SURELY_FACT = re.compile(r"^(?:is|are|was|were) (?:it|there|that|this)\b.+\b(?:true|possible|legal|safe|life|water|any)\b|^(?:are|is) there\b", re.IGNORECASE)
"""Asked of a pronoun, and still to be answered by yes or no."""
_IS = re.compile(r"^(what|where|who|when|how|which)['’]?s\b", re.IGNORECASE)
_NAMED = re.compile(r"^(?:[Ww]hat|[Aa]no) (?:is|are|was|were|ang) (?:the |a |an )?[A-Z]\w")
_EXPLANATION = re.compile(
    r"^(?:(?:do you know|(?:please )?(?:tell me|explain(?: to me)?)|can you (?:tell me|explain)|and|so|but) )?"
    r"(?:(?:why|how come|bakit)(?: \S+){2}|what (?:causes?|makes?) \w|how (?:does|do|did) \w|how (?:an?|the) \w"
    r"|how (?:is|are|was|were) (?:\S+ ){1,3}(?:made|born|built|grown|\w+ed)\b"
    r"|what (?:is|are|was|were) (?!(?:up|new|next|on|wrong|going|happening)\b)\w"
    r"|explain (?!(?:this|that|it|how|why|what|to)\b)\w)",
    re.IGNORECASE,
)
_ASKED_FOR = re.compile(r"^(?:do you know|(?:please )?tell me|can you (?:tell me|explain)|explain to me)\b", re.IGNORECASE)
_PERSONAL = re.compile(
    r"\b(?:I|me|my|mine|myself|(?<!make )you|yours?|yourself|us|our|ours|should|would|could|best|better|worst|nicest|meaning|opinion"
    r"|today|tonight|tomorrow)\b",
    re.IGNORECASE,
)
"""What is about who asks or is asked, or a matter of taste or of the day."""
_OPINION = re.compile(
    r"\b(?:should|would|could|I|my|me|you|your|we|us|our|best|good|better|worst|nicest|meaning|think|feel)\b"
)
"""Words of questions to which there is no one answer that could be known."""


def classify(text: str) -> TaskKind:
    """The kind with the most signs, otherwise a ``fact``, an ``explanation`` or ``chat``.

    A fact is asked for by its question word or by a name, and has one right answer of a few words. What something is,
    how it works or why it is so can be explained in many ways: that is an ``explanation``.
    """
    for told, sign in _TOLD:
        if sign.search(text.strip()):
            return told
    scores: dict[TaskKind, float] = {"chat": 0.5, "reasoning": 0.0, "code": 0.0, "tool": 0.0, "fact": 0.0}
    for kind, signs in _COMPILED.items():
        scores[kind] += sum(weight for weight, sign in signs if sign.search(text))
    best = max(scores, key=lambda kind: scores[kind])
    if best != "chat" and scores[best] >= NEEDED:
        return best
    asked = _IS.sub(r"\1 is", text.strip())
    if not _OPINION.search(asked) and (_FACT.match(asked) or _NAMED.match(asked) or _SURELY_FACT.match(asked)):
        return "fact"
    about = _ASKED_FOR.sub("", asked)
    return "explanation" if _EXPLANATION.match(asked) and not _PERSONAL.search(about) else "chat"
