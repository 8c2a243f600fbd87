"""YAML text to values that remember where they were written.

``yaml.compose`` gives nodes with marks; this module turns them into three small types, flattens merge keys
(``<<``), reports duplicate keys, and reads plain scalars by the YAML 1.2 core schema, so that ``country: no``
stays a word. Nothing is constructed: no tag can run code.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from msgspec import Struct, field

from tandem.fleet.diagnostics import Path, Report, Span

MAX_BYTES = 1 << 20
"""A fleet file larger than this is a mistake: 1,000 agents take about 150 KiB."""

MAX_DEPTH = 40
"""Nesting beyond this is refused before the recursive composer sees it."""

MAX_VALUES = 200_000
"""Bound on values after aliases are expanded, so that a few lines cannot grow into gigabytes."""

Data = str | int | float | bool | None


class Scalar(Struct):
    """A single value: ``text`` as written, ``data`` as YAML understands it, ``variables`` it was expanded from."""

    span: Span
    text: str
    data: Data
    plain: bool = True
    variables: tuple[str, ...] = ()


class Sequence(Struct):
    """A list; ``span`` covers where it begins."""

    span: Span
    items: list[Value] = field(default_factory=list)


class Entry(Struct):
    """A key's place and its value; ``comments`` are filled only for rewriting the file."""

    key_span: Span
    value: Value
    comments: tuple[str, ...] = ()


class Mapping(Struct):
    """Keys in the order of the text; ``span`` covers the opening line."""

    span: Span
    entries: dict[str, Entry] = field(default_factory=dict)

    def get(self, key: str) -> Value | None:
        entry = self.entries.get(key)
        return None if entry is None else entry.value


Value = Scalar | Sequence | Mapping

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+")
_INT_BASE = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"
)
_MERGE = "tag:yaml.org,2002:merge"


def plain_data(text: str) -> Data:
    """A plain scalar by the YAML 1.2 core schema (https://yaml.org/spec/1.2.2/#103-core-schema)."""
    if _NULL.fullmatch(text):
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    if _INT_BASE.fullmatch(text):
        return int(text, 0)
    if _FLOAT.fullmatch(text):
        return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text


def parse(text: str, report: Report) -> Value | None:
    """The document in ``text``; None when it is empty or cannot be parsed (both are reported)."""
    try:
        if not _shallow(text, report):
            return None
        node = yaml.compose(text, Loader=_Loader)
    except yaml.reader.ReaderError as error:
        _report_bad_character(text, error, report)
        return None
    except yaml.MarkedYAMLError as error:
        _report_syntax(error, report)
        return None
    if node is None:
        report.error("empty", "the file is empty", None, suggestion="Start with: fleet: my-fleet")
        return None
    return _Reader(report).value(node, ())


_Loader: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def _shallow(text: str, report: Report) -> bool:
    """Whether nesting stays within bounds; the composer in C would overflow its stack otherwise."""
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                span = _at(event.start_mark)
                report.error("yaml-syntax", f"nested more than {MAX_DEPTH} levels deep", span)
                return False
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    return True


class _Reader:
    """Turns nodes into values; shared nodes (aliases) are read once per use, within :data:`MAX_VALUES`."""

    def __init__(self, report: Report):
        self._report = report
        self._count = 0
        self._overflowed = False

    def value(self, node: yaml.Node, path: Path) -> Value:
        self._count += 1
        span = _span(node)
        if self._count > MAX_VALUES or len(path) > MAX_DEPTH:
            if not self._overflowed:
                self._report.error("yaml-syntax", "anchors expand without end", span)
            self._overflowed = True
            return Scalar(span, "", None)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, span, path)
        if isinstance(node, yaml.SequenceNode):
            return Sequence(span, [self.value(item, (*path, at)) for at, item in enumerate(node.value)])
        plain = isinstance(node, yaml.ScalarNode) and not node.style
        return Scalar(span, node.value, plain_data(node.value) if plain else node.value, plain)

    def _mapping(self, node: yaml.MappingNode, span: Span, path: Path) -> Mapping:
        merged: dict[str, Entry] = {}
        own: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            key_span = _span(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self._report.error("yaml-syntax", "a key must be a single word or text", key_span, path=path)
            elif key_node.tag == _MERGE:
                merged = self._merged(value_node, path) | merged
            elif key_node.value in own:
                self._duplicate(key_node.value, key_span, own[key_node.value].key_span, path)
            else:
                own[key_node.value] = Entry(key_span, self.value(value_node, (*path, key_node.value)))
        return Mapping(span, own | {key: entry for key, entry in merged.items() if key not in own})

    def _merged(self, node: yaml.Node, path: Path) -> dict[str, Entry]:
        """What ``<<: node`` adds; of several mappings the earlier one wins (https://yaml.org/type/merge.html)."""
        if isinstance(node, yaml.MappingNode):
            whole = self.value(node, (*path, "<<"))
            return whole.entries if isinstance(whole, Mapping) else {}
        if isinstance(node, yaml.SequenceNode):
            together: dict[str, Entry] = {}
            for item in node.value:
                for key, entry in self._merged(item, path).items():
                    together.setdefault(key, entry)
            return together
        self._report.error("yaml-syntax", "<< takes a mapping or a list of mappings", _span(node), path=path)
        return {}

    def _duplicate(self, key: str, span: Span, first: Span, path: Path) -> None:
        self._report.error(
            "duplicate-key",
            f'"{key}" is written twice',
            span,
            path=(*path, key),
            suggestion="Only one of them would count; remove or rename the other.",
            related=(self._report.related("first written here", first),),
        )


def _span(node: yaml.Node) -> Span:
    start, end = node.start_mark, node.end_mark
    column = start.column + 1
    flow = isinstance(node, yaml.ScalarNode) or bool(
        isinstance(node, yaml.CollectionNode) and node.flow_style
    )
    end_column = end.column + 1 if flow and end.line == start.line else column + 1
    return Span(start.line + 1, column, max(end_column, column + 1))


def _report_bad_character(text: str, error: yaml.reader.ReaderError, report: Report) -> None:
    position = min(error.position, len(text))
    before = text[:position]
    column = position - (before.rfind("\n") + 1) + 1
    report.error(
        "yaml-syntax",
        f"the character U+{ord(text[position : position + 1] or chr(0)):04X} is not allowed in YAML",
        Span(before.count("\n") + 1, column, column + 1),
    )


_HINTS = (
    (
        "mapping values are not allowed",
        'Put the text in quotes if it contains ": ", or mend the indentation.',
    ),
    ("undefined alias", "Define the anchor (&name) above its first use."),
    ("did not find expected key", "Check the indentation of this line against the lines above."),
    ("expected a single document", 'A fleet file is one document; remove the line "---".'),
    ("quoted scalar", "The closing quote is missing."),
    (
        "did not find expected ',' or ']'",
        "A list in [ ] needs commas between its items and a closing bracket.",
    ),
    (
        "did not find expected ',' or '}'",
        "A mapping in { } needs commas between its items and a closing brace.",
    ),
)


def _at(mark: Any) -> Span:
    """One character at a mark; the start of the text without one."""
    return Span(1, 1, 2) if mark is None else Span(mark.line + 1, mark.column + 1, mark.column + 2)


def _report_syntax(error: yaml.MarkedYAMLError, report: Report) -> None:
    span = _at(error.problem_mark or error.context_mark)
    ahead = report.source.line(span.line)[: span.column]
    if "\t" in ahead and not ahead.strip():
        advice = "YAML indents with spaces only."
        report.error("tab", "a tab is used for indentation", span, suggestion=advice)
        return
    words = " ".join(part for part in (error.problem, error.context) if part) or "not valid YAML"
    hint = next((text for sign, text in _HINTS if sign in words), "")
    if "flow" in words and "${" in report.source.line(span.line):
        hint = 'Inside { } and [ ] a variable needs quotes: "${NAME}".'
    start = _at(error.context_mark)
    related = (report.related("it begins here", start),) if error.context and start != span else ()
    report.error("yaml-syntax", words, span, suggestion=hint, related=related)
