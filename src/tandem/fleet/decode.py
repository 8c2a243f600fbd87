"""Located values to typed structs, collecting every problem instead of stopping at the first.

Driven by type hints: structs, mappings and lists are walked here so that each problem points at its own spot;
single values are judged by ``msgspec.convert``, so constraints written with ``msgspec.Meta`` hold.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from tandem.fleet import source
from tandem.fleet.diagnostics import Path, Report, Span, did_you_mean
from tandem.fleet.source import Scalar, Sequence, Value
from tandem.fleet.words import describe_type, describe_value, join_or

BAD: Any = UNSET
"""Stands for a value that was reported and cannot be used."""

_BOOL_WORDS = {"yes": True, "on": True, "no": False, "off": False}
_AT = re.compile(r"^(?P<what>.*?) - at `(?P<where>\$.*)`$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]")


class Place(Struct, frozen=True):
    """Where a value and its key stand, and the variables it was expanded from."""

    span: Span
    key_span: Span | None = None
    variables: tuple[str, ...] = ()


Prepare = Callable[[Scalar, Mapping[str, Any], Path], Scalar | None]
"""Expands variables in a scalar, given the marks (``Meta.extra``) of the field it fills; None after a report."""


class Decoder:
    """Decodes one document; ``places`` afterwards says where each path was written.

    ``literal`` demands the exact type: settings are handed to agents as they are read, so a number must not
    pass for text there. Otherwise text fields take any single value as written, and ``yes``/``no`` are booleans.
    """

    def __init__(self, report: Report, prepare: Prepare, *, literal: bool = False):
        self.report = report
        self.places: dict[Path, Place] = {}
        self._prepare = prepare
        self._literal = literal

    def decode(self, value: Value, hint: Any, path: Path = (), key_span: Span | None = None) -> Any:
        """``value`` as ``hint``, or :data:`BAD` after reporting why not."""
        hint, marks, metas = _strip(hint)
        choices = _choices(hint)
        self.places[path] = Place(value.span, key_span)
        if isinstance(value, Scalar):
            prepared = self._prepare(value, marks | _marks(choices), path)
            if prepared is None:
                return BAD
            value = prepared
            self.places[path] = Place(value.span, key_span, value.variables)
        if hint is Any or hint is object:
            return self._anything(value, path)
        if isinstance(value, Scalar):
            return self._scalar(value, choices, hint, metas, path)
        if isinstance(value, Sequence):
            return self._sequence(value, choices, hint, metas, path)
        return self._mapping(value, choices, hint, path)

    def _anything(self, value: Value, path: Path) -> Any:
        if isinstance(value, Scalar):
            return value.data
        if isinstance(value, Sequence):
            return [self.decode(item, Any, (*path, at)) for at, item in enumerate(value.items)]
        return {
            key: self.decode(entry.value, Any, (*path, key), entry.key_span)
            for key, entry in value.entries.items()
        }

    def _scalar(
        self, scalar: Scalar, choices: tuple[Any, ...], hint: Any, metas: tuple[Meta, ...], path: Path
    ) -> Any:
        if scalar.data is None and not self._literal and (empty := _empty(choices)) is not None:
            return empty
        words = _literals(choices)
        if words and scalar.text in words and scalar.data is not None:
            return words[scalar.text]
        for data in self._readings(scalar, choices):
            try:
                return msgspec.convert(data, _annotate(hint, metas))
            except msgspec.ValidationError:
                continue
        if words and isinstance(scalar.data, str):
            only_words = len(words) == len(choices) or len(choices) == 1
            choose = f"Choose {join_or(words)}." if only_words else ""
            suggestion = did_you_mean(scalar.text, words) or choose
            self._wrong(f'"{scalar.text}" is not {describe_type(hint)}', scalar.span, path, suggestion)
            return BAD
        self._mismatch(scalar, hint, metas, path)
        return BAD

    def _readings(self, scalar: Scalar, choices: tuple[Any, ...]) -> list[Any]:
        """What the scalar may mean, likeliest first."""
        if self._literal or scalar.data is None:
            return [scalar.data]
        readings = [source.plain_data(scalar.text) if scalar.variables else scalar.data]
        if bool in choices and scalar.text.lower() in _BOOL_WORDS:
            readings.append(_BOOL_WORDS[scalar.text.lower()])
        if any(_strip(choice)[0] is str for choice in choices):
            readings.append(scalar.text)
        return readings

    def _sequence(
        self, value: Sequence, choices: tuple[Any, ...], hint: Any, metas: tuple[Meta, ...], path: Path
    ) -> Any:
        for choice in choices:
            inner, _, inner_metas = _strip(choice)
            if inner is list or get_origin(inner) is list:
                item_hint = (get_args(inner) or (Any,))[0]
                items = [self.decode(item, item_hint, (*path, at)) for at, item in enumerate(value.items)]
                if any(item is BAD for item in items):
                    return BAD
                return self._whole(items, list[Any], inner_metas or metas, value, path)
        if _is_opaque(choices):
            return self._whole(self._anything(value, path), hint, metas, value, path)
        self._mismatch(value, hint, metas, path)
        return BAD

    def _mapping(self, value: source.Mapping, choices: tuple[Any, ...], hint: Any, path: Path) -> Any:
        structs = [choice for choice in choices if _is_struct(choice)]
        if len(structs) == 1 and structs[0].__struct_config__.tag is None:
            return self.struct(value, structs[0], path)
        for choice in choices:
            inner = _strip(choice)[0]
            if inner is dict or get_origin(inner) in (dict, Mapping):
                item_hint = (get_args(inner) or (str, Any))[1]
                named = any(_is_struct(part) for part in _choices(_strip(item_hint)[0]))
                found = {
                    key: self.decode(entry.value, item_hint, (*path, key), entry.key_span)
                    for key, entry in value.entries.items()
                    if not (named and key.startswith("x-"))
                }
                return {key: item for key, item in found.items() if named or item is not BAD}
        if _is_opaque(choices):
            return self._whole(self._anything(value, path), hint, (), value, path)
        self._mismatch(value, hint, (), path)
        return BAD

    def struct(self, value: source.Mapping, kind: type[Struct], path: Path) -> Any:
        """``value`` as ``kind``; a bad field takes its default so that the rest can be judged too."""
        fields = _fields(kind)
        arguments: dict[str, Any] = {}
        for key, entry in value.entries.items():
            if key in fields:
                field = fields[key]
                found = self.decode(entry.value, field.type, (*path, key), entry.key_span)
                if found is not BAD:
                    arguments[field.name] = found
            elif self._literal or not key.startswith("x-"):
                self._unknown(key, entry.key_span, fields, (*path, key))
        broken = False
        for key, field in fields.items():
            if field.required and field.name not in arguments:
                broken = True
                if key not in value.entries:
                    self.report.error("missing-key", f'"{key}" is missing', value.span, path=(*path, key))
        if broken:
            return BAD
        try:
            return kind(**arguments)
        except (ValueError, TypeError) as error:
            self._wrong(str(error), value.span, path)
            return BAD

    def _whole(self, data: Any, hint: Any, metas: tuple[Meta, ...], value: Value, path: Path) -> Any:
        """``data`` judged as a whole by msgspec; its error is placed by the path it names."""
        try:
            return msgspec.convert(data, _annotate(hint, metas))
        except msgspec.ValidationError as error:
            match = _AT.match(str(error))
            where = path + (_steps(match["where"]) if match else ())
            place = self.places.get(where, Place(value.span))
            what = match["what"] if match else str(error)
            self._wrong(what[:1].lower() + what[1:], place.span, where)
            return BAD

    def _unknown(self, key: str, span: Span, known: Mapping[str, Any], path: Path) -> None:
        suggestion = did_you_mean(key, known)
        if not suggestion:
            suggestion = f"Known here: {', '.join(known)}." if known else "Nothing can be set here."
        self.report.error("unknown-key", f'unknown key "{key}"', span, path=path, suggestion=suggestion)

    def _mismatch(self, value: Value, hint: Any, metas: tuple[Meta, ...], path: Path) -> None:
        expected = describe_type(_annotate(hint, metas))
        suggestion = ""
        if (
            isinstance(value, Scalar)
            and not value.plain
            and not value.variables
            and isinstance(value.data, str)
        ):
            unquoted = source.plain_data(value.text)
            if not isinstance(unquoted, str) and unquoted is not None:
                suggestion = "Remove the quotes."
        if (
            isinstance(value, Scalar)
            and self._literal
            and not isinstance(value.data, str)
            and "text" in expected
        ):
            suggestion = f'Put it in quotes: "{value.text}".'
        if isinstance(value, Scalar) and value.text and expected.startswith("a list"):
            suggestion = f"Write [{value.text}]."
        self._wrong(f"expected {expected}, got {describe_value(value)}", value.span, path, suggestion)

    def _wrong(self, message: str, span: Span, path: Path, suggestion: str = "") -> None:
        self.report.error("wrong-value", message, span, path=path, suggestion=suggestion)


@lru_cache(maxsize=256)
def _fields(kind: type[Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    return {field.encode_name: field for field in msgspec.structs.fields(kind)}


def _strip(hint: Any) -> tuple[Any, dict[str, Any], tuple[Meta, ...]]:
    """A hint without its annotations, the marks among them, and the constraints."""
    if get_origin(hint) is not Annotated:
        return hint, {}, ()
    inner, *notes = get_args(hint)
    metas = tuple(note for note in notes if isinstance(note, Meta))
    marks: dict[str, Any] = {}
    for meta in metas:
        marks.update(meta.extra or {})
    return inner, marks, metas


def _marks(choices: tuple[Any, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for choice in choices:
        found.update(_strip(choice)[1])
    return found


def _empty(choices: tuple[Any, ...]) -> Any:
    """What a key with nothing after it means where a mapping or a list belongs; None elsewhere."""
    for choice in choices:
        inner = _strip(choice)[0]
        if inner in (dict, list) or get_origin(inner) in (dict, list):
            return (get_origin(inner) or inner)()
        if _is_struct(inner) and len(choices) == 1 and not any(f.required for f in _fields(inner).values()):
            return inner()
    return None


def _annotate(hint: Any, metas: tuple[Meta, ...]) -> Any:
    for meta in metas:
        hint = Annotated[hint, meta]
    return hint


def _choices(hint: Any) -> tuple[Any, ...]:
    """The members of a union, without null and unset; the hint itself otherwise."""
    if get_origin(hint) in (Union, types.UnionType):
        return tuple(part for part in get_args(hint) if part not in (type(None), UnsetType))
    return (hint,)


def _literals(choices: tuple[Any, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for choice in choices:
        inner = _strip(choice)[0]
        if get_origin(inner) is Literal:
            found.update({str(word): word for word in get_args(inner)})
    return found


def _is_struct(choice: Any) -> bool:
    return isinstance(choice, type) and issubclass(choice, Struct)


def _is_opaque(choices: tuple[Any, ...]) -> bool:
    """Whether msgspec alone must judge: sets, tuples, tagged unions, dataclasses and the like."""
    return any(not _is_walkable(_strip(choice)[0]) for choice in choices)


def _is_walkable(hint: Any) -> bool:
    if hint in (str, int, float, bool, bytes, list, dict) or get_origin(hint) in (
        Literal,
        list,
        dict,
        Mapping,
    ):
        return True
    return _is_struct(hint) and hint.__struct_config__.tag is None


def _steps(where: str) -> Path:
    """msgspec's ``$.a[0].b`` as a path; a step it does not name (``[...]``) ends it."""
    found: list[str | int] = []
    for key, index in _STEP.findall(where):
        if index == "...":
            break
        found.append(key or int(index))
    return tuple(found)
