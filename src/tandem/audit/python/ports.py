"""Ports the code falls back to, to be held against the configuration."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Literal

from tandem.audit.python.facts import PortDefault
from tandem.audit.python.module import FUNCTIONS, PyModule, keyword, text_of
from tandem.audit.python.values import Values

Role = Literal["port", "health"]
_OWN_KEYS: dict[str, Role] = {"port": "port", "health_check_port": "health", "health_port": "health"}
_OWN_CONSTANT = re.compile(r"^(DEFAULT_|AGENT_|SERVICE_)?(HEALTH_(CHECK_)?)?PORT$")


def collect(module: PyModule, values: Values) -> Iterator[PortDefault]:
    """Defaults for an agent's own port and health port.

    Seen are ``config.get("port", 7100)``, ``getattr(args, "port", 7100)``, parameters ``port=7100`` of ``__init__``,
    ``super().__init__(port=7100)``, a method ``_get_default_port`` and constants such as ``DEFAULT_PORT``.
    """
    if "port" not in module.source.text.lower():
        return
    for call in module.nodes(ast.Call):
        yield from _looked_up(module, values, call)
    for function in module.functions:
        yield from _parameters(module, values, function)
    for name, value in module.constants.items():
        if _OWN_CONSTANT.match(name):
            yield from _default(module, values, value, "health" if "HEALTH" in name else "port")


def _default(module: PyModule, values: Values, node: ast.expr | None, role: Role) -> Iterator[PortDefault]:
    number = values.number(node)
    if number is None and isinstance(node, ast.Constant):
        text = text_of(node)
        number = int(text) if text is not None and text.isdigit() else None
    if node is not None and isinstance(number, int) and 0 < number < 65536:
        owner = module.class_of(node)
        yield PortDefault(
            owner.name if owner is not None else "", role, number, node.lineno, node.col_offset + 1
        )


def _looked_up(module: PyModule, values: Values, call: ast.Call) -> Iterator[PortDefault]:
    name = module.dotted(call.func)
    if name == "getattr" and len(call.args) == 3:
        role = _OWN_KEYS.get(text_of(call.args[1]) or "")
        if role is not None:
            yield from _default(module, values, call.args[2], role)
    elif isinstance(call.func, ast.Attribute) and call.func.attr == "get" and len(call.args) == 2:
        role = _OWN_KEYS.get(text_of(call.args[0]) or "")
        receiver = module.dotted(call.func.value).rpartition(".")[2].lower()
        if role is not None and re.search(
            r"^_?(agent_|own_|my_)?(config|args|settings|cfg|conf|options|kwargs)$", receiver
        ):
            yield from _default(module, values, call.args[1], role)
    elif isinstance(call.func, ast.Attribute) and call.func.attr == "__init__":
        for key, role in _OWN_KEYS.items():
            value = keyword(call, key)
            if isinstance(value, ast.Constant):
                yield from _default(module, values, value, role)


def _parameters(
    module: PyModule, values: Values, function: ast.FunctionDef | ast.AsyncFunctionDef
) -> Iterator[PortDefault]:
    if function.name == "__init__":
        arguments = function.args
        positional = [*arguments.posonlyargs, *arguments.args]
        pairs = list(
            zip(positional[len(positional) - len(arguments.defaults) :], arguments.defaults, strict=True)
        )
        for item, value in (*pairs, *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)):
            role = _OWN_KEYS.get(item.arg)
            if role is not None:
                yield from _default(module, values, value, role)
    elif function.name in ("_get_default_port", "get_default_port", "default_port") and isinstance(
        function, FUNCTIONS
    ):
        for part in function.body:
            if isinstance(part, ast.Return):
                yield from _default(module, values, part.value, "port")
