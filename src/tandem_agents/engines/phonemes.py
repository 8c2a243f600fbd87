"""Text to the phonemes Kokoro was trained on, by espeak-ng.

espeak-ng is GPL-3.0-or-later; it comes with the optional ``voice`` extra and is loaded here, through ctypes, only
when speech is made. The correspondence of espeak-ng's IPA and Kokoro's alphabet is the one of misaki
(https://github.com/hexgrad/misaki, Apache-2.0), Kokoro's own phonemiser.
"""

from __future__ import annotations

import ctypes
import re
from typing import TYPE_CHECKING

from tandem.core.errors import Unavailable
from tandem_agents.engines.optional import LazyModule

if TYPE_CHECKING:
    import espeakng_loader
else:
    espeakng_loader = LazyModule("espeakng_loader", extra="voice")

# From espeak-ng's speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_CHARS_UTF8 = 1
_PHONEMES_IPA = 0x02
_PHONEMES_TIE = 0x80
_TIE = "^"
_MODE = ord(_TIE) << 8 | _PHONEMES_TIE | _PHONEMES_IPA

ESPEAK_VOICES = {"en-US": "en-us", "en-GB": "en", "es": "es", "fr": "fr", "it": "it", "pt-BR": "pt-br"}
"""espeak-ng's names of the languages Kokoro speaks; ``en-gb`` and ``fr-fr`` are not among those it accepts."""

_PUNCTUATION = re.compile(r"([,.!?;:…—]+)(?=\s|$)")
_LANGUAGE_SWITCH = re.compile(r"\([a-z^-]+\)")

# Their full stops would be spoken as the end of a sentence.
_SHORTENED = re.compile(r"\b(Mr|Mrs|Ms|Dr|Prof|St|Jr|Sr|vs)\.(?=\s)")
_WRITTEN_OUT = {
    re.compile(r"\be\.g\.,?"): "for example",
    re.compile(r"\bi\.e\.,?"): "that is",
    re.compile(r"\betc\."): "et cetera",
}

_ANY = {"d^ʒ": "ʤ", "t^ʃ": "ʧ", "d^z": "ʣ", "t^s": "ʦ", "^": "", "-": "", "\u0329": "", "\u0361": ""}
_ENGLISH = {
    "ʔˌn\u0329": "tᵊn", "ʔn\u0329": "tᵊn", "ʔn": "tᵊn", "ʔ": "t",
    "a^ɪ": "I", "a^ʊ": "W", "d^ʒ": "ʤ", "e^ɪ": "A", "e": "A", "t^ʃ": "ʧ", "ɔ^ɪ": "Y", "ə^l": "ᵊl",
    "ʲo": "jo", "ʲə": "jə", "ʲ": "", "r": "ɹ", "x": "k", "ç": "k", "ɐ": "ə", "ɬ": "l", "\u0303": "",
}  # fmt: skip
_AMERICAN = {"o^ʊ": "O", "ɜː": "ɜɹ", "ɜːɹ": "ɜɹ", "ɪə": "iə", "ɚ": "əɹ", "ɚɹ": "əɹ", "ː": "", "i^ə": "iə"}
_BRITISH = {"e^ə": "ɛː", "i^ə": "ɪə", "ə^ʊ": "Q"}


def _table(*mappings: dict[str, str]) -> tuple[re.Pattern[str], dict[str, str]]:
    """A pattern that finds the longest spelling first, and what each becomes."""
    merged = {key: value for mapping in mappings for key, value in mapping.items()}
    keys = sorted(merged, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, keys))), merged


_TABLES = {
    "en-US": _table(_ANY, _ENGLISH, _AMERICAN),
    "en-GB": _table(_ANY, _ENGLISH, _BRITISH),
}
_OTHER = _table(_ANY)


class Phonemizer:
    """espeak-ng in this process. It has global state: use one, from one thread."""

    def __init__(self) -> None:
        """Raises ``Unavailable`` when the library is missing."""
        data = espeakng_loader.get_data_path()
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        library.espeak_Initialize.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int]
        library.espeak_TextToPhonemes.argtypes = [ctypes.POINTER(ctypes.c_char_p), ctypes.c_int, ctypes.c_int]
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        if library.espeak_Initialize(_AUDIO_OUTPUT_SYNCHRONOUS, 0, data.encode(), 0) < 0:
            raise Unavailable(f"espeak-ng does not start with its data in {data}")
        self._library = library
        self._language = ""

    def phonemes(self, text: str, language: str) -> str:
        """``text`` in Kokoro's alphabet; punctuation, which it speaks as pauses and melody, is kept.

        ``language`` is a key of :data:`ESPEAK_VOICES`. Raises ``Unavailable`` when espeak-ng does not know it.
        """
        self._select(language)
        if language in _TABLES:
            text = _expanded(text)
        pieces = []
        for index, piece in enumerate(_PUNCTUATION.split(text)):
            if index % 2:
                pieces.append(piece + " ")
            elif piece.strip():
                pieces.append(self._words(piece.strip(), language))
        return "".join(pieces).strip()

    def _select(self, language: str) -> None:
        if language == self._language:
            return
        voice = ESPEAK_VOICES.get(language, language)
        # An unknown voice leaves the one before in place, so the answer must be looked at.
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise Unavailable(f"espeak-ng has no voice {voice}")
        self._language = language

    def _words(self, text: str, language: str) -> str:
        rest = ctypes.c_char_p(text.encode())
        clauses = []
        # Each call takes one clause and moves the pointer on, to null after the last.
        while rest.value:
            clauses.append(self._library.espeak_TextToPhonemes(ctypes.byref(rest), _CHARS_UTF8, _MODE) or b"")
        ipa = " ".join(clause.decode() for clause in clauses)
        pattern, table = _TABLES.get(language, _OTHER)
        return pattern.sub(lambda match: table[match[0]], _LANGUAGE_SWITCH.sub("", ipa))


def _expanded(text: str) -> str:
    """English abbreviations as they are said."""
    for pattern, words in _WRITTEN_OUT.items():
        text = pattern.sub(words, text)
    return _SHORTENED.sub(r"\1", text)
