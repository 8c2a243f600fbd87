"""A new release, made of the fleet file and the code as they are now, compared with what runs."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib.metadata import distributions
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from tandem.core.paths import Home
from tandem.fleet.model import AgentConfig, Fleet
from tandem.release.sources import EVERYBODY, ImportCache, Sources
from tandem.release.store import Manifest, Store, code_of, files_of, installed, manifest_of
from tandem.supervise.boot import fleet_directory
from tandem.supervise.release import Target


class Draft(Struct, frozen=True, kw_only=True):
    """``files``: by agent (identity), the changed code it uses. ``tops``: what is to be copied; nothing when the code is
    the one that runs."""

    manifest: Manifest
    files: dict[str, list[str]]
    tops: dict[str, Path]

    @property
    def target(self) -> Target:
        return self.manifest.target

    def keep(self, store: Store) -> None:
        """Write it down."""
        store.keep(self.manifest, self.tops)


def draft(home: Home, fleet: Fleet, current: Target, since: float, known: Manifest | None = None) -> Draft:
    """What the fleet file and the working tree amount to, beside ``current``, of which ``known`` lists the files.

    Without such a list what was written after ``since`` (Unix seconds), when it began to run, counts as changed.
    """
    store = Store(home)
    cache = ImportCache(store.import_cache)
    modules = {str(a.id): a.class_path.partition(":")[0] for a in fleet.agents.values() if a.class_path}
    tops = {module.partition(".")[0] for module in modules.values()}
    sources = Sources(fleet_directory(fleet), sys.path, tops, cache)
    used = {name: sources.used_by([module, *EVERYBODY]) for name, module in modules.items()}
    cache.save()
    everything = frozenset().union(*used.values())
    changed = {file for file in everything if _is_changed(file, sources, known, since)}
    packages = _changed_packages(known, since)
    if not changed and not packages and known is not None:
        code = current.release.code
        return Draft(
            manifest=manifest_of(code, known.files, known.environment, fleet), files={}, tops={}
        )
    files = {
        name: [*sorted(sources.name(file) for file in mine & changed), *packages]
        for name, mine in used.items()
        if mine & changed or packages
    }
    places = sources.tops(everything)
    digests, dists = files_of(places), installed()
    code = code_of(digests, dists, store)
    if not files:
        # What runs is what was copied just now: no second zygote with the same in it.
        code = replace(code, forked_from=current.release.code.zygote)
    return Draft(manifest=manifest_of(code, digests, dists, fleet), files=files, tops=places)


def _is_changed(file: Path, sources: Sources, known: Manifest | None, since: float) -> bool:
    if known is None:
        return file.stat().st_mtime > since
    return known.files.get(sources.name(file)) != sources.digest(file)


def _changed_packages(known: Manifest | None, since: float) -> list[str]:
    """Installed distributions that came, went or changed."""
    if known is not None:
        now = installed()
        names = sorted(now.keys() | known.environment.keys())
        return [f"{n} {now.get(n, 'removed')}" for n in names if now.get(n) != known.environment.get(n)]
    found = []
    for dist in distributions():
        place = getattr(dist, "_path", None)
        if isinstance(place, Path) and place.exists() and place.stat().st_mtime > since:
            found.append(f"{dist.name} {dist.version}")
    return sorted(found)


def files_between(
    old: Manifest | None, new: Manifest, agents: Iterable[AgentConfig], home: Home
) -> dict[str, list[str]]:
    """By agent, the code that differs between two stored releases. Without the old one's list, all of it may."""
    tops = {a.class_path.partition(".")[0].partition(":")[0] for a in agents if a.class_path}
    store = Store(home)
    root = store.code_dir(new.code.id)
    sources = Sources(root, [str(root)], tops, ImportCache(store.import_cache))
    found = {}
    for agent in agents:
        if agent.class_path is None:
            continue
        used = sources.used_by([agent.class_path.partition(":")[0], *EVERYBODY])
        names = sorted(sources.name(file) for file in used)
        differing = [n for n in names if old is None or old.files.get(n) != new.files.get(n)]
        if old is not None and old.environment != new.environment:
            differing.append("installed packages")
        if differing:
            found[str(agent.id)] = differing
    return found
