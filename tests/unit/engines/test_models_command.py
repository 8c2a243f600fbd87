"""``tandem models`` on an empty and a filled store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tandem.core.errors import NotFound
from tandem_agents.commands.models import app
from tandem_agents.engines.models import ModelMissing, Store, builtin_catalogue

RUN = CliRunner()


@pytest.fixture(autouse=True)
def empty_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    monkeypatch.setenv("TANDEM_MODELS", str(tmp_path))
    return Store(tmp_path)


def put(store: Store, model_id: str) -> list[Path]:
    """Lay files of the right size but not the right bytes into the store."""
    paths = []
    for file in builtin_catalogue().get(model_id).files:
        path = store.blob(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as out:
            out.truncate(file.bytes)
        paths.append(path)
    return paths


def test_the_list_names_every_model_and_its_state(empty_store: Store) -> None:
    """Present, missing and partly present are told apart, in JSON and in the table."""
    put(empty_store, "yunet")
    put(empty_store, "minilm")[0].unlink()
    rows = {row["id"]: row for row in json.loads(RUN.invoke(app, ["list", "--json"]).stdout)}
    assert set(rows) == {model.id for model in builtin_catalogue()}
    assert (rows["yunet"]["state"], rows["minilm"]["state"], rows["sface"]["state"]) == (
        "present",
        "partial",
        "missing",
    )
    assert rows["qwen2.5-0.5b"]["fetch"] == "tandem models fetch qwen2.5-0.5b"
    assert rows["qwen2.5-0.5b"]["weights_licence"] == "Apache-2.0"
    assert any(source.startswith("pip ") for source in rows["qwen2.5-0.5b"]["sources"])
    assert rows["silero-vad"]["bundled"] is True
    table = RUN.invoke(app, ["list"]).stdout
    assert all(model_id in table for model_id in rows)


def test_a_path_is_printed_or_the_command_that_gets_the_model(empty_store: Store) -> None:
    """Scripts can use the output as it is."""
    [path] = put(empty_store, "yunet")
    assert RUN.invoke(app, ["path", "yunet", "--file", "model.onnx"]).stdout.strip() == str(path)
    missing = RUN.invoke(app, ["path", "sface"])
    assert isinstance(missing.exception, ModelMissing)
    assert missing.exception.hint == "tandem models fetch sface"
    assert isinstance(RUN.invoke(app, ["path", "nonsense"]).exception, NotFound)


def test_verify_exits_with_one_when_something_is_damaged(empty_store: Store) -> None:
    """Zeros of the right size are found out; asked about a missing model it says so too."""
    put(empty_store, "yunet")
    result = RUN.invoke(app, ["verify", "--json"])
    findings = {(each["model"], each["file"]): each["state"] for each in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert findings["yunet", "model.onnx"] == "damaged"
    assert findings["silero-vad", "ggml-silero-v6.2.0.bin"] == "ok"
    assert RUN.invoke(app, ["verify"]).exit_code == 0
    assert RUN.invoke(app, ["verify", "yunet"]).exit_code == 1


def test_fetch_wants_to_know_what() -> None:
    """Without a model and without --default nothing is fetched."""
    result = RUN.invoke(app, ["fetch"])
    assert result.exit_code == 2
    assert "--default" in result.output


def test_every_command_shows_an_example() -> None:
    """``--help`` of each verb has one."""
    for verb in ("list", "fetch", "verify", "path"):
        assert f"Example: tandem models {verb}" in RUN.invoke(app, [verb, "--help"]).stdout
