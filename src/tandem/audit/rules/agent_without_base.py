"""Agent classes that do not stand on the common base, and so answer no health check."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.project import Project
from tandem.audit.python.facts import ClassFact
from tandem.audit.source import is_test_path

Key = tuple[str, str]
_BASE_NAME = re.compile(r"^(Base\w*Agent|AgentBase|AbstractAgent|\w*BaseAgent\w*)$")
_HARMLESS = frozenset(
    {
        "object",
        "ABC",
        "abc.ABC",
        "threading.Thread",
        "Thread",
        "multiprocessing.Process",
        "typing.Generic",
        "Generic",
    }
)
_NO_AGENT = re.compile(
    r"(Error|Exception|Warning|Enum|Flag|Protocol|TypedDict|NamedTuple|BaseModel|BaseSettings|TestCase|Config|Mixin)$"
)


def _project(project: Project) -> Iterator[Finding]:
    bases = set(_common_bases(project))
    known = bases or set(_foreign_bases(project))
    if not known and not project.settings.base_classes:
        return
    declared = {agent.name for agent in project.declared}
    for path, facts in project.modules.items():
        if is_test_path(path):
            continue
        for fact in facts.classes:
            if (path, fact.name) not in bases and "data" not in fact.signs:
                finding = _judge(project, path, fact, bases, _is_agent(fact, declared, facts.is_entry))
                if finding is not None:
                    yield finding


def _common_bases(project: Project) -> Iterator[Key]:
    """The base classes of the tree: named as such, or as the settings say."""
    for key, fact in project.index.classes.items():
        name = fact.name.rpartition(".")[2]
        if name in project.settings.base_classes or (_BASE_NAME.match(name) and not is_test_path(key[0])):
            yield key


def _foreign_bases(project: Project) -> Iterator[Key]:
    """Base classes that are imported from outside the tree."""
    for key, fact in project.index.classes.items():
        if any(_is_base_name(project, base) for base in fact.bases):
            yield key


def _is_base_name(project: Project, dotted: str) -> bool:
    name = dotted.rpartition(".")[2]
    return name in project.settings.base_classes or _BASE_NAME.match(name) is not None


def _is_agent(fact: ClassFact, declared: set[str], in_script: bool) -> bool:
    name = fact.name.rpartition(".")[2]
    signs = set(fact.signs)
    if "data" in signs or any(_NO_AGENT.search(base) for base in fact.bases) or _NO_AGENT.search(name):
        return False
    if name in declared:
        return True
    serves = signs & {"socket", "request", "health", "loop"}
    if name.endswith("Agent") and not name.startswith(("User", "Mock", "Fake", "Stub", "Test", "Dummy")):
        return bool(serves or "launched" in signs)
    return in_script and "launched" in signs and "socket" in signs and len(serves) >= 2


def _judge(project: Project, path: str, fact: ClassFact, bases: set[Key], agent: bool) -> Finding | None:
    index = project.index
    stands = _stands(project, (path, fact.name), bases, set())
    name = fact.name.rpartition(".")[2]
    if stands is None:
        return None
    if not stands and not agent:
        return None
    if not stands:
        message = f"`{name}` bypasses the common base: it answers health checks only if it wrote them itself"
        confidence = Confidence.HIGH if name.endswith("Agent") else Confidence.MEDIUM
        return RULE.at(path, fact.line, fact.column, message, confidence=confidence)
    if fact.initialises is False and any(
        index.classes[above].initialises is not None for above in index.ancestors((path, fact.name))
    ):
        message = f"`{name}.__init__` never calls the base's: its health and sockets are not set up"
        return RULE.at(path, fact.line, fact.column, message)
    return None


def _stands(project: Project, key: Key, bases: set[Key], seen: set[Key]) -> bool | None:
    """Whether a class derives from a common base; None when a base of unknown nature leaves it open."""
    if key in seen:
        return False
    seen.add(key)
    unknown = False
    for written, base in project.index.base_classes(key[0], project.index.classes[key]):
        if _is_base_name(project, written):
            return True
        if base is not None:
            if (base.path, base.name) in bases:
                return True
            below = _stands(project, (base.path, base.name), bases, seen)
            if below:
                return True
            unknown = unknown or below is None
        elif written not in _HARMLESS and not written.startswith(
            ("typing.", "abc.", "threading.", "collections.")
        ):
            unknown = True
    return None if unknown else False


RULE = Rule(
    id="agent-without-base",
    title="An agent that bypasses the common base",
    severity=Severity.WARNING,
    why=(
        "What the base gives (health, registration, error reports, orderly stop) is missing or copied, "
        "each time a little differently."
    ),
    how=(
        "Derive it from the common base and call `super().__init__`; under Tandem, from `tandem.agent.Agent`."
    ),
    project=_project,
)
