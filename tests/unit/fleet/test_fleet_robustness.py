"""Whatever is in the file, loading answers with diagnostics and never with an exception."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.fleet import Surroundings, load, load_text
from tandem.fleet.render import render_all

DATA = Path(__file__).parent / "data"
HOUSEHOLD = (Path(__file__).parents[3] / "fleet.yaml").read_text()
LEGACY = (DATA / "legacy_mainpc.yaml").read_text()[:3000]
FLAT = (DATA / "legacy_pc2.yaml").read_text()[:2000]
AROUND = Surroundings(environ={"PORT_OFFSET": "7"}, is_here=lambda host: False)

words = st.sampled_from(
    ["fleet", "machines", "groups", "agents", "defaults", "port", "needs", "settings", "env", "probe", "restart", "x-a",
     "limits", "class", "command", "agent_groups", "pc2_services", "name", "script_path", "health_checks", "host", "gpu",
     "infra", "ports", "side_ports", "A", "B", "m1", "global_settings", "config", "dependencies", "environment"]
)  # fmt: skip
scalars = st.one_of(
    words,
    st.none(),
    st.booleans(),
    st.integers(-5, 70000),
    st.floats(allow_nan=False),
    st.text(max_size=8),
    st.sampled_from(["${A}", "${PORT_OFFSET}+7200", "${", "$$", "80%", "7000-7010", "auto", "fork"]),
)
documents = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(words, inner, max_size=6)),
    max_leaves=30,
)


@given(st.text(max_size=300))
def test_any_text_is_judged(text: str) -> None:
    """Arbitrary text gives a fleet or at least one diagnostic, and both can be rendered."""
    result = load_text(text, "fleet.yaml", AROUND)
    assert result.fleet is not None or result.diagnostics
    render_all(result.diagnostics)


@settings(max_examples=300)
@given(st.dictionaries(words, documents, max_size=6))
def test_any_structure_is_judged(document: object) -> None:
    """Well-formed YAML with our keys in the wrong places and of the wrong kinds is judged without an exception."""
    import yaml

    result = load_text(yaml.safe_dump(document, allow_unicode=True), "fleet.yaml", AROUND)
    assert result.fleet is not None or result.diagnostics
    render_all(result.diagnostics, color=True)


@pytest.mark.parametrize("text", [HOUSEHOLD, LEGACY, FLAT], ids=["ours", "nested", "flat"])
@settings(max_examples=60)
@given(data=st.data())
def test_slips_of_the_hand_are_judged(text: str, data: st.DataObject) -> None:
    """A real file with a stretch removed, doubled or replaced by an odd character is judged without an exception."""
    start = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 40))
    put = data.draw(
        st.sampled_from(
            ["", "\t", ":", "- ", "{", "}", "[", '"', "'", "&a", "*a", "<<: *a\n", "#", "\x00", "é"]
        )
    )
    doubled = data.draw(st.booleans())
    cut = text[start : start + length]
    broken = text[:start] + put + (cut + cut if doubled else "") + text[start + length :]
    result = load_text(broken, "fleet.yaml", AROUND)
    assert result.fleet is not None or result.diagnostics
    render_all(result.diagnostics)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty"),
        (b"   \n# only a comment\n", "empty"),
        (b"\x00\x01\x02\x03", "binary"),
        (b"fleet: \xff\xfe\n", "binary"),
        (b"a" * (1 << 20) + b"b", "unreadable"),
        ("\N{BYTE ORDER MARK}fleet: a\ngroups: {}\n".encode(), None),
        (b"fleet: a\r\ngroups: {}\r\n", None),
    ],
    ids=["empty", "comments", "zeros", "latin", "huge", "bom", "dos"],
)
def test_unusual_bytes(tmp_path: Path, content: bytes, code: str | None) -> None:
    """Empty, binary, wrongly encoded and oversized files have a code of their own; BOM and CR LF are harmless."""
    path = tmp_path / "fleet.yaml"
    path.write_bytes(content)
    assert [found.code for found in load(path).diagnostics] == ([code] if code else [])


def test_missing_file_names_the_ways_to_say_which(tmp_path: Path) -> None:
    """A file that is not there is a diagnostic without a line, and tells how to name another."""
    (found,) = load(tmp_path / "none.yaml").diagnostics
    assert (found.code, found.line) == ("unreadable", 0)
    assert "--fleet" in found.suggestion


def test_directory_cannot_be_read(tmp_path: Path) -> None:
    """A directory in place of the file is reported, not raised."""
    (found,) = load(tmp_path).diagnostics
    assert found.code == "unreadable"


@pytest.mark.parametrize("opening", ["[", "{a: ", "- "], ids=["flow list", "flow mapping", "block list"])
def test_endless_nesting_is_refused(opening: str) -> None:
    """Nesting that would overflow the parser's stack is refused before it is parsed."""
    result = load_text(opening * 300_000, "fleet.yaml", AROUND)
    assert [found.code for found in result.diagnostics] == ["yaml-syntax"]


def test_aliases_cannot_explode() -> None:
    """Nine lines that stand for a billion values are refused."""
    lines = ["x-a: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"x-{at}: &l{at} [{', '.join([f'*l{at - 1}'] * 10)}]" for at in range(1, 9)]
    result = load_text("fleet: a\n" + "\n".join(lines), "fleet.yaml", AROUND)
    assert "anchors expand without end" in [found.message for found in result.diagnostics]


def test_no_tag_runs_code() -> None:
    """A tag that would construct a Python object is only text."""
    result = load_text("fleet: !!python/object/apply:os.system ['true']\ngroups: {}\n", "fleet.yaml", AROUND)
    assert [found.code for found in result.diagnostics] == ["wrong-value"]
