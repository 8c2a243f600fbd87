"""From a parsed module to its facts."""

from __future__ import annotations

import ast
import re

from tandem.audit.python import clones, flow, ports, resources
from tandem.audit.python.dynamic import defines_dynamically
from tandem.audit.python.facts import ClassFact, Import, ModuleFacts
from tandem.audit.python.module import FUNCTIONS, PyModule, text_of
from tandem.audit.python.values import Values

_MODULE_LIKE = re.compile(r"^[\w./-]*\.pyw?$|^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+(:\w[\w.]*)?$|^[A-Za-z_]\w{2,}$")
_REQUEST = re.compile(
    r"^_?(handle|process|on|dispatch|serve)_?(request|message|command|action|query|task)s?$"
)
_SERVES = re.compile(r"^_?(run|start|serve|main_loop|listen|loop|run_forever|request_loop|_?\w+_loop)$")


def facts_of(module: PyModule) -> ModuleFacts:
    """Everything the cross-file rules need of ``module``."""
    values = Values(module)
    return ModuleFacts(
        path=module.path,
        lines=len(module.source.lines),
        is_entry=module.main_guard is not None or module.path.endswith("__main__.py"),
        runs_at_import=_runs_at_import(module),
        loads=_loads(module),
        dynamic=defines_dynamically(module.tree),
        imports=_imports(module),
        names=_names(module),
        exported=_exported(module),
        classes=_classes(module),
        strings=_strings(module),
        resources=list(resources.collect(module, values)),
        path_arguments=list(resources.path_arguments(module, values)),
        paths=resources.path_constants(module, values),
        ports=list(ports.collect(module, values)),
        blocks=list(clones.blocks(module)),
        digests=clones.digests(module),
        flow=flow.collect(module, values),
    )


def _imports(module: PyModule) -> list[Import]:
    found = []
    for plain in module.nodes(ast.Import):
        deferred = module.function_of(plain) is not None
        for alias in plain.names:
            local = alias.asname or alias.name.partition(".")[0]
            found.append(Import(alias.name, "", local, plain.lineno, deferred))
    for node in module.nodes(ast.ImportFrom):
        deferred = module.function_of(node) is not None
        source = "." * node.level + (node.module or "")
        found.extend(
            Import(source, alias.name, alias.asname or alias.name, node.lineno, deferred)
            for alias in node.names
        )
    return found


def _module_level(module: PyModule, node: ast.AST) -> bool:
    return all(
        not isinstance(above, (*FUNCTIONS, ast.ClassDef, ast.Lambda)) for above in module.ancestors(node)
    )


def _names(module: PyModule) -> list[str]:
    """Names the module itself defines at its top level."""
    names: set[str] = set()
    for node in (*module.functions, *module.nodes(ast.ClassDef)):
        if _module_level(module, node):
            names.add(node.name)
    for name in module.nodes(ast.Name):
        if isinstance(name.ctx, ast.Store) and _module_level(module, name):
            names.add(name.id)
    for declared in module.nodes(ast.Global):
        names.update(declared.names)
    return sorted(names)


def _exported(module: PyModule) -> list[str] | None:
    """The texts of ``__all__``; None without one, or when it is computed."""
    value = module.constants.get("__all__")
    changed = any(
        isinstance(node.target, ast.Name) and node.target.id == "__all__"
        for node in module.nodes(ast.AugAssign)
    )
    called = any(module.dotted(node.func).startswith("__all__.") for node in module.nodes(ast.Call))
    if changed or called or not isinstance(value, (ast.List, ast.Tuple)):
        return None
    texts = [text_of(item) for item in value.elts]
    return [text for text in texts if text is not None] if None not in texts else None


def _strings(module: PyModule) -> list[str]:
    """Strings that may name another module: ``"pkg.mod"``, ``"agents/x.py"``, ``"pkg.mod:Class"``."""
    found = {
        node.value
        for node in module.nodes(ast.Constant)
        if isinstance(node.value, str) and len(node.value) < 120 and _MODULE_LIKE.match(node.value)
        if "." in node.value or _is_loader_argument(module, node)
    }
    return sorted(found)


_LOADERS = frozenset(
    {"import_module", "__import__", "load_agent", "load_module", "run_module", "find_spec", "load_source"}
)
_SEARCHES = frozenset({"pkgutil.iter_modules", "pkgutil.walk_packages"})


def _is_loader_argument(module: PyModule, node: ast.Constant) -> bool:
    call = module.parent(node)
    return isinstance(call, ast.Call) and module.dotted(call.func).rpartition(".")[2] in _LOADERS


def _loads(module: PyModule) -> bool:
    """It imports modules by names it makes up while running."""
    for call in module.nodes(ast.Call):
        name = module.dotted(call.func)
        if name in _SEARCHES:
            return True
        if (
            name.rpartition(".")[2] in ("import_module", "__import__")
            and call.args
            and text_of(call.args[0]) is None
        ):
            return True
    return False


def _runs_at_import(module: PyModule) -> bool:
    """The file does work at its top level: it is a script even without a main guard."""
    for statement in module.tree.body:
        if isinstance(statement, (ast.While, ast.For, ast.With)):
            return True
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
            name = module.dotted(statement.value.func)
            if not name.startswith(("sys.path", "logging.", "warnings.", "os.environ", "logger.", "log.")):
                return True
    return False


def _classes(module: PyModule) -> list[ClassFact]:
    classes = module.nodes(ast.ClassDef)
    if not classes:
        return []
    launched = _launched(module)
    sockets = _classes_with_sockets(module)
    found = []
    for node in classes:
        methods = tuple(item.name for item in node.body if isinstance(item, FUNCTIONS))
        signs = _signs(node, methods)
        if node in sockets:
            signs.append("socket")
        if node.name in launched:
            signs.append("launched")
        if any(module.dotted(_called(item)).endswith("dataclass") for item in node.decorator_list):
            signs.append("data")
        bases = tuple(name for base in node.bases if (name := module.dotted(_unsubscripted(base))))
        if len(bases) < len(node.bases) or any(item.arg is None for item in node.keywords):
            bases += ("?",)
        begins = _initialises(module, node)
        found.append(
            ClassFact(
                module.qualname(node),
                node.lineno,
                node.col_offset + 1,
                bases,
                methods,
                begins,
                tuple(sorted(signs)),
            )
        )
    return found


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _unsubscripted(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Subscript) else node


def _signs(node: ast.ClassDef, methods: tuple[str, ...]) -> list[str]:
    signs = []
    if any(_REQUEST.match(name) for name in methods):
        signs.append("request")
    if any("health" in name for name in methods):
        signs.append("health")
    if any(
        isinstance(item, FUNCTIONS)
        and _SERVES.match(item.name)
        and any(isinstance(part, ast.While) for part in ast.walk(item))
        for item in node.body
    ):
        signs.append("loop")
    return signs


def _classes_with_sockets(module: PyModule) -> set[ast.ClassDef | None]:
    """Classes that open or borrow a ZeroMQ socket."""
    if "zmq" not in module.source.text and "_socket(" not in module.source.text:
        return set()
    found = set()
    for call in module.nodes(ast.Call):
        name = module.dotted(call.func).rpartition(".")[2]
        if (isinstance(call.func, ast.Attribute) and call.func.attr == "socket" and call.args) or (
            name.startswith("get_") and name.endswith("_socket")
        ):
            found.add(module.class_of(call))
    return found


def _initialises(module: PyModule, node: ast.ClassDef) -> bool | None:
    constructor = next(
        (item for item in node.body if isinstance(item, FUNCTIONS) and item.name == "__init__"), None
    )
    if constructor is None:
        return None
    for part in ast.walk(constructor):
        if (
            isinstance(part, ast.Call)
            and isinstance(part.func, ast.Attribute)
            and part.func.attr in ("__init__", "__new__")
        ):
            return True
        if isinstance(part, ast.Call) and module.dotted(part.func) == "super":
            return True
    return False


def _launched(module: PyModule) -> set[str]:
    """Classes instantiated when the file is run: in the main guard, or in the functions it calls."""
    if module.main_guard is None:
        return set()
    functions = {item.name: item for item in module.tree.body if isinstance(item, FUNCTIONS)}
    found: set[str] = set()
    pending: list[ast.AST] = [module.main_guard]
    seen: set[str] = set()
    while pending:
        for part in ast.walk(pending.pop()):
            if isinstance(part, ast.Call) and isinstance(part.func, ast.Name):
                name = part.func.id
                found.add(name)
                if name in functions and name not in seen:
                    seen.add(name)
                    pending.append(functions[name])
    return found
