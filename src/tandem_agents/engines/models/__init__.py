"""Model files: which there are (``catalogue``), where they are kept (``store``), how they come (``fetch``)."""

from tandem_agents.engines.models.catalogue import Catalogue, Model, ModelFile, builtin_catalogue
from tandem_agents.engines.models.store import DiskFull, ModelDamaged, ModelMissing, Store

__all__ = [
    "Catalogue",
    "DiskFull",
    "Model",
    "ModelDamaged",
    "ModelFile",
    "ModelMissing",
    "Store",
    "builtin_catalogue",
]
