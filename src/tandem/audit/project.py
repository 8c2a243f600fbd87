"""The whole tree, as the rules that look across files see it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from functools import cached_property
from pathlib import Path

from msgspec import Struct

from tandem.audit.entries import Entries, find_entries
from tandem.audit.fleet.compose import ComposeFile, read_compose
from tandem.audit.fleet.shapes import Declared, FleetFile, read_fleet_file
from tandem.audit.fleet.sniff import TextFacts
from tandem.audit.python.facts import ModuleFacts
from tandem.audit.python.index import Index
from tandem.audit.python.points_to import PointsTo, Read
from tandem.audit.source import Kind, is_test_path


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[tool.tandem.audit]`` of the tree's own ``pyproject.toml``.

    ``exclude`` and ``pool`` are shell patterns of paths; files matching ``pool`` may open raw sockets.
    ``base_classes`` names the common agent base when it is not called ``BaseAgent``; ``entry_points`` are files or
    dotted modules that something outside the tree runs. ``ignore`` maps a pattern of paths to the rules (or patterns of
    rules) that do not hold there.
    """

    exclude: tuple[str, ...] = ()
    pool: tuple[str, ...] = ()
    base_classes: tuple[str, ...] = ()
    entry_points: tuple[str, ...] = ()
    ignore: dict[str, tuple[str, ...]] = {}

    def ignores(self, rule: str, path: str) -> bool:
        """Whether the settings silence ``rule`` in ``path``."""
        return any(
            fnmatch(path, pattern) and any(fnmatch(rule, name) for name in rules)
            for pattern, rules in self.ignore.items()
        )


class Project:
    """Facts of every file, and what is derived from them on first use."""

    def __init__(
        self,
        root: Path,
        modules: Mapping[str, ModuleFacts],
        texts: Mapping[str, TextFacts],
        kinds: Mapping[str, Kind],
        others: frozenset[str],
        settings: Settings,
        configs: tuple[str, ...],
        read: Callable[[str], str],
    ) -> None:
        self.root = root
        self.modules = modules
        self.texts = texts
        self.kinds = kinds
        self.others = others
        self.settings = settings
        self._configs = configs
        self.read = read

    def exists(self, path: str) -> bool:
        """Whether the tree has a file of this relative path."""
        return path in self.kinds or path in self.others

    @cached_property
    def index(self) -> Index:
        return Index(self.modules)

    @cached_property
    def reads(self) -> list[Read]:
        """Every blocking ZeroMQ receive, with the sockets it may wait on."""
        flows = {path: facts.flow for path, facts in self.modules.items() if facts.flow is not None}
        return PointsTo(flows, self.index).reads()

    @cached_property
    def fleet_files(self) -> list[FleetFile]:
        """The files that declare agents: those given, else every one that looks like it."""
        looks = (
            path
            for path, facts in sorted(self.texts.items())
            if facts.may_be_fleet and not is_test_path(path)
        )
        paths = self._configs or tuple(looks)
        found = [read_fleet_file(path, self.read(path), explicit=bool(self._configs)) for path in paths]
        return [item for item in found if item is not None]

    @cached_property
    def declared(self) -> list[Declared]:
        """Every agent every configuration declares."""
        return [agent for file in self.fleet_files for agent in file.agents]

    @cached_property
    def compose_files(self) -> list[ComposeFile]:
        looks = (
            path
            for path, facts in sorted(self.texts.items())
            if facts.may_be_compose and not is_test_path(path)
        )
        return [item for path in looks if (item := read_compose(path, self.read(path))) is not None]

    @cached_property
    def entries(self) -> Entries:
        """Where processes start, and what each of them loads."""
        return find_entries(self)
