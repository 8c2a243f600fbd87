"""Mends of imports and syntax, and how files are written."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from mends import after, mend, proposed, put, run

from tandem.audit.fix.patch import Change, write
from tandem.audit.fix.plan import plan


def test_unused_imports_go(tmp_path: Path) -> None:
    """Unused names go, used ones, comments and the rest of a shared line stay."""
    put(
        tmp_path,
        a="""
        # first
        import json
        import os, sys
        from typing import (
            Any,
            Dict,  # old
            List,
        )

        def f(x: Any) -> List[Any]:
            return [sys.path, x]
        """,
    )
    text = after(mend(tmp_path, "unused-import"))
    assert text.startswith("# first\nimport sys\nfrom typing import (\n    Any,\n")
    assert "Dict" not in text
    assert run(tmp_path)["f"](1)[1] == 1


def test_import_another_module_takes_from_here_stays(tmp_path: Path) -> None:
    """A name that is imported to be passed on is used, elsewhere."""
    put(tmp_path, a="import json\nfrom os import path\nX = 1\n", b="from a import path\nprint(path)\n")
    assert after(mend(tmp_path, "unused-import")) == "from os import path\nX = 1\n"


def test_import_with_effects_is_only_suggested(tmp_path: Path) -> None:
    """Importing a module that does work when it is imported is not dropped without asking."""
    put(tmp_path, effects="for i in range(3):\n    print(i)\n", a="import effects\nX = 1\n")
    found = mend(tmp_path, "unused-import")
    assert found.changes == []
    assert "import effects" not in proposed(found)


@pytest.mark.parametrize(
    "text",
    [
        "try:\n    import orjson\nexcept ImportError:\n    orjson = None\n",
        "from __future__ import annotations\nX = 1\n",
        "import json\n__all__ = ['json']\n",
        "import json  # noqa: F401\n",
    ],
    ids=["probe", "future", "exported", "silenced"],
)
def test_imports_that_only_look_unused_stay(tmp_path: Path, text: str) -> None:
    """Probes, future imports, exports and silenced lines are kept."""
    put(tmp_path, a=text)
    assert mend(tmp_path, "unused-import").changes == []


@pytest.mark.parametrize(
    ("before", "mended"),
    [
        ('import os\nB = os.path.join("a", "..")))\n', 'import os\nB = os.path.join("a", "..")\n'),
        ("def f(x)\n    return x\n", "def f(x):\n    return x\n"),
        ("def f(self, x:\n    return x\n", "def f(self, x):\n    return x\n"),
        ('print("a"\nx = 1\n', 'print("a")\nx = 1\n'),
        ("x = [1\ny = 3\n", "x = [1]\ny = 3\n"),
        ("x = {'a': 1)\n", "x = {'a': 1}\n"),
        ("def f():\nreturn 1\n", "def f():\n    return 1\n"),
        ("x = 1\n    y = 2\n", "x = 1\ny = 2\n"),
        ("if x\n    pass\nelse:\n    pass\n", "if x:\n    pass\nelse:\n    pass\n"),
    ],
    ids=["surplus", "colon", "header", "call", "list", "wrong", "indent", "over-indented", "if"],
)
def test_mistake_with_exactly_one_mend_is_mended(tmp_path: Path, before: str, mended: str) -> None:
    """A missing or surplus bracket, a missing colon and a wrong indent are mended where only one mend compiles."""
    put(tmp_path, a=before)
    assert after(mend(tmp_path, "syntax-error")) == mended


@pytest.mark.parametrize(
    "text",
    [
        "x = f(a, b\ny = 1\n",
        "x = [1, 2\ny = 3\n",
        "def f():\nx = 1\ny = 2\n",
        "print 'x'\n",
        "x = f(a) + g(b))\n",
        'class A(\n    """Text."""\n    object):\n    pass\n',
    ],
    ids=["two places", "list or tuple", "how many lines", "python 2", "which bracket", "docstring among the bases"],
)
def test_mistake_with_several_mends_is_not_written(tmp_path: Path, text: str) -> None:
    """Where several mends compile and mean different things, or tokens would have to move, nothing is written."""
    put(tmp_path, a=text)
    assert mend(tmp_path, "syntax-error").changes == []


def test_docstring_among_the_bases_is_suggested(tmp_path: Path) -> None:
    """The docstring a careless script pasted between a class and its bases is moved, as a suggestion."""
    put(tmp_path, a='class A(\n    """Text."""\n    object):\n    def f(self):\n        return 1\n')
    assert proposed(mend(tmp_path, "syntax-error")) == 'class A(object):\n    """Text."""\n    def f(self):\n        return 1\n'


def test_several_mistakes_are_suggested_together(tmp_path: Path) -> None:
    """A file with two mistakes gets one suggestion that mends both."""
    put(tmp_path, a="def f(x)\n    return x\n\ndef g(y)\n    return y\n")
    found = mend(tmp_path, "syntax-error")
    assert found.changes == []
    assert proposed(found) == "def f(x):\n    return x\n\ndef g(y):\n    return y\n"


def test_line_ends_and_encoding_stay(tmp_path: Path) -> None:
    """A file keeps its line ends, its encoding and its mode."""
    path = tmp_path / "a.py"
    path.write_bytes('# coding: latin-1\r\nNAME = "caf\u00e9"\r\nPC2_HOST = "10.0.0.9"\r\n'.encode("latin-1"))
    path.chmod(0o750)
    mend(tmp_path, "hardcoded-address")
    data = path.read_bytes()
    assert 'NAME = "caf\u00e9"\r\n'.encode("latin-1") in data
    assert data.count(b"\n") == data.count(b"\r\n")
    assert path.stat().st_mode & 0o777 == 0o750


def test_planning_changes_nothing(tmp_path: Path) -> None:
    """A plan leaves the tree as it was."""
    put(tmp_path, a='PC2_HOST = "10.0.0.9"\n')
    stamp = os.stat(tmp_path / "a.py").st_mtime_ns
    assert plan(tmp_path).changes
    assert os.stat(tmp_path / "a.py").st_mtime_ns == stamp


def test_file_changed_since_the_plan_is_not_overwritten(tmp_path: Path) -> None:
    """When any file was edited meanwhile nothing at all is written."""
    put(tmp_path, a='PC2_HOST = "10.0.0.9"\n', b='NAS_HOST = "10.0.0.8"\n')
    found = plan(tmp_path)
    (tmp_path / "b.py").write_text("edited = True\n")
    with pytest.raises(RuntimeError, match="has changed meanwhile"):
        write(found.root, found.changes)
    assert (tmp_path / "a.py").read_text() == 'PC2_HOST = "10.0.0.9"\n'


def test_tests_keep_their_imports(tmp_path: Path) -> None:
    """Files among tests are not tidied."""
    put(tmp_path, tests__test_a="import json\n")
    assert mend(tmp_path, "unused-import").changes == []


def test_changes_name_the_rules_they_answer(tmp_path: Path) -> None:
    """One file mended for several rules is one change that names them all."""
    put(tmp_path, a='import json\nPC2_HOST = "10.0.0.9"\n')
    (change,) = plan(tmp_path).changes
    assert isinstance(change, Change)
    assert change.rules == ("hardcoded-address", "unused-import")
