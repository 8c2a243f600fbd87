"""A copy of the audited files to try changes on."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from tandem.audit.source import decode
from tandem.audit.walk import Walk


class Text(Struct, frozen=True):
    """The text of a file and how it is spelt in bytes."""

    text: str
    encoding: str

    def encode(self, text: str) -> bytes:
        """``text`` in this file's encoding."""
        return text.encode(self.encoding)


def read(path: Path) -> Text:
    """The text of ``path``; line ends are kept as they are. Raises ``OSError``."""
    text, encoding = decode(path.read_bytes())
    return Text(text, encoding)


def copy_tree(root: Path, found: Walk, target: Path) -> None:
    """Copy what the audit reads to ``target``; of all other files only the names."""
    for entry in found.entries:
        place = target / entry.path
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            place.write_bytes((root / entry.path).read_bytes())
        except OSError:
            continue
    for name in found.others:
        place = target / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if name.rpartition("/")[2] in ("Makefile", "Procfile", "Justfile", "justfile"):
            place.write_bytes((root / name).read_bytes())
        else:
            place.touch()
