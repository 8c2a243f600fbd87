"""Our shape as YAML that reads well: short agents on one line, groups apart, comments kept."""

from __future__ import annotations

import yaml

from tandem.fleet.source import Entry, Mapping, Scalar, Sequence, Value

WIDTH = 110
"""An entry that fits this many columns stays on one line."""

_OPEN = ("machines", "groups", "agents", "defaults")
"""Keys whose content always gets lines of its own."""

_APART = ("machines", "defaults", "groups", "x-legacy")
"""Top-level keys with an empty line above; so has every group but the first."""


def dump(document: Mapping, trailing: tuple[str, ...] = ()) -> str:
    """``document`` as YAML text, with variables as written; ``trailing`` comments end it."""
    lines: list[str] = []
    for key, entry in document.entries.items():
        if key in _APART and lines:
            lines.append("")
        if key == "groups" and isinstance(entry.value, Mapping):
            lines += [*_above(entry, ""), "groups:", *_groups(entry.value)]
        else:
            lines += _entry(key, entry, 0)
    if trailing:
        lines += ["", *(_comment(text, "") for text in trailing)]
    return "\n".join(lines) + "\n"


def _groups(groups: Mapping) -> list[str]:
    lines: list[str] = []
    for key, entry in groups.entries.items():
        lines += ([""] if lines else []) + _entry(key, entry, 2)
    return lines


def _entry(key: str, entry: Entry, indent: int) -> list[str]:
    pad = " " * indent
    head = f"{pad}{_text(Scalar(entry.key_span, key, key))}:"
    value = entry.value
    line = f"{head} {_flow(value)}"
    structural = key in _OPEN or (isinstance(value, Mapping) and "agents" in value.entries)
    fits = len(line) <= WIDTH and not structural and not _has_comments(value)
    if isinstance(value, Scalar) or _is_empty(value) or fits:
        return [*_above(entry, pad), line]
    return [*_above(entry, pad), head, *_block(value, indent + 2)]


def _block(value: Mapping | Sequence, indent: int) -> list[str]:
    if isinstance(value, Mapping):
        return [line for key, entry in value.entries.items() for line in _entry(key, entry, indent)]
    pad = " " * indent
    lines: list[str] = []
    for item in value.items:
        line = f"{pad}- {_flow(item)}"
        if isinstance(item, Mapping) and item.entries and len(line) > WIDTH:
            inner = _block(item, indent + 2)
            lines += [f"{pad}- {inner[0].lstrip()}", *inner[1:]]
        else:
            lines.append(line)
    return lines


def _above(entry: Entry, pad: str) -> list[str]:
    return [_comment(text, pad) for text in entry.comments]


def _has_comments(value: Value) -> bool:
    if isinstance(value, Mapping):
        return any(entry.comments or _has_comments(entry.value) for entry in value.entries.values())
    return isinstance(value, Sequence) and any(map(_has_comments, value.items))


def _comment(text: str, pad: str) -> str:
    return f"{pad}# {text}".rstrip()


def _is_empty(value: Value) -> bool:
    return (isinstance(value, Mapping) and not value.entries) or (
        isinstance(value, Sequence) and not value.items
    )


def _flow(value: Value) -> str:
    """``value`` on one line."""
    if isinstance(value, Mapping):
        inner = (
            f"{_text(Scalar(e.key_span, key, key))}: {_flow(e.value)}" for key, e in value.entries.items()
        )
        return "{" + ", ".join(inner) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(_flow, value.items)) + "]"
    return _text(value)


def _text(scalar: Scalar) -> str:
    """A scalar as YAML, quoted only where another reader would misread it."""
    if scalar.plain and not isinstance(scalar.data, str):
        return scalar.text if scalar.data is not None else "null"
    dumped: str = yaml.safe_dump([scalar.text], default_flow_style=True, width=1 << 30, allow_unicode=True)
    return dumped.strip()[1:-1]
