"""Which source files an agent uses: its own module and whatever of ours that imports, found without running anything."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

import msgspec

PLATFORM = "tandem"
EVERYBODY = ("tandem.agent.run", "tandem.supervise.agent_main", "tandem.supervise.zygote")
"""Modules every agent process consists of."""

CODE = frozenset({".py", ".pyc", ".pyi", ".so"})


class ImportCache:
    """What files import, by the hash of their contents; kept in one file between calls."""

    def __init__(self, path: Path | None):
        self._path = path
        self._known: dict[str, list[str]] = {}
        self._used: dict[str, list[str]] = {}
        if path is not None and path.exists():
            try:
                self._known = msgspec.msgpack.decode(path.read_bytes(), type=dict[str, list[str]])
            except msgspec.DecodeError:
                self._known = {}  # from another version; it is only a cache

    def imports(self, digest: str, source: bytes, module: str, *, is_package: bool) -> list[str]:
        """Absolute names of what a module may import, most precise first."""
        key = f"{digest}:{module}"
        if key not in self._used:
            self._used[key] = self._known.get(key) or sorted(
                set(imported(source, module, is_package=is_package))
            )
        return self._used[key]

    def save(self) -> None:
        if self._path is not None and self._used.keys() != self._known.keys():
            self._path.write_bytes(msgspec.msgpack.encode(self._used))


def imported(source: bytes, module: str, *, is_package: bool) -> Iterator[str]:
    """Names a source imports anywhere, except only for type checking. Nothing for a file that is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return
    package = module if is_package else module.rpartition(".")[0]
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            pending += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)
        pending += ast.iter_child_nodes(node)


def _is_type_checking(test: ast.expr) -> bool:
    return (isinstance(test, ast.Name) and test.id == "TYPE_CHECKING") or (
        isinstance(test, ast.Attribute) and test.attr == "TYPE_CHECKING"
    )


def _absolute(node: ast.ImportFrom, package: str) -> str:
    if not node.level:
        return node.module or ""
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - node.level + 1])
    return f"{base}.{node.module}" if node.module else base


class Sources:
    """The modules of ours: everything beside the fleet file, the packages of the agents' classes, and the platform."""

    def __init__(self, fleet_dir: Path, search: Sequence[str], tops: Iterable[str], cache: ImportCache):
        self._cache = cache
        self._fleet_dir = fleet_dir
        self._roots: dict[str, Path] = {}
        self._digests: dict[Path, str] = {}
        self._closures: dict[str, frozenset[Path]] = {}
        for top in (PLATFORM, *tops):
            spec = PathFinder.find_spec(top, [str(fleet_dir), *search])
            if spec is not None and spec.origin is not None:
                origin = Path(spec.origin)
                self._roots[top] = origin.parent.parent if spec.submodule_search_locations else origin.parent
            elif spec is not None and spec.submodule_search_locations:
                self._roots[top] = Path(next(iter(spec.submodule_search_locations))).parent

    def used_by(self, modules: Iterable[str]) -> frozenset[Path]:
        """Every file of ours the modules may import, directly or through others."""
        return frozenset().union(*(self._closure(module) for module in modules))

    def tops(self, files: Iterable[Path]) -> dict[str, Path]:
        """The packages and modules the files belong to: name to what has to be copied."""
        found: dict[str, Path] = {}
        for file in files:
            for top, root in self._roots.items():
                if file.is_relative_to(root / top):
                    found[top] = root / top
                elif file == root / f"{top}.py":
                    found[top] = file
        return found

    def digest(self, file: Path) -> str:
        """SHA-256 of a file's contents."""
        if file not in self._digests:
            self._digests[file] = hashlib.sha256(file.read_bytes()).hexdigest()
        return self._digests[file]

    def name(self, file: Path) -> str:
        """The file as people know it: from its package on."""
        for top, root in self._roots.items():
            if file.is_relative_to(root / top) or file == root / f"{top}.py":
                return str(file.relative_to(root))
        return str(file)

    def _closure(self, module: str) -> frozenset[Path]:
        if module not in self._closures:
            seen: set[str] = set()
            files: set[Path] = set()
            pending = [module]
            while pending:
                name = pending.pop()
                if name in seen:
                    continue
                seen.add(name)
                file = self._file(name)
                parent = name.rpartition(".")[0]
                if parent:
                    pending.append(parent)
                if file is None or file in files:
                    continue
                files.add(file)
                files.update(self._data_beside(file))
                is_package = file.name == "__init__.py"
                pending += self._cache.imports(
                    self.digest(file), file.read_bytes(), name, is_package=is_package
                )
            self._closures[module] = frozenset(files)
        return self._closures[module]

    def _data_beside(self, file: Path) -> Iterator[Path]:
        """What a package's module may read from its own folder: everything there that is no code."""
        folder = file.parent
        if folder not in self._roots.values():
            yield from (path for path in folder.iterdir() if path.is_file() and path.suffix not in CODE)

    def _file(self, module: str) -> Path | None:
        top = module.partition(".")[0]
        root = self._roots.get(top)
        if root is None:
            # A module beside the fleet file that an agent imports is ours as well.
            if not (
                (self._fleet_dir / f"{top}.py").is_file() or (self._fleet_dir / top / "__init__.py").is_file()
            ):
                return None
            root = self._roots[top] = self._fleet_dir
        base = root.joinpath(*module.split("."))
        for file in (base / "__init__.py", base.with_name(f"{base.name}.py")):
            if file.is_file():
                return file
        return None
