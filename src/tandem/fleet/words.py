"""Types and values in words a person uses: "a whole number from 1 to 65535", "a list"."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from msgspec import Meta, UnsetType

from tandem.fleet.source import Scalar, Sequence, Value

_NAMES: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def join_or(words: Iterable[str]) -> str:
    """``a``, ``a or b``, ``a, b or c``."""
    *first, last = words
    return f"{', '.join(first)} or {last}" if first else last


def describe_type(hint: Any) -> str:
    """What a hint accepts."""
    if get_origin(hint) is Annotated:
        inner, *notes = get_args(hint)
        for note in notes:
            if isinstance(note, Meta) and note.title is not None:
                return note.title
        return describe_type(inner) + "".join(_bounds(note) for note in notes if isinstance(note, Meta))
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        parts = [part for part in get_args(hint) if part not in (type(None), UnsetType)]
        return join_or(dict.fromkeys(describe_type(part) for part in parts))
    if origin is Literal:
        return join_or(str(word) for word in get_args(hint))
    if hint in _NAMES:
        return _NAMES[hint]
    if hint is list or origin is list:
        item = describe_type((get_args(hint) or (Any,))[0])
        return "a list" if item == "anything" else f"a list of {_plural(item)}"
    if hint is Any:
        return "anything"
    if hint is dict or origin in (dict, Mapping) or hasattr(hint, "__struct_fields__"):
        return "a mapping (key: value)"
    return str(getattr(hint, "__name__", hint))


def describe_value(value: Value) -> str:
    """What was written."""
    if isinstance(value, Sequence):
        return "a list"
    if not isinstance(value, Scalar):
        return "a mapping"
    if value.data is None:
        return "nothing"
    if isinstance(value.data, bool):
        return value.text
    shown = value.text if len(value.text) <= 40 else value.text[:37] + "..."
    return f"the number {shown}" if isinstance(value.data, int | float) else f'the text "{shown}"'


def _plural(item: str) -> str:
    return item.removeprefix("a ").replace("whole number", "whole numbers").replace("mapping", "mappings")


def _bounds(meta: Meta) -> str:
    if meta.ge is not None and meta.le is not None:
        return f" from {meta.ge} to {meta.le}"
    if meta.gt is not None and meta.le is not None:
        return f" above {meta.gt}, at most {meta.le}"
    for limit, words in (
        (meta.ge, "of at least"),
        (meta.gt, "above"),
        (meta.le, "of at most"),
        (meta.lt, "below"),
    ):
        if limit is not None:
            return f" {words} {limit}"
    if meta.pattern is not None:
        return f" of the form {meta.pattern}"
    if meta.min_length == 1:
        return ", not empty"
    return f" of at most {meta.max_length} characters" if meta.max_length is not None else ""
