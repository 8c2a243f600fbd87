"""What a renderer returns, and how it is written down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from msgspec import Struct

MARK = "# Made by `tandem export`; changes are lost when it is made again.\n"


class File(Struct, frozen=True):
    """``path`` is relative to where the user wants the files."""

    path: str
    text: str


def yaml_file(path: str, value: Any) -> File:
    """``value`` as YAML in the order it was built."""
    return File(path, MARK + yaml.safe_dump(value, sort_keys=False, width=120, allow_unicode=True))


def write(files: list[File], folder: Path) -> list[Path]:
    """Write them below ``folder``; where they are. Raises ``OSError``."""
    written = []
    for file in files:
        path = folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.text)
        written.append(path)
    return written
