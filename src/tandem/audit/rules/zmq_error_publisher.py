"""Errors sent over ZeroMQ instead of the error bus."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from tandem.audit.model import Finding, Rule, Severity
from tandem.audit.python.flow import SEND
from tandem.audit.python.module import Function, PyModule, keyword, text_of

_NAME = re.compile(r"err(or)?s?(_|$)|(^|_)errors?", re.IGNORECASE)
_TOPIC = re.compile(r"^\s*(ERRORS?|error[._-]?(bus|event|report|events)?)\s*([:./ |]|$)", re.IGNORECASE)
_TYPES = re.compile(
    r"^(error|error_?report|error_?event|agent_?error|exception|critical_?error)s?$", re.IGNORECASE
)
_BUS = re.compile(r"^(report_error|publish_error|send_error|log_error_event)$")
_NATS = re.compile(r"nats|error_bus|jetstream|(^|\.)js$|(^|\.)nc$", re.IGNORECASE)
_PUBLISHERS = ("zmq.PUB", "zmq.PUSH", "zmq.XPUB")


def _module(module: PyModule) -> Iterator[Finding]:
    if module.source.is_test or ("zmq" not in module.source.text and "send_" not in module.source.text):
        return
    publishers = _publishers(module)
    for call in module.nodes(ast.Call):
        if _publishes_error(module, call, publishers):
            twice = _also_reports(module, call)
            ending = ", and reported to the bus as well: the same error arrives twice" if twice else ""
            message = f"an error is published over ZeroMQ instead of the error bus{ending}"
            yield RULE.at(module.path, call.lineno, call.col_offset + 1, message, fixable=True)
    for place, line, column in publishers.values():
        if _NAME.search(place.rpartition(".")[2]):
            message = f"`{place}` is a ZeroMQ publisher for errors"
            yield RULE.at(module.path, line, column, message, fixable=True)


def _publishers(module: PyModule) -> dict[str, tuple[str, int, int]]:
    """Name (``self.x`` or ``x``, by class) → publishing sockets the module opens."""
    found: dict[str, tuple[str, int, int]] = {}
    for node in module.nodes(ast.Assign):
        call = node.value
        while isinstance(call, ast.Attribute):
            call = call.value
        if not isinstance(call, ast.Call):
            continue
        kind = keyword(call, "socket_type", 0)
        name = module.dotted(call.func)
        opens = isinstance(call.func, ast.Attribute) and call.func.attr == "socket" and kind is not None
        if (opens and kind is not None and module.dotted(kind) in _PUBLISHERS) or name.rpartition(".")[
            2
        ] == "get_pub_socket":
            for target in node.targets:
                place = module.dotted(target)
                if place:
                    found[place] = (place, node.lineno, node.col_offset + 1)
    return found


def _publishes_error(module: PyModule, call: ast.Call, publishers: dict[str, tuple[str, int, int]]) -> bool:
    function = call.func
    if not isinstance(function, ast.Attribute) or not SEND.match(function.attr) or not call.args:
        return False
    place = module.dotted(function.value)
    last = place.rpartition(".")[2]
    is_publisher = place in publishers or re.search(r"pub|push|bus", last, re.I) is not None
    if _NAME.search(last) and re.search(r"pub|push|bus|sock|channel|out", last, re.I):
        return True
    if not is_publisher:
        return _topic(module, call) is not None and "zmq" in module.source.text and not _is_reply(last)
    return _topic(module, call) is not None or _is_error_payload(module, call)


def _is_reply(name: str) -> bool:
    return re.search(r"rep(ly)?(_|$)|router|response|client|ws|conn", name, re.I) is not None


def _topic(module: PyModule, call: ast.Call) -> str | None:
    """The topic a message starts with, when that topic is about errors."""
    first = call.args[0]
    if isinstance(first, (ast.List, ast.Tuple)) and first.elts:
        first = first.elts[0]
    text = _leading_text(module, first)
    if text is None or not _TOPIC.match(text):
        return None
    topical = isinstance(call.args[0], (ast.List, ast.Tuple)) or re.match(
        r"\s*ERRORS?\s*[:.|/]|\s*error[._](bus|event|report|events)", text
    )
    return text if topical else None


def _leading_text(module: PyModule, node: ast.expr) -> str | None:
    while True:
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("encode", "format")
        ):
            node = node.func.value
        elif isinstance(node, ast.BinOp):
            node = node.left
        elif isinstance(node, ast.JoinedStr) and node.values:
            node = node.values[0]
        elif isinstance(node, ast.FormattedValue):
            node = node.value
        elif (
            isinstance(node, ast.Name)
            and node.id in module.constants
            and module.constants[node.id] is not node
        ):
            node = module.constants[node.id]
        else:
            break
    if isinstance(node, ast.Constant) and isinstance(node.value, bytes):
        return node.value.decode(errors="ignore")
    return text_of(node)


def _is_error_payload(module: PyModule, call: ast.Call) -> bool:
    """The message is a dictionary that says of itself that it is an error."""
    node = call.args[0]
    while isinstance(node, ast.Call) and (node.args or isinstance(node.func, ast.Attribute)):
        node = (
            node.args[0]
            if node.args
            else node.func.value
            if isinstance(node.func, ast.Attribute)
            else node.args[0]
        )
    if isinstance(node, ast.Name):
        node = _assigned(module, node) or node
    if not isinstance(node, ast.Dict):
        return False
    keys = {text_of(key): text_of(value) for key, value in zip(node.keys, node.values, strict=True)}
    if "error_type" in keys or ("severity" in keys and ("error" in keys or "error_message" in keys)):
        return True
    return any(
        _TYPES.match(keys.get(name) or "")
        for name in ("type", "topic", "event", "event_type", "message_type", "kind")
    )


def _assigned(module: PyModule, name: ast.Name) -> ast.expr | None:
    function = module.function_of(name)
    for node in module.nodes(ast.Assign):
        if module.function_of(node) is function and any(
            isinstance(item, ast.Name) and item.id == name.id for item in node.targets
        ):
            return node.value
    return None


def _also_reports(module: PyModule, call: ast.Call) -> bool:
    """The same function reports to the error bus too."""
    function: Function | ast.Lambda | None = module.function_of(call)
    if function is None:
        return False
    for part in ast.walk(function):
        if isinstance(part, ast.Call) and part is not call:
            name = module.dotted(part.func) or (
                ast.unparse(part.func) if isinstance(part.func, ast.Attribute) else ""
            )
            if _BUS.match(name.rpartition(".")[2]):
                return True
            if name.endswith(".publish") and _NATS.search(name.removesuffix(".publish")):
                return True
    return False


RULE = Rule(
    id="zmq-error-publisher",
    title="Errors published over ZeroMQ",
    severity=Severity.WARNING,
    why=(
        "PUB drops what nobody listens to at that moment: the errors of a crash are the first to be "
        "lost; with both, they count twice."
    ),
    how=(
        "Call `report_error(...)`: the error bus keeps what it accepted. Run both for a while, then drop "
        "the socket."
    ),
    module=_module,
)
