"""From the name of a class to the class."""

from __future__ import annotations

import importlib

from tandem.agent.base import Agent
from tandem.core.errors import ConfigError


def load_agent_class(class_path: str) -> type[Agent]:
    """Import ``package.module:Class``.

    Raises :class:`ConfigError` when there is no such module or class, or the class is no agent. An exception
    raised by the module itself passes through: it is the module's bug, not the path's.
    """
    module_name, _, class_name = class_path.partition(":")
    if not module_name or not class_name:
        raise ConfigError(f"not a class path: {class_path!r}", hint="write package.module:Class")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if module_name == missing or module_name.startswith(missing + "."):
            raise ConfigError(f"there is no module {missing!r} (from {class_path!r})") from None
        raise
    cls = getattr(module, class_name, None)
    if cls is None:
        raise ConfigError(f"module {module_name!r} has no class {class_name!r}")
    if not (isinstance(cls, type) and issubclass(cls, Agent)):
        raise ConfigError(f"{class_path!r} is not an Agent", hint="derive it from tandem.agent.Agent")
    return cls
