"""Keeping secrets out of logs, errors and reports."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

REDACTED: Final = "[redacted]"

# Each alternative names its prefix to keep as a group called k<n>; the rest of the match is replaced.
_PATTERNS: Final = re.compile(
    "|".join(
        (
            r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
            # One or several compact JWS, as agents' tokens are joined (RFC 7515; `eyJ` is base64url of `{"`).
            r"eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]{8,}(?:~eyJ[\w-]+\.[\w-]+\.[\w-]+)*",
            r"\bS[UAONC][A-Z2-7]{56}\b",  # NATS nkey seed
            r"\b(?:sk|pk|rk)[-_][A-Za-z0-9_-]{16,}",  # OpenAI, Anthropic, Stripe
            r"\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bhf_[A-Za-z0-9]{20,}|\bglpat-[\w-]{16,}",
            r"\bxox[abeoprs]-[\w-]{10,}|\bAKIA[A-Z0-9]{16}\b|\bAIza[\w-]{30,}",
            r"(?P<k1>\b[a-z][a-z0-9+.-]*://[^\s:/@]*:)[^\s@/]+(?=@)",  # password in a URL
            r"(?P<k2>(?i:\bauthorization\b[\"']?\s*[:=]\s*[\"']?(?:(?:bearer|basic|token)\s+)?))[^\s\"',;]+",
            r"(?P<k3>(?i:\bbearer\s+))[\w.~+/=-]{8,}",
            r"(?P<k4>(?i:[\w-]*(?:password|passwd|passphrase|secret|api[_-]?key|access[_-]?key|private[_-]?key|token))"
            r"[\"']?\s*[:=]\s*)(?:\"[^\"]*\"|'[^']*'|[^\s\"',;&)\]}]+)",
        )
    ),
    re.DOTALL,
)


# A text with none of these cannot match; telling that takes a hundredth of the search's time. `_PATTERNS` and this list
# change together.
_MARKS: Final = (
    "-----BEGIN", "eyJ", "://", "SU", "SA", "SO", "SN", "SC", "sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "ghp_", "gho_",
    "ghu_", "ghs_", "ghr_", "github_pat_", "hf_", "glpat-", "xox", "AKIA", "AIza",
)  # fmt: skip
_WORDS: Final = ("authorization", "bearer", "passw", "passphrase", "secret", "key", "token")


def _is_suspicious(text: str) -> bool:
    for mark in _MARKS:
        if mark in text:
            return True
    lower = text.lower()
    return any(word in lower for word in _WORDS)


def _keep_prefix(match: re.Match[str]) -> str:
    return (match.group(match.lastgroup) if match.lastgroup else "") + REDACTED


def redact(text: str) -> str:
    """``text`` with everything that looks like a credential replaced: keys, tokens, passwords in URLs and assignments."""
    return _PATTERNS.sub(_keep_prefix, text) if _is_suspicious(text) else text


class Redactor:
    """:func:`redact`, and every occurrence of known secrets whatever they look like."""

    SHORTEST: Final = 6
    """Shorter secrets are not searched for: they would blot out ordinary words and protect nothing."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first, so that a secret containing another one disappears whole.
        known = sorted(
            {str.__str__(one) for one in secrets if len(one) >= self.SHORTEST}, key=len, reverse=True
        )
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        return redact(self._known.sub(REDACTED, text) if self._known else text)


class Secret:
    """A string that shows itself only when asked: ``repr``, ``str``, ``format`` and pickling give nothing away."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({REDACTED})"

    def __str__(self) -> str:
        return REDACTED

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __bool__(self) -> bool:
        return bool(self._value)

    def __reduce__(self) -> str:
        raise TypeError("a Secret is not pickled")
