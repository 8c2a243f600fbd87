"""Text on its way to being spoken: cleaned of markup, cut into sentences."""

from __future__ import annotations

import re
import unicodedata

_NEVER_LAST = frozenset(
    {"mr", "mrs", "ms", "dr", "prof", "st", "sr", "vs", "vol", "fig", "approx", "e.g", "i.e"}
)
_MAYBE_LAST = frozenset({"etc", "a.m", "p.m", "u.s", "inc", "ltd", "jr", "no"})
"""Abbreviations that end a sentence unless it goes on in lower case or, after ``No.``, with a number."""

_END = re.compile(r"""[.!?…]+["'”’)\]]*(?=\s|$)|\n+""")
_CLAUSE = re.compile(r"[,;:–—](?=\s)")

LONG_SENTENCE = 160
"""Characters after which a sentence is cut at its last clause, so that speaking starts soon."""

_MARKUP = [
    (re.compile(r"```.*?(?:```|\Z)", re.DOTALL), " "),
    (re.compile(r"!?\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"https?://(?:www\.)?([^\s/)]+)\S*"), r"\1"),
    (re.compile(r"^\s{0,3}(?:#{1,6}|[-*+>])\s+", re.MULTILINE), ""),
    (re.compile(r"(?<!\S)[*_`#|~-]{2,}(?!\S)"), " "),
    (re.compile(r"(\*\*|__|~~|`)(.+?)\1"), r"\2"),
    (re.compile(r"[*_`#|~]{2,}"), " "),
    (re.compile(r"(?<!\w)[*_](\S(?:.*?\S)?)[*_](?!\w)"), r"\1"),
]


def speakable(text: str) -> str:
    """``text`` without what is for the eye: Markdown, code blocks, link targets, emoji."""
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return "".join(
        char for char in text if char == "\n" or unicodedata.category(char) not in ("So", "Sk", "Cc", "Cf")
    )


class SentenceSplitter:
    """Cuts text that arrives in pieces, as a language model writes it, into sentences.

    A sentence is known to be over only when what follows its full stop has arrived.
    """

    def __init__(self) -> None:
        self._rest = ""

    def push(self, text: str) -> list[str]:
        """Sentences that are complete by now, without surrounding blanks."""
        self._rest += text
        done = []
        while (cut := _first_end(self._rest)) is not None:
            done.append(self._rest[:cut].strip())
            self._rest = self._rest[cut:]
        return [sentence for sentence in done if sentence]

    def flush(self) -> list[str]:
        """What is left, as the last sentence. The splitter can be used again."""
        rest, self._rest = self._rest.strip(), ""
        return [rest] if rest else []


def sentences(text: str) -> list[str]:
    """The sentences of a whole text."""
    splitter = SentenceSplitter()
    return splitter.push(text) + splitter.flush()


def _first_end(text: str) -> int | None:
    """Where the first sentence is cut off, once that cannot change with what follows."""
    end, undecided = _sentence_end(text)
    if undecided is not None and undecided <= LONG_SENTENCE:
        return None
    if len(text) > LONG_SENTENCE and (end is None or end > LONG_SENTENCE):
        clauses = [match.end() for match in _CLAUSE.finditer(text, 0, LONG_SENTENCE)]
        return clauses[-1] if clauses else end
    return end


def _sentence_end(text: str) -> tuple[int | None, int | None]:
    """The end of the first sentence, or else of the first that may be one when more text arrives."""
    for match in _END.finditer(text):
        if match[0].startswith("\n"):
            return match.end(), None
        after = text[match.end() :].lstrip()
        if not after:
            return None, match.end()
        if not _is_abbreviation(text[: match.start()], match[0], after):
            return match.end(), None
    return None, None


def _is_abbreviation(before: str, mark: str, after: str) -> bool:
    """Whether a full stop ends an abbreviation, an initial or a number in a list rather than a sentence."""
    if mark != ".":
        return False
    word = re.split(r"[\s(\"'“]", before)[-1]
    following = after[:1]
    if word.lower() in _NEVER_LAST or (len(word) == 1 and word.isupper() and word != "I"):
        return True
    if word.lower() in _MAYBE_LAST:
        return following.islower() or (word == "No" and following.isdigit())
    return following.islower()
