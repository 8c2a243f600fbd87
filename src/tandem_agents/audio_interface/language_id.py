"""English, Filipino or both: by the small words no sentence does without.

Function words are the most frequent words of a language and hardly ever shared between these two, so a dozen
words of text suffice and no model is needed. Shared spellings (``may``, ``at``, ``on``, ``to``, ``so``) are left out
of both lists.
"""

from __future__ import annotations

import re

from tandem_agents.audio_interface.english_words import ORDINARY
from tandem_agents.language_processing.contracts import LanguageGuess

ENGLISH = frozenset(
    [
        "the",
        "a",
        "an",
        "is",
        "are",
        "was",
        "were",
        "be",
        "been",
        "am",
        "do",
        "does",
        "did",
        "have",
        "has",
        "had",
        "will",
        "would",
        "can",
        "could",
        "should",
        "i",
        "you",
        "he",
        "she",
        "it",
        "we",
        "they",
        "me",
        "my",
        "your",
        "his",
        "her",
        "its",
        "our",
        "their",
        "this",
        "that",
        "these",
        "those",
        "what",
        "which",
        "who",
        "whom",
        "where",
        "when",
        "why",
        "how",
        "and",
        "or",
        "but",
        "if",
        "of",
        "in",
        "for",
        "with",
        "by",
        "from",
        "about",
        "into",
        "over",
        "after",
        "before",
        "not",
        "no",
        "yes",
        "please",
        "tell",
        "set",
        "turn",
        "play",
        "stop",
        "remind",
        "remember",
        "time",
        "date",
        "today",
        "tomorrow",
        "day",
        "timer",
        "alarm",
        "five",
        "ten",
        "minute",
        "minutes",
        "hour",
        "hours",
        "there",
        "here",
        "many",
        "much",
        "some",
        "any",
        "all",
        "hello",
        "hi",
        "good",
        "morning",
        "afternoon",
        "evening",
        "night",
        "thank",
        "thanks",
        "call",
        "open",
        "close",
        "make",
        "give",
        "let",
        "going",
        "want",
        "need",
        "know",
    ]
)
FILIPINO = frozenset(
    [
        "ang",
        "ng",
        "mga",
        "sa",
        "na",
        "ay",
        "si",
        "ni",
        "kay",
        "sina",
        "nina",
        "ko",
        "mo",
        "ka",
        "ako",
        "ikaw",
        "siya",
        "kami",
        "tayo",
        "kayo",
        "sila",
        "namin",
        "natin",
        "nila",
        "niya",
        "akin",
        "iyo",
        "ito",
        "iyan",
        "iyon",
        "yan",
        "yun",
        "dito",
        "diyan",
        "doon",
        "ba",
        "po",
        "opo",
        "ho",
        "nga",
        "naman",
        "lang",
        "din",
        "rin",
        "daw",
        "raw",
        "pala",
        "kasi",
        "kung",
        "dahil",
        "pero",
        "at",
        "kapag",
        "ano",
        "anong",
        "sino",
        "nasaan",
        "saan",
        "kailan",
        "bakit",
        "paano",
        "ilan",
        "magkano",
        "hindi",
        "oo",
        "wala",
        "mayroon",
        "meron",
        "may",
        "huwag",
        "wag",
        "oras",
        "petsa",
        "araw",
        "ngayon",
        "bukas",
        "kahapon",
        "mamaya",
        "umaga",
        "tanghali",
        "hapon",
        "gabi",
        "minuto",
        "segundo",
        "linggo",
        "buwan",
        "taon",
        "kumusta",
        "kamusta",
        "salamat",
        "paalam",
        "magandang",
        "mabuhay",
        "tulong",
        "tigil",
        "hinto",
        "tama",
        "paki",
        "gusto",
        "kailangan",
        "alam",
        "isa",
        "dalawa",
        "tatlo",
        "apat",
        "lima",
        "anim",
        "pito",
        "walo",
        "siyam",
        "sampu",
        "isang",
        "dalawang",
        "tatlong",
        "limang",
        "sampung",
        "alas",
        "nang",
    ]
)
_SHARED = ENGLISH & FILIPINO | {"at", "may", "so", "to", "on", "nga"}
_WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")
_FILIPINO_SHAPE = re.compile(
    r"^(?:nag|mag|pag|ipa|maka|naka|paki|pinaka|ka|ma|na|pa)-?[a-z]{3,}(?:han|hin|an|in)$|^(?:nag|mag|naka|paki|pinaka)-?[a-z]{3,}$"
)

WEAK = 0.2
"""Confidence when only ordinary words, which other languages borrow, say that it is English."""
MIXED_FROM = 0.2
"""A share of the smaller language from which a text counts as mixed; one borrowed word never does."""


def guess_language(text: str) -> LanguageGuess:
    """The language of ``text``; English with confidence 0 when it has no word we know."""
    english = filipino = 0
    words = _WORD.findall(text.lower())
    for word in words:
        if word in _SHARED:
            continue
        english += word in ENGLISH
        filipino += word in FILIPINO or (word not in ENGLISH and bool(_FILIPINO_SHAPE.match(word)))
    known = english + filipino
    if not known:
        ordinary = any(word in ORDINARY or word.removesuffix("s") in ORDINARY for word in words)
        return LanguageGuess(
            language="en", confidence=WEAK if ordinary else 0.0, english=float(ordinary), filipino=0.0
        )
    share = filipino / known
    # One known word may be chance; four are enough to be sure of.
    trust = min(1.0, known / 4)
    if MIXED_FROM <= share <= 1 - MIXED_FROM and min(english, filipino) >= 2:
        return LanguageGuess(
            language="mixed", confidence=trust * (1 - abs(share - 0.5)), english=1 - share, filipino=share
        )
    if share > 0.5:
        return LanguageGuess(language="fil", confidence=trust * share, english=1 - share, filipino=share)
    return LanguageGuess(language="en", confidence=trust * (1 - share), english=1 - share, filipino=share)
