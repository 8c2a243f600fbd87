"""Keeping secrets out of logs, errors and reports."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, TextIO
from urllib.parse import quote

REDACTED: Final = "[redacted]"
LONGEST_LINE: Final = 64 * 1024
"""Characters of a line a stream waits for before it passes them on."""

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
    """``text`` with everything that looks like a credential replaced (keys, tokens, passwords in URLs and
    assignments), and every secret this process was given (:func:`conceal`), whatever it looks like."""
    if _given is not None:
        text = _given.remove(text)
    return _PATTERNS.sub(_keep_prefix, text) if _is_suspicious(text) else text


def conceal(secrets: Iterable[str]) -> None:
    """From now on :func:`redact` also removes these values in this process; replaces those of an earlier call."""
    global _given
    values = list(secrets)
    _given = Redactor(values) if values else None


def concealed(value: Any) -> Any:
    """``value`` (plain data: dicts, lists, text) with the secrets of :func:`conceal` removed from all of its texts."""
    if _given is None:
        return value
    if isinstance(value, str):
        return _given.remove(value)
    if isinstance(value, dict):
        return {concealed(key): concealed(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [concealed(inner) for inner in value]
    return value


class Redactor:
    """:func:`redact`, and every occurrence of known secrets: as they are, and as JSON, a repr, a URL, base64 or a
    percent-encoding would show them."""

    SHORTEST: Final = 6
    """Shorter secrets are not searched for: they would blot out ordinary words and protect nothing."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        # The longest first, so that a secret containing another one disappears whole.
        shapes = {shape for one in secrets for shape in _shapes(one) if len(shape) >= self.SHORTEST}
        known = sorted(shapes, key=len, reverse=True)
        self._known = re.compile("|".join(map(re.escape, known))) if known else None

    def __call__(self, text: str) -> str:
        return redact(self.remove(text))

    def remove(self, text: str) -> str:
        """``text`` without the known secrets; what merely looks like one stays."""
        return self._known.sub(REDACTED, text) if self._known else text


_given: Redactor | None = None
_LINE = 16
"""A line of a longer secret (a key file) that has this many characters counts by itself."""


def _shapes(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret)[1:-1]
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield quote(secret, safe="")
    raw = secret.encode("utf-8", "surrogateescape")
    yield base64.b64encode(raw).rstrip(b"=").decode()
    yield base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    yield from (line.strip() for line in secret.splitlines() if len(line.strip()) >= _LINE)


class RedactedStream(io.TextIOBase):
    """A text stream that removes the secrets of :func:`conceal`; what is printed in pieces is judged line by line."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pending = ""

    def write(self, text: str) -> int:
        whole, newline, self._pending = (self._pending + text).rpartition("\n")
        if newline:
            self._stream.write(concealed(whole) + newline)
        if len(self._pending) > LONGEST_LINE:
            self._stream.write(concealed(self._pending))
            self._pending = ""
        return len(text)

    def flush(self) -> None:
        pending, self._pending = self._pending, ""
        self._stream.write(concealed(pending))
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def writable(self) -> bool:
        return True


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
