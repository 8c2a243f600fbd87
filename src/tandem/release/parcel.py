"""A fleet's own code, packed for a computer that joins: what lies beside the fleet file, never what is installed.

A parcel is a zlib-compressed msgpack list of files. There are no links, devices or owners in it by construction.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import zlib
from collections.abc import Iterable, Iterator
from importlib.machinery import PathFinder
from importlib.metadata import packages_distributions, version
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct

from tandem.core.errors import ConfigError, PermissionDenied, TooLarge
from tandem.core.ids import new_id
from tandem.core.paths import private_dir
from tandem.fleet.load import DEFAULT_NAME
from tandem.fleet.model import AgentConfig, Fleet
from tandem.release.sources import PLATFORM, ImportCache, Sources, imported
from tandem.supervise.boot import fleet_directory

BYTES_MAX = 64 * 2**20
"""Of all files together. Models and data have ways of their own."""
FILES_MAX = 5000
PATH_MAX = 255
_SKIPPED = frozenset({"__pycache__", "node_modules"})


class File(Struct, frozen=True, array_like=True):
    """``path`` from the fleet file's folder on, with slashes."""

    path: str
    data: bytes
    executable: bool = False


class Parcel(Struct, frozen=True, kw_only=True):
    """``archive``: the packed files. ``digests``: each file's path to its SHA-256. ``needs``: packages the code imports
    that do not travel, to the version installed here (empty when unknown)."""

    archive: bytes
    digests: dict[str, str]
    needs: dict[str, str]


def pack(fleet: Fleet) -> Parcel:
    """The code beside the fleet file that its agents use: their packages and modules, and the folders of their programs.

    Hidden files and compiled ones stay. Raises :class:`TooLarge`, and :class:`ConfigError` for a link that leads out of
    its folder, since what it shows may be nobody's business.
    """
    folder = fleet_directory(fleet)
    modules = {a.class_path.partition(":")[0] for a in fleet.agents.values() if a.class_path}
    modules |= {name for a in fleet.agents.values() for name in _script_modules(a, folder)}
    sources = Sources(folder, sys.path, {m.partition(".")[0] for m in modules}, ImportCache(None))
    used = sources.used_by(modules)
    tops = {name: place for name, place in sources.tops(used).items() if name != PLATFORM}
    own = {name: place for name, place in tops.items() if place.parent == folder}
    places = {*own.values(), *(place for a in fleet.agents.values() for place in _programs(a, folder))}
    files, size = [], 0
    for path in sorted({file for place in places for file in _files(place)}):
        data = path.read_bytes()
        size += len(data)
        files.append(File(path.relative_to(folder).as_posix(), data, os.access(path, os.X_OK)))
        _check_size(len(files), size)
    return Parcel(
        archive=zlib.compress(msgspec.msgpack.encode(files)),
        digests={file.path: hashlib.sha256(file.data).hexdigest() for file in files},
        needs=_needs({*tops, *_imports(files)} - own.keys(), folder),
    )


def unpack(archive: bytes, digests: dict[str, str], fleet: str, into: Path) -> bool:
    """Put ``fleet`` (the fleet file's text) and the files at ``into``, a folder that is replaced in one step; whether there
    was another one, which is then beside it.

    Raises :class:`PermissionDenied` for a parcel that is not what ``digests`` says or would write outside ``into``.
    """
    files = _opened(archive)
    _check(files, digests)
    private_dir(into.parent)
    draft = into.with_name(f".{into.name}.{new_id()}")
    draft.mkdir(mode=0o700)
    try:
        for file in (*files, File(DEFAULT_NAME, fleet.encode())):
            place = draft.joinpath(*PurePosixPath(file.path).parts)
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with place.open("xb") as written:
                written.write(file.data)
                os.fchmod(written.fileno(), 0o700 if file.executable else 0o600)
                written.flush()
                os.fsync(written.fileno())
        return _replace(into, draft)
    except OSError as error:
        raise ConfigError(f"the code cannot be put into {into}: {error.strerror}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def missing(needs: dict[str, str]) -> list[str]:
    """Those of ``needs`` that this interpreter cannot import, with the version that is installed over there."""
    absent = [name for name in needs if PathFinder.find_spec(name, sys.path) is None]
    return [f"{name} ({needs[name]})" if needs[name] else name for name in sorted(absent)]


def _opened(archive: bytes) -> list[File]:
    try:
        # Bounded, so that a small parcel cannot unfold into all of the memory.
        unfolding = zlib.decompressobj()
        plain = unfolding.decompress(archive, BYTES_MAX + FILES_MAX * (PATH_MAX + 16))
        if not unfolding.eof or unfolding.unused_data:
            raise TooLarge(f"the code of the fleet is damaged, or has more than {BYTES_MAX // 2**20} MiB")
        return msgspec.msgpack.decode(plain, type=list[File])
    except (zlib.error, msgspec.MsgspecError) as error:
        raise PermissionDenied(f"the code of the fleet is damaged: {error}") from error


def _check(files: list[File], digests: dict[str, str]) -> None:
    _check_size(len(files), sum(len(file.data) for file in files))
    for file in files:
        if not _is_inside(file.path):
            raise PermissionDenied(f"the code of the fleet has a file of an unsafe name: {file.path!r}")
        if digests.get(file.path) != hashlib.sha256(file.data).hexdigest():
            raise PermissionDenied(f"{file.path} is not what was announced")
    if len(files) != len(digests):
        raise PermissionDenied("the code of the fleet is not complete")


def _is_inside(path: str) -> bool:
    """Whether a path stays within its folder, on every system, and is not the fleet file."""
    parts = path.split("/")
    plain = path.isprintable() and not set(path) & set('\\:*?"<>|') and len(path) <= PATH_MAX
    return plain and path != DEFAULT_NAME and all(part and not part.startswith(".") for part in parts)


def _check_size(count: int, size: int) -> None:
    if count > FILES_MAX or size > BYTES_MAX:
        raise TooLarge(
            f"the code beside the fleet file has more than {FILES_MAX} files or {BYTES_MAX // 2**20} MiB",
            hint="move data and models out of the agents' packages",
        )


def _replace(into: Path, draft: Path) -> bool:
    former = into.with_name(f"{into.name}.before-joining")
    there = into.exists()
    if there:
        shutil.rmtree(former, ignore_errors=True)
        into.rename(former)
    draft.rename(into)
    return there


def _files(place: Path) -> Iterator[Path]:
    if place.is_file():
        yield place
        return
    real = place.resolve()
    for folder, folders, names in os.walk(place):
        folders[:] = [name for name in folders if name not in _SKIPPED and not name.startswith(".")]
        for link in (path for name in folders if (path := Path(folder, name)).is_symlink()):
            raise ConfigError(f"{link} is a link to a folder", hint="a link does not travel: put the files there")
        for name in names:
            path = Path(folder, name)
            if name.startswith(".") or name.endswith(".pyc") or not path.is_file():
                continue
            if path.is_symlink() and not path.resolve().is_relative_to(real):
                raise ConfigError(f"{path} is a link to {path.resolve()}", hint="put the file itself there, or away")
            if not _is_inside(name):
                raise ConfigError(f"{str(path)!r} has a name that cannot travel", hint="rename it")
            yield path


def _programs(agent: AgentConfig, folder: Path) -> Iterator[Path]:
    """Files a ``command`` names by a relative path, each with the whole of its folder."""
    for word in agent.command or ():
        path = PurePosixPath(agent.cwd or "", word)
        if not path.is_absolute() and ".." not in path.parts and folder.joinpath(path).is_file():
            yield folder / path.parts[0]


def _script_modules(agent: AgentConfig, folder: Path) -> Iterator[str]:
    """A script right beside the fleet file imports its neighbours."""
    for place in _programs(agent, folder):
        if place.suffix == ".py" and place.is_file():
            yield place.stem


def _imports(files: Iterable[File]) -> set[str]:
    """First parts of the names that travelling code imports from elsewhere."""
    found = set()
    for file in files:
        if file.path.endswith(".py"):
            module = file.path.removesuffix(".py").replace("/", ".")
            is_package = module.endswith(".__init__")
            names = imported(file.data, module.removesuffix(".__init__"), is_package=is_package)
            found |= {name.partition(".")[0] for name in names}
    return found - set(sys.stdlib_module_names) - {"", PLATFORM}


def _needs(names: set[str], folder: Path) -> dict[str, str]:
    """Those that are installed here; one that is not (an optional import) is not missed elsewhere either."""
    elsewhere = [place for place in sys.path if Path(place).absolute() != folder]
    there = sorted(name for name in names if PathFinder.find_spec(name, elsewhere) is not None)
    distributions = packages_distributions() if there else {}
    return {name: version(distributions[name][0]) if name in distributions else "" for name in there}
