"""Modules whose names cannot be listed by reading them."""

from __future__ import annotations

import ast


def defines_dynamically(tree: ast.Module) -> bool:
    """The module puts names into itself: ``globals()[...] = ``, ``globals().update``, ``exec`` at its top level."""
    for node in ast.walk(tree):
        call: ast.expr | None = None
        if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store):
            call = node.value
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("update", "setdefault")
        ):
            call = node.func.value
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("exec", "execfile")
        ):
            if len(node.args) + len(node.keywords) < 2 or "globals" in ast.dump(node):
                return True
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr in ("_convert_", "_convert")
        ):
            return True
        if (
            isinstance(call, ast.Call)
            and isinstance(call.func, ast.Name)
            and call.func.id in ("globals", "vars", "locals")
        ):
            return True
    return False
