"""Mends of addresses written into the code."""

from __future__ import annotations

from pathlib import Path

import pytest
from mends import after, mend, proposed, put, run


def test_address_in_a_constant_comes_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant keeps its value, and a variable of its name now overrides it."""
    put(tmp_path, a='PC2_HOST = "192.168.100.17"  # the other one\n')
    found = mend(tmp_path, "hardcoded-address")
    assert after(found) == 'import os\n\nPC2_HOST = os.environ.get("PC2_HOST", "192.168.100.17")  # the other one\n'
    monkeypatch.delenv("PC2_HOST", raising=False)
    assert run(tmp_path)["PC2_HOST"] == "192.168.100.17"
    monkeypatch.setenv("PC2_HOST", "pc2.lan")
    assert run(tmp_path)["PC2_HOST"] == "pc2.lan"


def test_address_within_texts_uses_the_name_the_tree_has_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints, plain or formatted, use the variable that another file reads for the same address."""
    put(
        tmp_path,
        env='import os\nHOST = os.environ.get("PC2_IP", "192.168.100.17")\n',
        a="""
        import os
        A = "tcp://192.168.100.17:7150"
        def b(port):
            return f'http://192.168.100.17:{port}/{{x}}'
        C = 'say "192.168.100.17" {literally}'
        """,
    )
    mend(tmp_path, "hardcoded-address")
    monkeypatch.delenv("PC2_IP", raising=False)
    same = run(tmp_path)
    assert (same["A"], same["b"](9), same["C"]) == (
        "tcp://192.168.100.17:7150",
        "http://192.168.100.17:9/{x}",
        'say "192.168.100.17" {literally}',
    )
    monkeypatch.setenv("PC2_IP", "pc2")
    assert run(tmp_path)["b"](9) == "http://pc2:9/{x}"


def test_address_without_a_known_name_is_only_suggested(tmp_path: Path) -> None:
    """The name of a variable is never made up in what is written."""
    put(tmp_path, a='def f(s):\n    s.connect("tcp://10.0.0.9:1")\n')
    found = mend(tmp_path, "hardcoded-address")
    assert found.changes == []
    assert "HOST_10_0_0_9" in proposed(found)


def test_address_known_by_two_names_is_only_suggested(tmp_path: Path) -> None:
    """When the tree has two variables for one address, the choice is a person's."""
    put(
        tmp_path,
        x='import os\nos.environ.get("HUB_IP", "10.0.0.9")\nos.environ.get("NAS_IP", "10.0.0.9")\n',
        a='U = "http://10.0.0.9/"\n',
    )
    assert mend(tmp_path, "hardcoded-address").changes == []


@pytest.mark.parametrize(
    "text",
    [
        'def f():\n    """Connects to 10.0.0.9."""\n',
        'from typing import Literal\nX: Literal["10.0.0.9"]\n',
        'def f(x):\n    match x:\n        case "10.0.0.9":\n            return 1\n',
        'X = b"10.0.0.9"\n',
    ],
    ids=["docstring", "type", "pattern", "bytes"],
)
def test_places_an_address_cannot_be_looked_up_stay(tmp_path: Path, text: str) -> None:
    """Docstrings, types, patterns and bytes are neither changed nor proposed."""
    put(tmp_path, a=text)
    found = mend(tmp_path, "hardcoded-address")
    assert found.changes == []
    assert found.suggestions == []
