"""Which words of a text carry its meaning, for searching and for comparing subjects."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
STOPWORDS = frozenset(
    [
        "a",
        "an",
        "the",
        "this",
        "that",
        "these",
        "those",
        "my",
        "our",
        "your",
        "his",
        "her",
        "its",
        "their",
        "me",
        "i",
        "you",
        "we",
        "they",
        "he",
        "she",
        "it",
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
        "shall",
        "may",
        "might",
        "must",
        "of",
        "in",
        "on",
        "at",
        "to",
        "for",
        "from",
        "by",
        "with",
        "about",
        "and",
        "or",
        "not",
        "no",
        "so",
        "what",
        "where",
        "who",
        "whom",
        "whose",
        "when",
        "which",
        "why",
        "how",
        "there",
        "here",
        "please",
        "tell",
        "know",
        "remember",
        "any",
        "some",
        "ang",
        "mga",
        "si",
        "sina",
        "ng",
        "sa",
        "na",
        "ay",
        "ko",
        "mo",
        "ka",
        "ba",
        "po",
        "ni",
        "nang",
        "at",
        "o",
        "kung",
        "ano",
        "nasaan",
        "sino",
        "kailan",
        "saan",
        "paano",
        "bakit",
    ]
)


def content_words(text: str) -> list[str]:
    """The meaningful words in order, without accents, possessive endings and plural s."""
    plain = "".join(
        letter for letter in unicodedata.normalize("NFKD", text.lower()) if not unicodedata.combining(letter)
    )
    words = _WORD.findall(plain.replace("’", "'"))
    return [_stem(word) for word in words if word not in STOPWORDS]


def subject_key(subject: str) -> str:
    """Equal for two ways of naming one thing: ``the boiler's code`` and ``code of the boiler``."""
    return " ".join(sorted(set(content_words(subject))))


def match_expression(text: str, joiner: str) -> str:
    """An FTS5 query for the meaningful words of ``text``, each quoted; empty when there are none."""
    words = content_words(text) or _WORD.findall(text.lower())
    return f" {joiner} ".join(f'"{word}"' for word in dict.fromkeys(words))


def _stem(word: str) -> str:
    word = word.removesuffix("'s")
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
