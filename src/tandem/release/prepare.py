"""From two targets to a plan: what changes, in which way, and in which order."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping

import psutil
from msgspec import Struct

from tandem.core import clock
from tandem.core.errors import TandemError
from tandem.core.ids import new_id
from tandem.core.paths import Home
from tandem.fleet.model import Fleet
from tandem.release.batches import batches
from tandem.release.diff import Change, Room, compare, require_same_ground
from tandem.release.draft import draft, files_between
from tandem.release.store import Manifest, Store, installed
from tandem.supervise.release import DEV, Release, Target
from tandem.supervise.rollout import RolloutPlan, Step, Strategy
from tandem.supervise.rollout_api import ReleaseStatus

ROLLBACK = Strategy(min_healthy_s=0.0, max_failures=1_000_000)
"""A release that has served well need not prove itself again, and there is nothing better to return to."""

ROLLBACK_BATCH = 20

NO_COPY = (
    "there is no copy of the code that came up, since it changed before one was made: who has to return is forked "
    "from what is in memory of it, and runs the files as they are now where nothing is forked (launch: exec)"
)
NEW_VENV = "what is to be taken back needs a virtual environment of its own, whose tandem is called"
_SHOWN_PACKAGES = 4
_MIB = 2**20


class Prepared(Struct, frozen=True):
    """What is to be done on one machine. ``changes`` and ``notes`` tell people, ``plan`` the node."""

    machine: str
    changes: list[Change]
    plan: RolloutPlan
    notes: list[str] = []


def toward(
    home: Home,
    fleet: Fleet,
    status: ReleaseStatus,
    strategy: Strategy,
    batch: int | None = None,
    canaries: Collection[str] = (),
    *,
    keep: bool,
) -> Prepared:
    """From what runs to the fleet file and the code as they are; with ``keep`` the new release is written down.

    Raises :class:`~tandem.core.errors.ConfigError` for what no rollout can change.
    """
    require_same_ground(status.current.fleet, fleet, status.machine)
    store = Store(home)
    current = _with_copy(store, status)
    known = _manifest(store, status, current.release)
    made = draft(home, fleet, current, status.since, known)
    if keep:
        made.keep(store)
    changes = _changes(status, made.target, made.files)
    steps = batches(changes, fleet, strategy.kind, batch, canaries)
    notes = [NO_COPY] if made.files and not current.release.code.id else []
    if changes:
        notes += ground(known, made.manifest, installed())
    return Prepared(status.machine, changes, _plan(current, made.target, steps, strategy), notes)


def back(home: Home, status: ReleaseStatus, release: str = "") -> Prepared:
    """From what runs to an earlier release: the last proven one, or the one of that name (or beginning of it).

    Raises :class:`TandemError` where there is none.
    """
    target = _earlier(home, status, release)
    require_same_ground(status.current.fleet, target.fleet, status.machine)
    store = Store(home)
    changes = _changes(status, target, _files_back(home, status, target))
    steps = batches(changes, target.fleet, "rolling", ROLLBACK_BATCH)
    was, there = (_manifest(store, status, side.release) for side in (status.current, target))
    notes = ground(was, there, installed()) if changes and there is not None else []
    return Prepared(status.machine, changes, _plan(_with_copy(store, status), target, steps, ROLLBACK), notes)


def reverse(prepared: Prepared) -> Prepared:
    """The way back from a rollout that is through."""
    plan = prepared.plan
    undone = _changes_between(
        plan.new, plan.old, prepared.machine, {c.agent: c.files for c in prepared.changes}
    )
    steps = batches(undone, plan.old.fleet, "rolling", ROLLBACK_BATCH)
    return Prepared(prepared.machine, undone, _plan(plan.new, plan.old, steps, ROLLBACK))


def ground(old: Manifest | None, new: Manifest, present: Mapping[str, str]) -> list[str]:
    """What a person should know of the interpreter and its packages, which no release has a copy of.

    ``present`` are the distributions of the running interpreter. Nothing where both releases stand on the same.
    """
    if old is not None and old.code.python != new.code.python:
        return [f"runs with another interpreter and its packages: {old.code.python} -> {new.code.python}"]
    told = []
    if old is not None and (moved := _moved(old.environment, new.environment)):
        told.append(f"packages changed in place ({moved}); going back would not bring the old ones back: {NEW_VENV}")
    if new.code.python == sys.executable and (moved := _moved(new.environment, present)):
        told.append(f"packages are not those it ran with ({moved}) and stay as they are: {NEW_VENV}")
    return told


def _moved(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    names = sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))
    words = [f"{name} {old.get(name, 'none')} -> {new.get(name, 'none')}" for name in names[:_SHOWN_PACKAGES]]
    more = len(names) - len(words)
    return ", ".join(words) + (f" and {more} more" if more > 0 else "")


def _with_copy(store: Store, status: ReleaseStatus) -> Target:
    """What runs; for the working tree as it came up, with the copy that was kept of it."""
    current = status.current
    base = None if current.release.code.id else store.base(status.machine, status.since)
    if base is None:
        return current
    return Target(release=Release(name=current.release.name, code=base.code), fleet=current.fleet)


def _manifest(store: Store, status: ReleaseStatus, release: Release) -> Manifest | None:
    if release.name != DEV:
        return store.find(release.name)
    base = store.base(status.machine, status.since)
    return base if base is not None and base.code.id == release.code.id else None


def _changes(status: ReleaseStatus, target: Target, files: Mapping[str, list[str]]) -> list[Change]:
    return _changes_between(status.current, target, status.machine, files)


def _changes_between(old: Target, new: Target, machine: str, files: Mapping[str, list[str]]) -> list[Change]:
    return compare(old.fleet, new.fleet, machine, files, room_on(new.fleet, machine))


def _plan(old: Target, new: Target, steps: list[list[Step]], strategy: Strategy) -> RolloutPlan:
    return RolloutPlan(id=new_id(), old=old, new=new, batches=steps, strategy=strategy, began=clock.wall())


def room_on(fleet: Fleet, machine: str) -> Room:
    """Memory that a second instance of something could take on this computer."""
    gpu = fleet.machines[machine].gpu
    budget = gpu.budget() if gpu is not None else None
    declared = sum(agent.vram_mb for agent in fleet.on(machine))
    return Room(
        memory_mb=psutil.virtual_memory().available // _MIB,
        gpu_mb=None if budget is None else max(0, budget - declared),
    )


def _earlier(home: Home, status: ReleaseStatus, release: str) -> Target:
    if release:
        named = [t for t in status.proven if t.release.name.startswith(release)]
        return named[0] if named else Store(home).load(release).target
    if not status.proven:
        raise TandemError(
            f"{status.machine} has run nothing but {status.current.release.name} since it came up",
            hint="tandem rollout status lists releases on disk; tandem rollback NAME goes to one of them",
        )
    return status.proven[0]


def _files_back(home: Home, status: ReleaseStatus, target: Target) -> dict[str, list[str]]:
    old, new = status.current.release, target.release
    if old.code.id == new.code.id:
        return {}
    store = Store(home)
    agents = target.fleet.on(status.machine)
    there = _manifest(store, status, new)
    if there is not None:
        return files_between(_manifest(store, status, old), there, agents, home)
    # The working tree as it was when the fleet came up, uncopied: nobody has a list, but what was replaced is known.
    view = status.rollout
    moved = (
        {step.agent for step in view.steps}
        if view and view.old == new.name and view.new == old.name
        else None
    )
    return {str(a.id): ["the code as it was"] for a in agents if moved is None or a.name in moved}
