"""How settings name a secret instead of containing it: what a reference looks like, and where references are.

``tandem.security.secrets`` says what each kind means and resolves it; whoever only looks needs no cryptography for that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

REFERENCE: Final = re.compile(r"(secret|secret-file|secret-env):(.+)", re.DOTALL)


def is_reference(value: str) -> bool:
    """Whether a setting's text names a secret instead of being one."""
    return REFERENCE.fullmatch(value) is not None


def references(value: Any) -> Iterator[str]:
    """Every reference in ``value`` (plain data), however deep."""
    if isinstance(value, str):
        if is_reference(value):
            yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from references(inner)


def hidden_names(value: Any) -> set[str]:
    """Names of environment variables that ``value`` refers to as secrets."""
    found = filter(None, map(REFERENCE.fullmatch, references(value)))
    return {match[2] for match in found if match[1] == "secret-env"}
