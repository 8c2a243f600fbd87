"""Nothing in a tree can stop the audit."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tandem.audit import Options, audit
from tandem.audit.rules.catalogue import BY_ID
from tandem.audit.scan import Audit


def run(root: Path, *rules: str) -> Audit:
    return audit(Options(root=root, rules=frozenset(rules or BY_ID), cache=False, jobs=1))


def found(result: Audit, rule: str) -> list[tuple[str, int]]:
    return [(item.path, item.line) for item in result.findings if item.rule == rule]


def test_links_in_a_circle(tmp_path: Path) -> None:
    """A link to a folder above is named and not followed."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "up").symlink_to(tmp_path)
    (tmp_path / "a" / "x.py").write_text("x = 1\n")
    result = run(tmp_path)
    assert result.files == 1
    assert [(item.path, item.reason) for item in result.skipped] == [("a/up", "link to a folder")]


def test_dangling_link(tmp_path: Path) -> None:
    """A link to nothing is named."""
    (tmp_path / "gone.py").symlink_to(tmp_path / "nowhere.py")
    assert [item.reason for item in run(tmp_path).skipped] == ["dangling link"]


def test_link_to_a_file_of_the_tree_is_read_once(tmp_path: Path) -> None:
    """A second name of a file does not double its findings."""
    (tmp_path / "a.py").write_text("x = (\n")
    (tmp_path / "b.py").symlink_to(tmp_path / "a.py")
    assert found(run(tmp_path), "syntax-error") == [("a.py", 1)]


def test_pipe_is_not_opened(tmp_path: Path) -> None:
    """A named pipe, which would block whoever reads it, is left alone."""
    os.mkfifo(tmp_path / "pipe.py")
    assert [(item.path, item.reason) for item in run(tmp_path).skipped] == [("pipe.py", "not a regular file")]


def test_file_of_100_megabytes(tmp_path: Path) -> None:
    """A huge file is named and not read."""
    with (tmp_path / "data.py").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    result = run(tmp_path)
    assert result.files == 0
    assert [item.path for item in result.skipped] == ["data.py"]


def test_latin_1_without_declaration(tmp_path: Path) -> None:
    """A file that is neither UTF-8 nor declares an encoding is reported where the first odd letter stands."""
    (tmp_path / "a.py").write_bytes('x = 1\nname = "caf\u00e9"\n'.encode("latin-1"))
    assert found(run(tmp_path), "syntax-error") == [("a.py", 2)]


def test_latin_1_with_declaration(tmp_path: Path) -> None:
    """A declared encoding is honoured, and the other rules read the file."""
    (tmp_path / "a.py").write_bytes('# coding: latin-1\nname = "caf\u00e9 192.168.7.9"\n'.encode("latin-1"))
    result = run(tmp_path)
    assert found(result, "syntax-error") == []
    assert found(result, "hardcoded-address") == [("a.py", 2)]


def test_nul_bytes(tmp_path: Path) -> None:
    """A file with NUL bytes is reported at the line of the first one."""
    (tmp_path / "a.py").write_bytes(b"x = 1\ny = 2\n\x00\x00\n")
    assert found(run(tmp_path), "syntax-error") == [("a.py", 3)]


def test_utf_16(tmp_path: Path) -> None:
    """A file saved as UTF-16 is reported, since Python cannot read it."""
    (tmp_path / "a.py").write_bytes("x = 1\n".encode("utf-16"))
    (item,) = run(tmp_path).findings
    assert (item.rule, item.line) == ("syntax-error", 1)
    assert "UTF-16" in item.message


@pytest.mark.parametrize(
    "text",
    ["x = " + "(" * 5000 + ")" * 5000, "x = " + "-" * 20000 + "1", "if x:\n" * 120, "a." * 20000 + "b"],
    ids=["brackets", "signs", "ifs", "attributes"],
)
def test_nesting_beyond_any_stack(tmp_path: Path, text: str) -> None:
    """Code nested too deeply for the parser costs that file its analysis, not the audit."""
    (tmp_path / "deep.py").write_text(text + "\n")
    (tmp_path / "b.py").write_text("x = (\n")
    assert ("b.py", 1) in found(run(tmp_path), "syntax-error")


def test_random_bytes(tmp_path: Path) -> None:
    """Files of every kind filled with noise are survived."""
    noise = bytes(range(256)) * 40
    for name in ("a.py", "b.yaml", "c.json", "d.toml", "docker-compose.yml", "Dockerfile", "e.sh", ".env"):
        (tmp_path / name).write_bytes(noise)
    assert run(tmp_path).files == 8


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that may not be read is named with the reason."""
    (tmp_path / "a.py").write_text("x = 1\n")

    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert [item.reason for item in run(tmp_path).skipped] == ["Permission denied"]


def test_mistake_of_a_rule_hides_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a rule itself fails on one file, the audit says so and goes on with the others."""
    from tandem.audit import scan

    original = scan.examine

    def fails(root: Path, entry: object) -> object:
        if getattr(entry, "path", "") == "bad.py":
            raise KeyError("oops")
        return original(root, entry)  # type: ignore[arg-type]

    monkeypatch.setattr(scan, "examine", fails)
    (tmp_path / "bad.py").write_text("x = 1\n")
    (tmp_path / "worse.py").write_text("x = (\n")
    result = run(tmp_path)
    assert found(result, "syntax-error") == [("worse.py", 1)]
    assert "KeyError" in result.skipped[0].reason


def test_python_2_tree(tmp_path: Path) -> None:
    """Every file of a Python 2 tree is reported once, as that."""
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text("import os\nprint 'x'\nprint 'y'\n")
    result = run(tmp_path)
    assert found(result, "syntax-error") == [("a.py", 2), ("b.py", 2)]
    assert all("Python 2" in item.message for item in result.findings)


def test_newer_grammar_is_not_called_broken(tmp_path: Path) -> None:
    """A file that only a newer Python understands is a warning, not a broken file."""
    import sys

    if sys.version_info >= (3, 12):
        pytest.skip("this interpreter knows the grammar the case is made of")
    (tmp_path / "a.py").write_text("type Pair[T] = tuple[T, T]\n")
    (item,) = run(tmp_path, "syntax-error").findings
    assert item.severity.value == "warning"
    assert "newer Python" in item.message


def test_missing_tree(tmp_path: Path) -> None:
    """A path that does not exist is an error of configuration."""
    from tandem.core.errors import ConfigError

    with pytest.raises(ConfigError, match="there is no"):
        run(tmp_path / "nothing")


def test_single_file(tmp_path: Path) -> None:
    """A file may be audited by itself."""
    (tmp_path / "a.py").write_text("x = (\n")
    (tmp_path / "b.py").write_text("y = (\n")
    assert found(run(tmp_path / "a.py"), "syntax-error") == [("a.py", 1)]


def test_code_is_never_run(tmp_path: Path) -> None:
    """The audit reads code and does not import it."""
    mark = tmp_path / "ran"
    (tmp_path / "a.py").write_text(f"open({str(mark)!r}, 'w').write('x')\n")
    run(tmp_path)
    assert not mark.exists()


def test_comment_silences_a_rule(tmp_path: Path) -> None:
    """`# tandem: ignore[rule]` silences that rule on its line only, and a bare one silences all."""
    (tmp_path / "a.py").write_text(
        'A = "10.0.0.1"  # tandem: ignore[hardcoded-address]\n'
        'B = "10.0.0.2"  # tandem: ignore[path-hack]\n'
        'C = "10.0.0.3"  # tandem: ignore\n'
    )
    assert found(run(tmp_path), "hardcoded-address") == [("a.py", 2)]


def test_settings_of_the_tree(tmp_path: Path) -> None:
    """The tree's pyproject.toml can leave out paths and silence rules below a folder."""
    (tmp_path / "pyproject.toml").write_text(
        '[tool.tandem.audit]\nexclude = ["old/*"]\n[tool.tandem.audit.ignore]\n"lib/*" = ["hardcoded-*"]\n'
    )
    for folder in ("old", "lib", "app"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").write_text('A = "10.0.0.1"\n')
    assert found(run(tmp_path), "hardcoded-address") == [("app/a.py", 1)]


def test_wrong_settings_are_refused(tmp_path: Path) -> None:
    """A misspelt setting is an error, not silently nothing."""
    from tandem.core.errors import ConfigError

    (tmp_path / "pyproject.toml").write_text("[tool.tandem.audit]\nexcluded = []\n")
    with pytest.raises(ConfigError, match="excluded"):
        run(tmp_path)


def test_columns_count_characters(tmp_path: Path) -> None:
    """Columns count characters, also behind letters that take several bytes."""
    (tmp_path / "a.py").write_text('import os\nx = "\u00e4\u00f6\u00fc"; os.chdir("/srv")\n', encoding="utf-8")
    (item,) = run(tmp_path, "path-hack").findings
    assert (item.line, item.column) == (2, 12)
