"""YAML and JSON with the place of every value, however broken the meaning may be."""

from __future__ import annotations

from collections.abc import Iterator

import yaml
from msgspec import Struct

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class Spot(Struct, frozen=True):
    """A 1-based place."""

    line: int
    column: int


class Value:
    """One node of a document: a mapping, a list or a scalar, and where it stands."""

    def __init__(self, node: yaml.Node) -> None:
        self._node = node
        self.spot = Spot(node.start_mark.line + 1, node.start_mark.column + 1)

    @property
    def is_mapping(self) -> bool:
        return isinstance(self._node, yaml.MappingNode)

    @property
    def is_list(self) -> bool:
        return isinstance(self._node, yaml.SequenceNode)

    def pairs(self, *, merged_too: bool = True) -> Iterator[tuple[str, Spot, Value]]:
        """(key, place of the key, value) of a mapping, merged (``<<``) ones behind; empty for anything else."""
        if not isinstance(self._node, yaml.MappingNode):
            return
        merged: list[Value] = []
        for key, value in self._node.value:
            if key.value == "<<":
                merged.extend([Value(value), *Value(value).items()])
            elif isinstance(key, yaml.ScalarNode):
                yield key.value, Spot(key.start_mark.line + 1, key.start_mark.column + 1), Value(value)
        for other in merged if merged_too else ():
            yield from other.pairs()

    def get(self, *names: str) -> Value | None:
        """The value at a path of keys; None as soon as one is missing."""
        here: Value | None = self
        for name in names:
            here = (
                next((value for key, _, value in here.pairs() if key == name), None)
                if here is not None
                else None
            )
        return here

    def items(self) -> list[Value]:
        """The elements of a list; empty for anything else."""
        return [Value(node) for node in self._node.value] if isinstance(self._node, yaml.SequenceNode) else []

    @property
    def text(self) -> str:
        """A scalar as written, without quotes; empty for anything else and for null."""
        if not isinstance(self._node, yaml.ScalarNode) or self._node.tag == "tag:yaml.org,2002:null":
            return ""
        return str(self._node.value)

    @property
    def is_true(self) -> bool:
        return self.text.lower() in ("true", "yes", "on")

    def texts(self) -> list[tuple[str, Spot]]:
        """The scalars of a list, or a scalar by itself."""
        if self.is_list:
            return [(item.text, item.spot) for item in self.items() if item.text]
        return [(self.text, self.spot)] if self.text else []


class Broken(Exception):
    """A document that cannot be read; ``spot`` says where."""

    def __init__(self, message: str, spot: Spot) -> None:
        super().__init__(message)
        self.message = message
        self.spot = spot


def document(text: str) -> Value | None:
    """The first document of ``text``; None when it is empty. Raises :class:`Broken`."""
    try:
        for node in yaml.compose_all(text, Loader=_LOADER):
            return Value(node) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        if "end of stream" in problem:
            mark = getattr(error, "context_mark", None) or mark
        spot = Spot(mark.line + 1, mark.column + 1) if mark is not None else Spot(1, 1)
        raise Broken(problem, spot) from error
    except (RecursionError, ValueError) as error:
        raise Broken(f"cannot be read: {error}", Spot(1, 1)) from error
    return None


def duplicate_keys(value: Value, depth: int = 40) -> Iterator[tuple[str, Spot, Spot]]:
    """(key, second place, first place) of every key that a mapping has twice."""
    if depth == 0:
        return
    seen: dict[str, Spot] = {}
    for key, spot, inner in value.pairs(merged_too=False):
        if key in seen:
            yield key, spot, seen[key]
        seen.setdefault(key, spot)
        yield from duplicate_keys(inner, depth - 1)
    for item in value.items():
        yield from duplicate_keys(item, depth - 1)
