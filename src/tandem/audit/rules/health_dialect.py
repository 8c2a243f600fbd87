"""Health answered in each agent's own words, or by each agent's own loop."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tandem.audit.model import Finding, Rule, Severity
from tandem.audit.python.flow import RECEIVES, SEND
from tandem.audit.python.module import FUNCTIONS, Function, PyModule, text_of

_HEALTH = re.compile(r"health|heartbeat|(^|_)(ping|alive|liveness|readiness)(_|$)", re.IGNORECASE)
_ACTION = re.compile(
    r"^/?(health(_?-?check|z)?|ping|health_?status|get_health|status_?check|heartbeat|alive|livez|readyz)$",
    re.I,
)
_MENTION = re.compile(r"health|heartbeat|ping|alive|liveness|readiness|livez|readyz", re.IGNORECASE)
_LOOP = re.compile(r"health|heartbeat", re.IGNORECASE)
_OUTGOING = re.compile(
    r"broadcast|publish|report|send|respond|repl|answer|serve|emit|announce|beat", re.IGNORECASE
)
_WORDS = frozenset({
    "ok", "okay", "healthy", "unhealthy", "degraded", "running", "alive", "up", "down", "online", "offline", "active", "success",
    "pong", "ready", "error", "starting", "stopping", "initializing", "good", "fine", "operational", "live",
})  # fmt: skip
_BARE = frozenset(
    {"ok", "okay", "healthy", "unhealthy", "degraded", "alive", "pong", "up", "running", "ready"}
)
_STATUS_KEYS = ("status", "health_status", "health", "state", "healthy", "alive", "is_healthy")
_ONE_FORM = frozenset({"status", "service", "machine", "timestamp", "issues"})
_ONE_FORM_WORDS = frozenset({"healthy", "degraded", "unhealthy", "starting", "stopping"})


def _module(module: PyModule) -> Iterator[Finding]:
    if module.source.is_test or not _MENTION.search(module.source.text):
        return
    replies: set[ast.AST] = set()
    for function in module.functions:
        if _HEALTH.search(function.name) or _is_route(module, function):
            yield from _loop(module, function)
        replies.update(_replies(module, function))
    for node in sorted(
        replies, key=lambda item: (getattr(item, "lineno", 0), getattr(item, "col_offset", 0))
    ):
        dialect = _dialect(node)
        if dialect:
            line, column = getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1
            yield RULE.at(
                module.path,
                line,
                column,
                f"health answered in the dialect {dialect}",
                fixable=isinstance(node, ast.Dict),
            )


def _is_route(module: PyModule, function: Function) -> bool:
    """A web handler whose path is about health."""
    for decorator in function.decorator_list:
        if isinstance(decorator, ast.Call) and decorator.args:
            path = text_of(decorator.args[0])
            if path is not None and path.startswith("/") and _ACTION.match(path.rpartition("/")[2]):
                return True
    return False


def _replies(module: PyModule, function: Function) -> Iterator[ast.AST]:
    """The health answers a function gives: what it returns or sends where it is asked for its health."""
    if function.name == "ping":
        return  # asks whether somebody is there, not how they are
    whole = _HEALTH.search(function.name) is not None or _is_route(module, function)
    if whole and (_monitors_others(function) or _names_levels(function)):
        return
    for node in ast.walk(function):
        if module.function_of(node) is not function:
            continue
        answer = _answer(node)
        if answer is not None and (whole or _asked_for_health(module, node, function)):
            yield from _literals(answer, function)
        if whole and isinstance(node, ast.Assign):
            yield from (
                value for value in [node.value] if isinstance(value, ast.Dict) and _is_sent(function, node)
            )


def _names_levels(function: Function) -> bool:
    """It puts a value into words, one of several, instead of telling its own health."""
    words = [
        part.value
        for part in ast.walk(function)
        if isinstance(part, ast.Return) and text_of(part.value) is not None
    ]
    return len(words) > 2


def _answer(node: ast.AST) -> ast.expr | None:
    """What a ``return`` or a send gives, without the calls that merely encode it (``jsonify``, ``json.dumps``, ``encode``)."""
    answer: ast.expr | None = None
    if isinstance(node, ast.Return):
        answer = node.value
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and SEND.match(node.func.attr)
        and node.args
    ):
        answer = node.args[0]
    while isinstance(answer, ast.Call):
        if answer.args:
            answer = answer.args[0]
        elif isinstance(answer.func, ast.Attribute) and answer.func.attr == "encode":
            answer = answer.func.value
        else:
            return next((item.value for item in answer.keywords if item.arg == "content"), None)
    return answer


def _literals(answer: ast.expr, function: Function) -> Iterator[ast.AST]:
    """The dictionaries or words behind an answer, through one local name."""
    if isinstance(answer, (ast.Dict, ast.Constant)):
        yield answer
    elif isinstance(answer, ast.IfExp):
        yield from _literals(answer.body, function)
        yield from _literals(answer.orelse, function)
    elif isinstance(answer, ast.Name):
        for part in ast.walk(function):
            if (
                isinstance(part, ast.Assign)
                and isinstance(part.value, ast.Dict)
                and answer.id in _names(part)
            ):
                yield part.value


def _names(assign: ast.Assign) -> set[str]:
    return {item.id for item in assign.targets if isinstance(item, ast.Name)}


def _is_sent(function: Function, assign: ast.Assign) -> bool:
    names = _names(assign)
    return any(
        isinstance(item, ast.Name) and item.id in names
        for part in ast.walk(function)
        if isinstance(part, ast.Call) and isinstance(part.func, ast.Attribute) and SEND.match(part.func.attr)
        for argument in part.args
        for item in ast.walk(argument)
    )


def _asked_for_health(module: PyModule, node: ast.AST, function: Function) -> bool:
    """The answer stands in a branch such as ``if action == "health_check":``."""
    child = node
    for above in module.ancestors(node):
        if above is function:
            return False
        if isinstance(above, ast.If) and child not in above.orelse and _tests_health(above.test):
            return True
        if isinstance(above, ast.match_case):
            return any(
                text is not None and _ACTION.match(text) for text in map(text_of, ast.walk(above.pattern))
            )
        child = above
    return False


def _tests_health(test: ast.expr) -> bool:
    for part in ast.walk(test):
        if isinstance(part, ast.Compare) and any(isinstance(op, (ast.Eq, ast.In)) for op in part.ops):
            sides = [part.left, *part.comparators]
            words = [text_of(item) for side in sides for item in ast.walk(side)]
            words += [
                item.value.decode(errors="ignore")
                for side in sides for item in ast.walk(side) if isinstance(item, ast.Constant) and isinstance(item.value, bytes)
            ]  # fmt: skip
            if any(word is not None and _ACTION.match(word) for word in words):
                return True
    return False


def _monitors_others(function: Function) -> bool:
    """A function that asks others how they are: it sends a question, and its result is about them."""
    for part in ast.walk(function):
        if isinstance(part, ast.Dict):
            for key, value in zip(part.keys, part.values, strict=True):
                asks = text_of(key) in ("action", "request", "command", "type", "cmd")
                if asks and _ACTION.match(text_of(value) or ""):
                    return True
        if isinstance(part, ast.Call):
            name = ast.unparse(part.func)
            if re.search(
                r"^(requests|httpx|aiohttp|urllib|self\.session|session|client)\b.*\.(get|post|head|request|urlopen)$",
                name,
            ):
                return True
    return False


def _dialect(node: ast.AST) -> str:
    """The dialect of an answer; empty when it is the one form, or no health answer at all."""
    if isinstance(node, ast.Constant):
        value = node.value.decode(errors="ignore") if isinstance(node.value, bytes) else node.value
        return f"bare word `{value}`" if isinstance(value, str) and value.strip().lower() in _BARE else ""
    if not isinstance(node, ast.Dict) or None in node.keys:
        return ""
    keys = {text_of(key): value for key, value in zip(node.keys, node.values, strict=True)}
    name = next((key for key in _STATUS_KEYS if key in keys), None)
    if name is None:
        return ""
    words = [item.value for item in ast.walk(keys[name]) if isinstance(item, ast.Constant)]
    texts = [word for word in words if isinstance(word, str)]
    if (
        name == "status"
        and keys.keys() >= _ONE_FORM
        and all(word in _ONE_FORM_WORDS for word in texts if word in _WORDS)
    ):
        return ""
    if texts and not any(word.lower() in _WORDS for word in texts):
        return ""
    shown = "|".join(str(word) for word in words[:2] if isinstance(word, (str, bool))) or "..."
    return (
        f"`{name}: {shown}`" if name != "status" or shown != "..." else "`status: ...` with keys of its own"
    )


def _loop(module: PyModule, function: Function) -> Iterator[Finding]:
    """A loop of the agent's own that tells or answers its health."""
    if not _LOOP.search(function.name):
        return
    for node in ast.walk(function):
        if (
            isinstance(node, (ast.While, ast.For))
            and module.function_of(node) is function
            and _tells(module, node, function)
        ):
            receives = any(
                isinstance(part, ast.Attribute) and part.attr in RECEIVES for part in ast.walk(node)
            )  # fmt: skip
            kind = "answers requests" if receives else "broadcasts"
            message = f"`{function.name}` {kind} health in a loop of its own"
            yield RULE.at(module.path, function.lineno, function.col_offset + 1, message)
            return


def _tells(module: PyModule, loop: ast.While | ast.For, function: Function) -> bool:
    if isinstance(loop, ast.For) or _monitors_others(function):
        return False
    owner = module.class_of(function)
    methods = {
        item.name: item
        for item in (owner.body if owner is not None else module.tree.body)
        if isinstance(item, FUNCTIONS)
    }
    for part in ast.walk(loop):
        if not isinstance(part, ast.Call):
            continue
        name = module.dotted(part.func).rpartition(".")[2] or (
            part.func.attr if isinstance(part.func, ast.Attribute) else ""
        )
        if SEND.match(name) or name in ("publish", "write_text", "setex", "sendall", "sendto"):
            return True
        helper = methods.get(name)
        if helper is not None and helper is not function and _HEALTH.search(name):
            called = {
                item.func.attr
                for item in ast.walk(helper)
                if isinstance(item, ast.Call) and isinstance(item.func, ast.Attribute)
            }
            if any(SEND.match(item) or item == "publish" for item in called):
                return True
        if _HEALTH.search(name) and _OUTGOING.search(name):
            return True
    return False


RULE = Rule(
    id="health-dialect",
    title="Health told in a dialect of its own",
    severity=Severity.WARNING,
    why=(
        "Whoever watches the fleet must know every dialect; the one it does not know shows as 'unknown', "
        "or as healthy for ever."
    ),
    how=(
        "Let the base answer `health_check` in the one form: status, service, machine, timestamp, "
        "issues; delete the loop."
    ),
    module=_module,
)
