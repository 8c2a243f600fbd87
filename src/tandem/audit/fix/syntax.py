"""Simple mistakes of syntax, mended where there is exactly one way.

Every place where a bracket or a colon could be put, and every level a line could be indented to, is tried. The mend is
certain when all tries that compile mean the same program (their syntax trees are equal) and the whole file then compiles.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tandem.audit.fix.edits import Patient
from tandem.audit.python.module import parse, verify
from tandem.audit.source import Kind, Source
from tandem.audit.syntax import Bracket, brackets

_CLOSERS = {"(": ")", "[": "]", "{": "}"}
_TOKENS = re.compile(r"""(?:[rbfuRBFU]{0,2}(?:"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))|\w+|\#.*|[^\w\s]""")
_HEADER = re.compile(
    r"^\s*(async\s+)?(if|elif|else|for|while|try|except|finally|with|def|class|match|case)\b"
)
_REACH = 40
"""Lines looked at below an open bracket; longer calls are not 'simple mistakes'."""
_TRIES = 400
_ROUNDS = 8


def mend(patient: Patient, suggest: bool) -> str:
    """``patient``'s text mended; unchanged when no mend is certain (or, with ``suggest``, none is found)."""
    text = patient.text
    certain = only_mend(text)
    if certain is not None or not suggest:
        return certain if certain is not None else text
    for _ in range(_ROUNDS):
        error = failure(text)
        if error is None:
            return text
        better = _furthest(text, error)
        if better is None:
            return patient.text
        text = better
    return text if failure(text) is None else patient.text


def failure(text: str) -> SyntaxError | None:
    """Why ``text`` does not compile; None when it does."""
    try:
        verify(parse(text))
    except SyntaxError as error:
        return error
    except (ValueError, RecursionError, MemoryError) as error:
        return SyntaxError(str(error), ("<text>", 1, 1, ""))
    return None


def only_mend(text: str) -> str | None:
    """The one mended text, or None when ``text`` compiles, or has no mend, or several that differ in meaning."""
    error = failure(text)
    if error is None:
        return None
    meanings: dict[str, str] = {}
    for candidate in candidates(text, error, moves=False):
        if failure(candidate) is None:
            meanings.setdefault(ast.dump(parse(candidate)), candidate)
            if len(meanings) > 1:
                return None
    return next(iter(meanings.values())) if meanings else None


def _furthest(text: str, error: SyntaxError) -> str | None:
    """The candidate after which compiling gets furthest, if it gets further at all."""
    best: tuple[int, str] | None = None
    for candidate in candidates(text, error):
        after = failure(candidate)
        if after is None:
            return candidate
        reached = after.lineno or 0
        if reached > (error.lineno or 0) + 1 and (best is None or reached > best[0]):
            best = (reached, candidate)
    return best[1] if best is not None else None


def candidates(text: str, error: SyntaxError, *, moves: bool = True) -> list[str]:
    """Every text one simple mend away, likelier ones first; with ``moves`` also such as reorder the tokens."""
    lines = Source("", text, Kind.PYTHON).lines
    newline = "\r\n" if "\r\n" in text else "\n"
    found: dict[str, None] = {}
    pasted = _pasted(lines) if moves else ()
    for changed in (*_brackets(text, lines), *_colons(lines, error), *_indents(lines, error), *pasted):
        found.setdefault(newline.join(changed))
        if len(found) >= _TRIES:
            break
    found.pop(text, None)
    return list(found)


def _brackets(text: str, lines: list[str]) -> Iterator[list[str]]:
    """Closing brackets put in, taken out, or one changed for the right one."""
    opened, stray = brackets(text)
    if stray is not None:
        yield from _without(lines, stray)
        if opened and _CLOSERS[opened[-1].text] != stray.text:
            line, column = stray.line - 1, stray.column - 1
            right = _CLOSERS[opened[-1].text]
            yield _with(lines, line, lines[line][:column] + right + lines[line][column + 1 :])
    for count in range(1, min(len(opened), 3) + 1):
        last = opened[-1]
        closers = "".join(_CLOSERS[item.text] for item in reversed(opened[-count:]))
        for number in range(last.line - 1, min(len(lines), last.line - 1 + _REACH)):
            for place in reversed(_boundaries(lines[number])):
                if number > last.line - 1 or place > last.column - 1:
                    yield _with(lines, number, lines[number][:place] + closers + lines[number][place:])


def _without(lines: list[str], stray: Bracket) -> Iterator[list[str]]:
    """One or more of the brackets that stand together, on the line of the stray one or shortly above."""
    for number in range(max(0, stray.line - 3), stray.line):
        for match in re.finditer(re.escape(stray.text) + "+", lines[number]):
            for count in range(1, len(match.group()) + 1):
                yield _with(
                    lines, number, lines[number][: match.end() - count] + lines[number][match.end() :]
                )


def _boundaries(line: str) -> list[int]:
    """Offsets right behind each token of a line that is not a comment."""
    return [match.end() for match in _TOKENS.finditer(line) if not match.group().startswith("#")]


def _colons(lines: list[str], error: SyntaxError) -> Iterator[list[str]]:
    """The colon that opens a block."""
    for number in {(error.lineno or 1) - 1, (error.lineno or 1) - 2}:
        if 0 <= number < len(lines) and _HEADER.match(lines[number]):
            for place in reversed(_boundaries(lines[number])):
                yield _with(lines, number, lines[number][:place] + ":" + lines[number][place:])


def _indents(lines: list[str], error: SyntaxError) -> Iterator[list[str]]:
    """The lines from the mistake on, moved to another level: one line, two lines, and so on to the end of their block."""
    if not isinstance(error, IndentationError):
        return
    start = (error.lineno or 1) - 1
    if not 0 <= start < len(lines):
        return
    here = _depth(lines[start])
    levels = sorted(
        {_depth(line) for line in lines[max(0, start - 200) : start] if line.strip()}
        | {_header_level(lines, start)}
    )
    for level in reversed(levels):
        if level != here:
            yield from _moved(lines, start, here, level)


def _header_level(lines: list[str], start: int) -> int:
    """Where the body of the block opened last above ``start`` belongs."""
    for number in range(start - 1, -1, -1):
        if lines[number].rstrip().endswith(":") and _HEADER.match(lines[number]):
            return _depth(lines[number]) + 4
    return 4


def _moved(lines: list[str], start: int, here: int, level: int) -> Iterator[list[str]]:
    changed = list(lines)
    for number in range(start, min(len(lines), start + _REACH)):
        if not lines[number].strip():
            continue
        depth = _depth(lines[number])
        if number > start and depth < here:
            return
        changed[number] = " " * (level + depth - here) + lines[number].lstrip()
        yield list(changed)


def _pasted(lines: list[str]) -> Iterator[list[str]]:
    """``class Name(`` + docstring + ``Base):``, as a careless script left it: the docstring goes into the body."""
    text = "\n".join(lines)
    pattern = re.compile(
        r'(?m)^(?P<indent>[ \t]*)class (?P<name>\w+)\(\s*(?P<doc>"""(?:.|\n)*?"""|\'\'\'(?:.|\n)*?\'\'\')\s*(?P<bases>[\w., ]*)\):'
    )
    for match in pattern.finditer(text):
        head = f"{match['indent']}class {match['name']}({match['bases'].strip()}):"
        mended = f"{text[: match.start()]}{head}\n{match['indent']}    {match['doc']}{text[match.end() :]}"
        yield mended.split("\n")


def _depth(line: str) -> int:
    return len(line.expandtabs(8)) - len(line.expandtabs(8).lstrip())


def _with(lines: list[str], number: int, line: str) -> list[str]:
    return [*lines[:number], line, *lines[number + 1 :]]
