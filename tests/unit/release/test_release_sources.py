from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace

from tandem.core.errors import NotFound, TandemError
from tandem.core.paths import Home
from tandem.fleet.model import Fleet
from tandem.release.prepare import ground
from tandem.release.sources import ImportCache, Sources, imported
from tandem.release.store import KEPT, Manifest, Store, code_of, files_of, manifest_of
from tandem.supervise.release import Code


def test_imports_of_a_source() -> None:
    """Absolute and relative imports anywhere in the file count; those for type checking only do not."""
    source = b"""
import a.b
from . import c
from ..d import e
from typing import TYPE_CHECKING
if TYPE_CHECKING:
    import never
def f():
    import late
"""
    found = set(imported(source, "p.q.m", is_package=False))
    assert {"a.b", "p.q", "p.q.c", "p.d", "p.d.e", "late"} <= found and "never" not in found
    assert set(imported(b"from . import x", "p.q", is_package=True)) == {"p.q", "p.q.x"}
    assert set(imported(b"def (", "p", is_package=False)) == set()


def write(root: Path, **files: str) -> None:
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_an_agent_uses_what_it_imports(tmp_path: Path) -> None:
    """Files are followed through packages and siblings of the fleet file; what nobody imports belongs to nobody."""
    write(tmp_path, first="import helper\n", second="x = 1\n", helper="from pack import part\n")
    write(tmp_path, pack__part="import first\n", pack__other="")
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "words.json").write_text("{}")
    sources = Sources(tmp_path, [], ["first", "second"], ImportCache(None))
    used = {str(path.relative_to(tmp_path)) for path in sources.used_by(["first"])}
    assert used == {"first.py", "helper.py", "pack/__init__.py", "pack/part.py", "pack/words.json"}
    assert sources.used_by(["second"]) == {tmp_path / "second.py"}
    assert sources.tops(sources.used_by(["first"])).keys() == {"first", "helper", "pack"}


def test_the_import_cache_is_only_a_cache(tmp_path: Path) -> None:
    """A damaged one is forgotten, a good one saves reading."""
    path = tmp_path / "cache"
    path.write_bytes(b"\xff nonsense")
    cache = ImportCache(path)
    assert cache.imports("d", b"import a", "m", is_package=False) == ["a"]
    cache.save()
    assert ImportCache(path).imports("d", b"never read", "m", is_package=False) == ["a"]


def test_a_release_is_named_by_its_contents(tmp_path: Path) -> None:
    """The same files make the same code and name; another byte makes another; a copy has the files and can be loaded."""
    tree = tmp_path / "tree"
    write(tree, mod="x = 1\n")
    store, fleet = Store(Home(tmp_path / "home")), Fleet(name="f")
    tops = {"mod": tree / "mod.py"}
    one = manifest_of(code_of(files_of(tops), {"dep": "1"}, store), files_of(tops), {"dep": "1"}, fleet)
    same = manifest_of(code_of(files_of(tops), {"dep": "1"}, store), files_of(tops), {"dep": "1"}, fleet)
    assert one.name == same.name and one.code.id == same.code.id
    assert code_of(files_of(tops), {"dep": "2"}, store).id != one.code.id
    store.keep(one, tops)
    write(tree, mod="x = 2\n")
    assert code_of(files_of(tops), {"dep": "1"}, store).id != one.code.id
    assert (Path(one.code.paths[0]) / "mod.py").read_text() == "x = 1\n"
    assert store.load(one.name[:4]).target.release.code == one.code
    with pytest.raises(NotFound):
        store.load("nothing")


def test_old_releases_are_dropped(tmp_path: Path) -> None:
    """The newest stay and those in use do; code goes with its last release."""
    store = Store(Home(tmp_path))
    made = []
    for number in range(KEPT + 3):
        place = tmp_path / f"m{number}.py"
        place.write_text(str(number))
        files = files_of({"m": place})
        code = code_of(files, {}, store)
        made.append(store.keep(manifest_of(code, files, {}, Fleet(name=f"f{number}")), {"m": place}))
        os.utime(tmp_path / "releases" / f"{made[-1].name}.json", (number, number))
    store.prune([made[0].target.release])
    assert set(store.names()) == {made[0].name} | {one.name for one in made[3:]}
    assert not Path(made[1].code.paths[0]).exists() and Path(made[0].code.paths[0]).exists()


def test_zygotes_by_code() -> None:
    """Every code has a zygote of its own, except one that some zygote holds already."""
    assert Code().zygote == "zygote"
    assert Code(id="abcdef0123456789").zygote == "zygote-abcdef012345"
    assert Code(id="abc", forked_from="zygote").zygote == "zygote"


def test_what_came_up_is_kept_until_the_next_start(tmp_path: Path) -> None:
    """The copy is found for the start it was made of, outlives old releases, and counts for no other start."""
    store, place = Store(Home(tmp_path)), tmp_path / "m.py"
    place.write_text("1")
    files = files_of({"m": place})
    base = replace(manifest_of(code_of(files, {}, store), files, {}, Fleet(name="f")), created=1000.0)
    assert store.base("pc", 1000.0) is None
    store.keep_base("pc", base, {"m": place})
    store.prune([])
    assert store.names() == []
    assert store.base("pc", 1000.3) == base
    assert store.base("pc", 1060.0) is None and store.base("pc2", 1000.0) is None
    assert Path(base.code.paths[0], "m.py").read_text() == "1"


def test_code_that_changes_while_it_is_copied_is_no_release(tmp_path: Path) -> None:
    """A release has the contents it is named by, or it is refused and leaves nothing."""
    store, place = Store(Home(tmp_path / "home")), tmp_path / "m.py"
    place.write_text("1")
    files = files_of({"m": place})
    place.write_text("2")
    with pytest.raises(TandemError, match="changed while it was copied"):
        store.keep(manifest_of(code_of(files, {}, store), files, {}, Fleet(name="f")), {"m": place})
    assert store.names() == [] and list((tmp_path / "home" / "releases" / "code").iterdir()) == []


def test_people_are_told_what_no_release_can_take_back(tmp_path: Path) -> None:
    """Packages changed in place, and another interpreter, are named; where nothing differs nothing is said."""
    fleet, store = Fleet(name="f"), Store(Home(tmp_path))
    old = manifest_of(code_of({}, {"a": "1"}, store), {}, {"a": "1", "b": "1"}, fleet)
    new = manifest_of(code_of({}, {"a": "2"}, store), {}, {"a": "2", "c": "1"}, fleet)
    assert ground(old, old, old.environment) == []
    (told,) = ground(old, new, new.environment)
    assert "a 1 -> 2, b 1 -> none, c none -> 1" in told and "would not bring the old ones back" in told
    (told,) = ground(None, old, new.environment)
    assert "a 1 -> 2" in told and "stay as they are" in told
    other = replace(new, code=replace(new.code, python="/elsewhere/python"))
    assert ground(old, other, {}) == [
        f"runs with another interpreter and its packages: {sys.executable} -> /elsewhere/python"
    ]


def test_a_linked_folder_within_a_package_is_part_of_it(tmp_path: Path) -> None:
    """What a link leads to is listed and copied alike, so the copy has the contents it is named by."""
    package, shared = tmp_path / "pack", tmp_path / "shared"
    package.mkdir()
    shared.mkdir()
    (package / "__init__.py").write_text("")
    (shared / "prompt.txt").write_text("hello")
    (package / "data").symlink_to(shared)
    files, store = files_of({"pack": package}), Store(Home(tmp_path / "home"))
    assert files.keys() == {"pack/__init__.py", "pack/data/prompt.txt"}
    kept = store.keep(manifest_of(code_of(files, {}, store), files, {}, Fleet(name="f")), {"pack": package})
    assert Path(kept.code.paths[0], "pack", "data", "prompt.txt").read_text() == "hello"


def release_of(store: Store, place: Path, fleet: str) -> Manifest:
    files = files_of({place.stem: place})
    return store.keep(manifest_of(code_of(files, {}, store), files, {}, Fleet(name=fleet)), {place.stem: place})


@pytest.mark.parametrize("damage", [b"", b'{"name": "x"', b"\xff\x00\xfe", b'{"another": "make"}'])
def test_a_damaged_release_harms_no_other(tmp_path: Path, damage: bytes) -> None:
    """It is put aside and counts as not there; others load, old ones are dropped, and what runs keeps its code."""
    store, place = Store(Home(tmp_path / "home")), tmp_path / "m.py"
    place.write_text("1")
    bad = release_of(store, place, "bad")
    place.write_text("2")
    good = release_of(store, place, "good")
    (tmp_path / "home/releases" / f"{bad.name}.json").write_bytes(damage)
    (tmp_path / "home/releases/pc.base").write_bytes(damage)
    store.prune([bad.target.release])
    assert Path(bad.code.paths[0], "m.py").read_text() == "1"
    assert store.find(bad.name) is None and store.base("pc", 0.0) is None and store.names() == [good.name]
    assert store.load(good.name) == good
    with pytest.raises(NotFound):
        store.load(bad.name)
    assert len(list((tmp_path / "home/releases").glob("*.damaged-*"))) == 2


def test_a_copy_of_code_that_is_damaged_is_made_again(tmp_path: Path) -> None:
    """Whoever keeps a release gets the code it is named by; a whole copy is left alone, with what came to it."""
    store, place = Store(Home(tmp_path / "home")), tmp_path / "m.py"
    place.write_text("1")
    folder = Path(release_of(store, place, "f").code.paths[0])
    (folder / "extra").write_text("kept")
    release_of(store, place, "f")
    assert (folder / "extra").exists()
    (folder / "m.py").write_text("garb")
    release_of(store, place, "f")
    assert (folder / "m.py").read_text() == "1"
    (folder / "m.py").unlink()
    release_of(store, place, "f")
    assert (folder / "m.py").read_text() == "1" and list(folder.parent.glob("*.damaged-*"))
