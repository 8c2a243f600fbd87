"""Whether Python code in an answer is at least Python: parsed, never run."""

from __future__ import annotations

import ast
import re

_BLOCK = re.compile(r"```(?P<language>\w*)[^\n]*\n(?P<code>.*?)```", re.DOTALL)


def python_error(answer: str) -> str:
    """What the parser says about the first fenced Python block that does not parse; empty when all do."""
    for block in _BLOCK.finditer(answer):
        if block["language"].lower() not in ("python", "py", "python3"):
            continue
        try:
            ast.parse(block["code"])
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return f"{type(error).__name__}: {error}"
    return ""
