"""Compose files: what a service lacks to be run unattended, and what cannot work across hosts."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tandem.audit.fleet.compose import ComposeFile, Service, environment
from tandem.audit.fleet.positions import Spot, Value
from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.project import Project
from tandem.audit.rules.plain_credential import is_secret, masked


def _services(project: Project) -> Iterator[tuple[ComposeFile, Service]]:
    for file in project.compose_files:
        for service in file.services:
            if service.value.get("extends") is None and not service.name.startswith("x-"):
                yield file, service


def _health(project: Project) -> Iterator[Finding]:
    for file, service in _services(project):
        check = service.value.get("healthcheck")
        if check is not None:
            disabled = check.get("disable")
            test = check.get("test")
            off = (disabled is not None and disabled.is_true) or (
                test is not None and [text for text, _ in test.texts()][:1] == ["NONE"]
            )
            if off:
                yield HEALTH.at(
                    file.path,
                    check.spot.line,
                    check.spot.column,
                    f"the health check of {service.name} is switched off",
                )
            continue
        image = file.dockerfile(service)
        if image and project.exists(image):
            if re.search(r"(?im)^\s*HEALTHCHECK\s+(?!NONE)", project.read(image)):
                continue
            message = f"{service.name} has no health check, and its Dockerfile ({image}) has none either"
        elif image:
            message = f"{service.name} has no health check, and its Dockerfile ({image}) is missing"
        else:
            message = f"{service.name} has no health check; whether its image brings one cannot be seen here"
        confidence = Confidence.HIGH if image else Confidence.MEDIUM
        yield HEALTH.at(file.path, service.spot.line, service.spot.column, message, confidence=confidence)


def _limits(project: Project) -> Iterator[Finding]:
    for file, service in _services(project):
        limits = service.value.get("deploy", "resources", "limits")
        memory = service.value.get("mem_limit") or (limits.get("memory") if limits is not None else None)
        cpus = (
            service.value.get("cpus")
            or service.value.get("cpu_quota")
            or (limits.get("cpus") if limits is not None else None)
        )
        lacking = [name for name, value in (("memory", memory), ("CPU", cpus)) if value is None]
        if lacking:
            severity = Severity.WARNING if memory is None else Severity.NOTE
            message = f"{service.name} has no limit on {' and '.join(lacking)}"
            yield LIMITS.at(file.path, service.spot.line, service.spot.column, message, severity=severity)


def _restart(project: Project) -> Iterator[Finding]:
    for file, service in _services(project):
        policy = service.value.get("restart") or service.value.get("deploy", "restart_policy")
        stays_down = policy is None or policy.text in ("no", "False", "false")
        if stays_down and service.value.get("profiles") is None:
            message = f"{service.name} stays down after a crash: no restart policy"
            yield RESTART.at(file.path, service.spot.line, service.spot.column, message)


def _dependency(project: Project) -> Iterator[Finding]:
    for file in project.compose_files:
        services = {service.name: service for service in file.services}
        needs: dict[str, list[str]] = {}
        for service in file.services:
            found = list(_needed(service.value.get("depends_on")))
            needs[service.name] = [name for name, _, _ in found]
            for name, spot, condition in found:
                if name not in services:
                    if file.root is None or file.root.get("include") is None:
                        yield DEPENDENCY.at(
                            file.path, spot.line, spot.column, f"{service.name} depends on {name}, which is no service of this file",
                            severity=Severity.ERROR,
                        )  # fmt: skip
                elif (
                    condition in ("", "service_started")
                    and services[name].value.get("healthcheck") is not None
                ):
                    message = (
                        f"{service.name} starts as soon as {name} is started, not when it is healthy: add "
                        "`condition: service_healthy`"
                    )
                    yield DEPENDENCY.at(file.path, spot.line, spot.column, message)
                elif condition == "service_healthy" and services[name].value.get("healthcheck") is None:
                    image = file.dockerfile(services[name])
                    if not (image and project.exists(image) and "HEALTHCHECK" in project.read(image)):
                        message = (
                            f"{service.name} waits until {name} is healthy, but {name} has no health check"
                        )
                        yield DEPENDENCY.at(file.path, spot.line, spot.column, message)
        yield from _circles(file, services, needs)


def _needed(value: Value | None) -> Iterator[tuple[str, Spot, str]]:
    """(service, place, condition) of ``depends_on`` in either spelling."""
    if value is None:
        return
    for name, spot, inner in value.pairs():
        condition = inner.get("condition")
        yield name, spot, condition.text if condition is not None else ""
    for name, spot in value.texts() if value.is_list else ():
        yield name, spot, ""


def _circles(
    file: ComposeFile, services: dict[str, Service], needs: dict[str, list[str]]
) -> Iterator[Finding]:
    seen: set[frozenset[str]] = set()
    for start in services:
        trail = [start]
        pending = [iter(needs.get(start, ()))]
        visited = {start}
        while pending:
            target = next(pending[-1], None)
            if target is None:
                pending.pop()
                trail.pop()
            elif target == start and frozenset(trail) not in seen:
                seen.add(frozenset(trail))
                spot = services[start].spot
                message = f"services depend on each other in a circle: {' → '.join([*trail, start])}"
                yield DEPENDENCY.at(file.path, spot.line, spot.column, message, severity=Severity.ERROR)
            elif target in services and target not in visited:
                visited.add(target)
                trail.append(target)
                pending.append(iter(needs.get(target, ())))


def _secrets(project: Project) -> Iterator[Finding]:
    for file, service in _services(project):
        for name, value, spot in environment(service):
            if is_secret(name, value, code=False):
                message = f"{service.name} gets `{name}` as plain text in its environment"
                line = project.read(file.path).splitlines()[spot.line - 1]
                yield SECRET.at(
                    file.path, spot.line, spot.column, message, source=masked(line.strip(), value)
                )


def _networks(project: Project) -> Iterator[Finding]:
    """A bridge network lives on one host; files of several machines that count on the same one cannot meet."""
    joined: dict[str, list[tuple[ComposeFile, Spot]]] = {}
    for file in project.compose_files:
        networks = file.root.get("networks") if file.root is not None else None
        for name, spot, value in networks.pairs() if networks is not None else ():
            driver, external = value.get("driver"), value.get("external")
            if driver is not None and driver.text not in ("", "bridge"):
                continue
            real = value.get("name")
            claims = external is not None and external.text.lower() not in ("", "false")
            joined.setdefault(real.text if real is not None and real.text else name, []).append((file, spot))
            if (
                re.search(r"cross|multi|inter.?(host|machine)|between|shared|cluster|overlay", name, re.I)
                and not claims
            ):
                message = (
                    f"network {name} is a bridge: it ends at this host, services on another machine "
                    "cannot be reached through it"
                )
                yield NETWORK.at(file.path, spot.line, spot.column, message)
    for name, places in joined.items():
        machines = {_machine(file.path) for file, _ in places}
        if len(machines - {""}) > 1 and name != "default":
            for file, spot in places:
                if not re.search(
                    r"cross|multi|inter.?(host|machine)|between|shared|cluster|overlay", name, re.I
                ):
                    others = ", ".join(sorted(other.path for other, _ in places if other is not file))
                    message = (
                        f"bridge network {name} is also declared for another machine ({others}): they are "
                        "two networks, not one"
                    )
                    yield NETWORK.at(file.path, spot.line, spot.column, message, confidence=Confidence.MEDIUM)


def _machine(path: str) -> str:
    match = re.search(r"(main_?pc|pc_?\d+|host_?\w|node_?\d+|machine_?\w+)", path.lower())
    return match.group(1).replace("_", "") if match else ""


HEALTH = Rule(
    id="compose-healthcheck",
    title="A service without health check",
    severity=Severity.WARNING,
    why="Docker calls it running while it hangs; nothing waits for it to be ready and nothing restarts it.",
    how=(
        "Add `healthcheck:` (interval 60s, timeout 30s, retries 5, start_period 120s suit model servers) "
        "or a HEALTHCHECK in the image."
    ),
    project=_health,
)
LIMITS = Rule(
    id="compose-limits",
    title="A service without resource limits",
    severity=Severity.WARNING,
    why="One leak takes the memory of the host, and the kernel then kills whom it likes.",
    how="Set `deploy.resources.limits` (memory, cpus), or `mem_limit` and `cpus`.",
    project=_limits,
)
RESTART = Rule(
    id="compose-restart",
    title="A service that stays down",
    severity=Severity.WARNING,
    why="The first crash or reboot is the end of it, until somebody notices.",
    how="Add `restart: unless-stopped`.",
    project=_restart,
)
DEPENDENCY = Rule(
    id="compose-dependency",
    title="A dependency that does not hold",
    severity=Severity.WARNING,
    why="`depends_on` without a condition waits for the container, not for the service inside.",
    how="Use `condition: service_healthy`, and give the other service a health check.",
    project=_dependency,
)
SECRET = Rule(
    id="compose-secret",
    title="A secret in a service's environment",
    severity=Severity.WARNING,
    why="`docker inspect`, every child process and every crash report show it.",
    how="Use `secrets:` and read `/run/secrets/<name>`.",
    project=_secrets,
)
NETWORK = Rule(
    id="compose-network",
    title="A network that cannot span hosts",
    severity=Severity.ERROR,
    why="A bridge network ends at its host: containers on two computers never see each other through it.",
    how=(
        "Publish ports or use host networking and encrypt between the machines yourself, or use an "
        "overlay network."
    ),
    project=_networks,
)
RULES = (HEALTH, LIMITS, RESTART, DEPENDENCY, SECRET, NETWORK)
