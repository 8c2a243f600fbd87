"""Docker Compose files and Dockerfiles, as far as the rules need them."""

from __future__ import annotations

import posixpath
import re

from msgspec import Struct

from tandem.audit.fleet.positions import Broken, Spot, Value, document

_NAME = re.compile(r"(^|/)(docker-)?compose[^/]*\.ya?ml$|(^|/)(podman|docker)-compose[^/]*\.ya?ml$")


class Service(Struct, frozen=True):
    """One service and where it is declared."""

    name: str
    spot: Spot
    value: Value


class ComposeFile(Struct):
    """A Compose file; ``broken`` when it cannot be read."""

    path: str
    services: list[Service] = []
    root: Value | None = None
    broken: Broken | None = None

    def dockerfile(self, service: Service) -> str:
        """Path of the Dockerfile a service is built from; empty when it uses a ready image."""
        build = service.value.get("build")
        if build is None:
            return ""
        context = build.text or (inner.text if (inner := build.get("context")) is not None else ".")
        named = build.get("dockerfile")
        path = posixpath.join(
            posixpath.dirname(self.path),
            context,
            named.text if named is not None and named.text else "Dockerfile",
        )
        return posixpath.normpath(path)


def looks_like_compose(path: str, text: str) -> bool:
    """Whether it is worth reading as a Compose file."""
    return _NAME.search(path) is not None or re.search(r"(?m)^services:\s*$", text) is not None


def read_compose(path: str, text: str) -> ComposeFile | None:
    """The services of a Compose file; None when ``path`` is not one, by name or by content."""
    if not looks_like_compose(path, text):
        return None
    named = _NAME.search(path) is not None
    try:
        root = document(text)
    except Broken as error:
        return ComposeFile(path, broken=error) if named else None
    services = root.get("services") if root is not None else None
    if root is None or services is None or not services.is_mapping:
        return None
    found = [Service(name, spot, value) for name, spot, value in services.pairs() if value.is_mapping]
    known = {"image", "build", "command", "ports", "environment", "volumes", "extends", "depends_on"}
    if not named and not any(service.value.get(key) is not None for service in found for key in known):
        return None
    return ComposeFile(path, found, root)


def environment(service: Service) -> list[tuple[str, str, Spot]]:
    """(name, value, place) of a service's environment, in either of Compose's spellings."""
    value = service.value.get("environment")
    if value is None:
        return []
    if value.is_mapping:
        return [(key, inner.text, spot) for key, spot, inner in value.pairs()]
    pairs = [(text.partition("="), spot) for text, spot in value.texts()]
    return [(name, given, spot) for (name, separator, given), spot in pairs if separator]
