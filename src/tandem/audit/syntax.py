"""Why a file does not compile, in words that name the true cause.

The interpreter reports where it gave up, which may be hundreds of lines after the mistake. Two cheap readings find
the mistake itself: which bracket was never closed, and which line broke the indentation.
"""

from __future__ import annotations

import re

from msgspec import Struct

from tandem.audit.source import Source

_OPEN = {"(": ")", "[": "]", "{": "}"}
_CLOSE = {")": "(", "]": "[", "}": "{"}
_HEADER = re.compile(r"\s*(async\s+)?(if|elif|else|for|while|try|except|finally|with|def|class|match|case)\b")


class Mistake(Struct, frozen=True):
    """Where (1-based) and what; ``likely`` is a guess at the cause, empty when the message says it all."""

    line: int
    column: int
    message: str
    likely: str = ""


class Bracket(Struct, frozen=True):
    """A bracket at a 1-based place."""

    text: str
    line: int
    column: int


def explain(source: Source, error: BaseException) -> Mistake:
    """The mistake behind the exception that parsing ``source`` raised."""
    if "\x00" in source.text:
        line = source.text[: source.text.index("\x00")].count("\n") + 1
        return Mistake(
            line, 1, "the file contains NUL bytes", "it was cut off or overwritten, or it is not text"
        )
    if not isinstance(error, SyntaxError):
        return Mistake(1, 1, f"cannot be parsed: {error or type(error).__name__}", "nested too deeply")
    line, column = error.lineno or 1, max(1, error.offset or 1)
    message = (error.msg or "invalid syntax").removeprefix("unexpected ")
    opened, stray = brackets(source.text)
    near = source.line(line)
    if _python2(source, line):
        return Mistake(line, column, message, "written for Python 2")
    if isinstance(error, IndentationError):
        return _indentation(source, line, column, message)
    if "was never closed" in message or (opened and "EOF" in message):
        return _unclosed(source, line, column, message, opened)
    if stray is not None and ("unmatched" in message or "does not match" in message):
        return Mistake(stray.line, stray.column, message, _stray_cause(stray, opened))
    if opened and opened[-1].line < line:
        return Mistake(
            line, column, message, f"{opened[-1].text!r} opened on line {opened[-1].line} is never closed"
        )
    if "expected ':'" in message:
        return Mistake(line, column, message, "the line that opens a block lacks its colon")
    if _CONFLICT.match(near):
        return Mistake(line, 1, message, "an unresolved merge conflict")
    if "unterminated" in message or "string literal" in message:
        return Mistake(
            line, column, message, "a quote is missing, or a text over several lines needs three quotes"
        )
    return Mistake(line, column, message, _odd_header(source, line))


_CONFLICT = re.compile(r"(<{7}|={7}|>{7})( |$)")
_PYTHON2 = re.compile(
    r"""^\s*(print\s+["'\w%(]|print\s*>>|exec\s+["'\w]|raise\s+\w[\w.]*\s*,|except\s+[\w.()\s,]+\s*,\s*\w+\s*:)"""
    r"""|\bur["']|<>|(?<![\w.])0[0-7]+[lL]?(?![\w.])|(?<![\w.])\d+[lL]\b|`[^`]+`"""
)


def _python2(source: Source, line: int) -> bool:
    near = source.line(line)
    if "#" in near:
        near = near[: near.index("#")]
    return _PYTHON2.search(near) is not None and "f'" not in near and 'f"' not in near


def _indentation(source: Source, line: int, column: int, message: str) -> Mistake:
    after = re.search(r"after (?:'(\w+)' statement|(function|class) definition|(.+?)) on line (\d+)", message)
    if "expected an indented block" in message and after:
        what = after.group(1) or after.group(2) or after.group(3)
        return Mistake(line, column, message, f"missing indent after `{what}` on line {after.group(4)}")
    if "unindent does not match" in message:
        return Mistake(
            line, column, message, "this line is indented less than its block, yet by no level used above"
        )
    if "unexpected indent" in message or message == "indent":
        return Mistake(line, column, "unexpected indent", _why_indented(source, line))
    return Mistake(line, column, message, "tabs and spaces are mixed" if "\t" in source.line(line) else "")


def _why_indented(source: Source, line: int) -> str:
    for number in range(line - 1, max(0, line - 6), -1):
        text = source.line(number).strip()
        if text and not text.startswith("#"):
            if text.startswith(
                ("def ", "class ", "if ", "for ", "while ", "with ", "try")
            ) and not text.endswith(":"):
                return f"line {number} opens a block but lacks its colon"
            return f"line {number} does not open a block, so this line must not be indented deeper"
    return "nothing above opens a block"


def _unclosed(source: Source, line: int, column: int, message: str, opened: list[Bracket]) -> Mistake:
    if not opened:
        return Mistake(line, column, message)
    last = opened[-1]
    ends = _statement_end(source, last)
    where = f"; the statement seems to end on line {ends}" if ends else ""
    return Mistake(
        last.line,
        last.column,
        f"{last.text!r} was never closed",
        f"{last.text!r} opened on line {last.line}{where}",
    )


def _statement_end(source: Source, bracket: Bracket) -> int:
    """The last line before one that can only begin a new statement at the bracket's own indentation or less."""
    indent = len(source.line(bracket.line)) - len(source.line(bracket.line).lstrip())
    for number in range(bracket.line + 1, min(len(source.lines), bracket.line + 200) + 1):
        text = source.line(number)
        if not text.strip():
            continue
        depth = len(text) - len(text.lstrip())
        if depth <= indent and re.match(
            r"\s*(def|class|if|for|while|try|return|import|from|with|@|\w[\w.]*\s*=[^=])", text
        ):
            return number - 1
    return 0


def _stray_cause(stray: Bracket, opened: list[Bracket]) -> str:
    if opened and opened[-1].text in _OPEN and _OPEN[opened[-1].text] != stray.text:
        return f"{opened[-1].text!r} opened on line {opened[-1].line} is closed by {stray.text!r}"
    return f"one {stray.text!r} too many on line {stray.line}"


def _odd_header(source: Source, line: int) -> str:
    near = source.line(line).strip()
    before = source.line(line - 1).strip()
    if re.match(r"class\s+\w+\s*\($", before) and near.startswith(('"""', "'''")):
        return "a docstring was pasted between `class Name(` and its bases"
    if _HEADER.match(near) and not near.split("#")[0].rstrip().endswith((":", "\\", ",", "(")):
        return "the line that opens a block may lack its colon"
    if before.endswith(("\\",)):
        return "the line before ends with a backslash"
    return ""


_TOKEN = re.compile(
    r"""(?P<comment>\#[^\n]*)
    |(?P<string>[rbfuRBFU]{0,2}(?:\"\"\"(?:[^\\]|\\.)*?\"\"\"|'''(?:[^\\]|\\.)*?'''|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    |(?P<bracket>[()\[\]{}])""",
    re.VERBOSE | re.DOTALL,
)


def brackets(text: str) -> tuple[list[Bracket], Bracket | None]:
    """The brackets still open at the end, or at the first closing one that fits none; and that one."""
    opened: list[Bracket] = []
    line, line_start, seen = 1, 0, 0
    for match in _TOKEN.finditer(text):
        newlines = text.count("\n", seen, match.start())
        if newlines:
            line += newlines
            line_start = text.rfind("\n", seen, match.start()) + 1
        seen = match.start()
        symbol = match.group("bracket")
        if symbol is None:
            continue
        here = Bracket(symbol, line, match.start() - line_start + 1)
        if symbol in _OPEN:
            opened.append(here)
        elif opened and opened[-1].text == _CLOSE[symbol]:
            opened.pop()
        else:
            return opened, here
    return opened, None
