"""How ZeroMQ sockets travel through one module, written down as facts for :mod:`tandem.audit.python.points_to`.

A *place* is anything a socket may sit in, spelled ``path::scope::name``:

* ``agents/a.py::Agent.run::reply``: a local variable or parameter (scope empty at module level),
* ``agents/a.py::Agent::.socket``: an attribute of a class,
* ``agents/a.py::make_socket::return``: what a function returns or yields,
* any place with ``[]`` behind it: what a container holds; with ``.name``: a field of whatever the place holds,
* ``~agents/a.py|pool.make_socket``: something that file imports, resolved when all modules are known.

The analysis ignores order and branches: a time-out set anywhere on a socket counts for all its receives.
"""

from __future__ import annotations

import ast
import re

from tandem.audit.python.facts import Call, Flow, Receive, Site
from tandem.audit.python.module import PyModule, keyword
from tandem.audit.python.prune import prune
from tandem.audit.python.values import Values, parameters, parameters_of

RECEIVES = frozenset({
    "recv", "recv_string", "recv_json", "recv_pyobj", "recv_multipart", "recv_unicode", "recv_serialized", "recv_into",
})  # fmt: skip
SEND = re.compile(r"send(_|$)")
_CONTEXTS = re.compile(r"^zmq(\.\w+)*\.Context(\.instance)?$")
_SOCKET_TYPES = re.compile(
    r"^zmq\.(REQ|REP|PUB|SUB|PUSH|PULL|PAIR|DEALER|ROUTER|XPUB|XSUB|STREAM|SocketType\.\w+)$"
)
_RELEVANT = re.compile(r"zmq|RCVTIMEO|rcvtimeo|\.recv|sock", re.IGNORECASE)
_CARRIER = re.compile(
    r"sock|ctx|context|zmq|conn|client|channel|peer|poll|pool|pub|sub|req|rep|push|pull|return", re.I
)
_ITEM_METHODS = frozenset({"get", "pop", "values", "items", "popleft", "get_nowait", "setdefault", "copy"})
_PUT_METHODS = frozenset({"append", "add", "put", "put_nowait", "appendleft", "setdefault"})
_PROPERTIES = frozenset({"property", "functools.cached_property", "cached_property"})
_DEADLINE_OPTIONS = frozenset({"RCVTIMEO", "rcvtimeo"})


def collect(module: PyModule, values: Values) -> Flow | None:
    """The socket facts of a module; None when sockets plainly play no part in it."""
    if not _RELEVANT.search(module.source.text):
        return None
    collector = _Collector(module, values)
    collector.run()
    return prune(collector.flow)


class _Collector:
    def __init__(self, module: PyModule, values: Values) -> None:
        self.module = module
        self.values = values
        self.flow = Flow()
        self._results: dict[ast.Call, str] = {}
        self._assigned = self._assigned_names()

    def _assigned_names(self) -> dict[str, set[str]]:
        """Scope → the names that are its own."""
        table: dict[str, set[str]] = {}
        for function in self.module.functions:
            table[self.module.qualname(function)] = {*parameters(function)}
        for node in self.module.nodes(ast.Name):
            if isinstance(node.ctx, ast.Store):
                table.setdefault(self.module.scope(node), set()).add(node.id)
        for declared in self.module.nodes(ast.Global):
            table.get(self.module.scope(declared), set()).difference_update(declared.names)
        return table

    def run(self) -> None:
        module = self.module
        for function in module.functions:
            names = parameters(function)
            method = isinstance(module.parent(function), ast.ClassDef)
            qualname = module.qualname(function)
            self.flow.parameters[qualname] = (
                names[1:] if method and names[:1] in (["self"], ["cls"]) else names
            )
            self._annotated(function, qualname)
            if method and any(
                module.dotted(decorator) in _PROPERTIES for decorator in function.decorator_list
            ):
                self._edge(
                    f"{module.path}::{qualname.rpartition('.')[0]}::.{function.name}", self._return(qualname)
                )
        for assign in module.nodes(ast.Assign):
            for target in assign.targets:
                self._assign(target, assign.value)
        for annotated in module.nodes(ast.AnnAssign):
            if annotated.value is not None:
                self._assign(annotated.target, annotated.value)
        for walrus in module.nodes(ast.NamedExpr):
            self._assign(walrus.target, walrus.value)
        loops: list[ast.For | ast.AsyncFor | ast.comprehension] = [
            *module.nodes(ast.For), *module.nodes(ast.AsyncFor), *module.nodes(ast.comprehension),
        ]  # fmt: skip
        for loop in loops:
            self._iterate(loop.target, loop.iter)
        for item in module.nodes(ast.withitem):
            if item.optional_vars is not None:
                self._assign(item.optional_vars, item.context_expr)
        results: list[ast.Return | ast.Yield] = [*module.nodes(ast.Return), *module.nodes(ast.Yield)]
        for result in results:
            if result.value is not None:
                self._edge(self._return(module.scope(result)), self.place(result.value))
        for call in module.nodes(ast.Call):
            self._call(call)

    def _return(self, qualname: str) -> str:
        return f"{self.module.path}::{qualname}::return"

    def _annotated(self, function: ast.FunctionDef | ast.AsyncFunctionDef, qualname: str) -> None:
        """Annotations tell the class of parameters and results."""
        arguments = function.args
        for item in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            self._instance(f"{self.module.path}::{qualname}::{item.arg}", item.annotation, item)
        self._instance(self._return(qualname), function.returns, function)

    def _instance(self, place: str, annotation: ast.expr | None, where: ast.arg | ast.stmt) -> None:
        name = self.module.dotted(annotation) if annotation is not None else ""
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            name = self.module.imports.get(annotation.value, annotation.value)
        if (
            name
            and name[0] not in "~."
            and name.rpartition(".")[2][:1].isupper()
            and not name.startswith(("zmq.", "typing."))
        ):
            self.flow.sites.append(Site("instance", place, where.lineno, where.col_offset + 1, name))

    def _edge(self, target: str, source: str) -> None:
        if target and source and target != source:
            self.flow.edges.append((target, source))

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, (ast.Tuple, ast.List)):
            if isinstance(value, (ast.Tuple, ast.List)) and len(value.elts) == len(target.elts):
                for one, other in zip(target.elts, value.elts, strict=True):
                    self._assign(one, other)
            else:
                source = self.place(value)
                for one in target.elts:
                    self._edge(self.place(one), f"{source}[]" if source else "")
            return
        if isinstance(target, ast.Attribute) and target.attr in _DEADLINE_OPTIONS:
            if self.values.number(value) != -1:
                self.flow.bounded.append(self.place(target.value))
            return
        self._edge(self.place(target), self.place(value))

    def _iterate(self, target: ast.expr, iterable: ast.expr) -> None:
        if isinstance(iterable, ast.Call) and self.module.dotted(iterable.func) in (
            "list",
            "tuple",
            "sorted",
            "reversed",
            "set",
        ):
            iterable = iterable.args[0] if iterable.args else iterable
        source = self.place(iterable)
        item = source if source.endswith("[]") else f"{source}[]" if source else ""
        for one in target.elts if isinstance(target, (ast.Tuple, ast.List)) else [target]:
            self._edge(self.place(one), item)

    def place(self, node: ast.expr) -> str:
        """Where the value of an expression sits; empty for what cannot hold a socket."""
        if isinstance(node, ast.Name):
            return self._name(node)
        if isinstance(node, ast.Attribute):
            return self._attribute(node)
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.Subscript):
            base = self.place(node.value)
            return f"{base}[]" if base else ""
        if isinstance(node, (ast.Await, ast.Starred, ast.NamedExpr)):
            return self.place(node.value)
        if isinstance(node, ast.IfExp):
            return self._gather(node, [node.body, node.orelse], "")
        if isinstance(node, ast.BoolOp):
            return self._gather(node, node.values, "")
        if isinstance(node, (ast.List, ast.Tuple, ast.Set)):
            return self._gather(node, node.elts, "[]")
        if isinstance(node, ast.Dict):
            return self._gather(node, node.values, "[]")
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp)):
            return self._gather(node, [node.elt], "[]")
        if isinstance(node, ast.DictComp):
            return self._gather(node, [node.value], "[]")
        return ""

    def _gather(self, node: ast.expr, parts: list[ast.expr], suffix: str) -> str:
        places = [place for part in parts if (place := self.place(part))]
        if not places:
            return ""
        temporary = self._temporary(node)
        for place in places:
            self._edge(temporary + suffix, place)
        return temporary

    def _temporary(self, node: ast.expr) -> str:
        return f"{self.module.path}::{self.module.scope(node)}::@{node.lineno}:{node.col_offset}"

    def _name(self, node: ast.Name) -> str:
        scope = self.module.scope(node)
        if node.id in ("self", "cls"):
            owner = self.module.class_of(node)
            return f"{self.module.path}::{self.module.qualname(owner)}::self" if owner is not None else ""
        while scope:
            if node.id in self._assigned.get(scope, ()):
                return f"{self.module.path}::{scope}::{node.id}"
            scope = scope.rpartition(".")[0]
        if node.id in self.module.imports and node.id not in self._assigned.get("", ()):
            return f"~{self.module.path}|{self.module.imports[node.id]}"
        return f"{self.module.path}::::{node.id}"

    def _attribute(self, node: ast.Attribute) -> str:
        if self.module.dotted(node).startswith("zmq."):
            return ""
        base = self.place(node.value)
        if base.endswith("::self"):
            return f"{base.removesuffix('self')}.{node.attr}"
        return f"{base}.{node.attr}" if base else ""

    def _call(self, node: ast.Call) -> str:
        known = self._results.get(node)
        if known is not None:
            return known
        result = self._results[node] = self._temporary(node) + "()"
        name = self.module.dotted(node.func)
        if _CONTEXTS.match(name):
            self._site("context", node, name, asynchronous="asyncio" in name)
        elif name == "zmq.Socket" or self._opens_socket(node, name):
            self._socket(node, name)
        elif isinstance(node.func, ast.Attribute) and self._method(node, node.func):
            pass
        else:
            self._plain_call(node, name, result)
        if any(
            isinstance(part, ast.Attribute) and part.attr == "RCVTIMEO"
            for item in node.args
            for part in ast.walk(item)
        ) or any(
            item.arg in ("timeout", "rcvtimeo", "recv_timeout", "RCVTIMEO")
            or "RCVTIMEO" in ast.dump(item.value)
            for item in node.keywords
        ):
            self.flow.bounded.append(result)
        return result

    def _site(
        self, kind: str, node: ast.Call, detail: str, context: str = "", asynchronous: bool = False
    ) -> None:
        place = self._results[node]
        literal = "context" if kind == "context" else "socket"
        self.flow.sites.append(
            Site(literal, place, node.lineno, node.col_offset + 1, detail, context, asynchronous)  # type: ignore[arg-type]
        )

    def _opens_socket(self, node: ast.Call, name: str) -> bool:
        if (
            not isinstance(node.func, ast.Attribute)
            or node.func.attr != "socket"
            or not (node.args or node.keywords)
        ):
            return False
        if name in ("socket.socket", "gevent.socket.socket"):
            return False
        kind = keyword(node, "socket_type", 0)
        if kind is not None and _SOCKET_TYPES.match(self.module.dotted(kind)):
            return True
        owner = self.module.dotted(node.func.value).rpartition(".")[2].lower()
        return ("context" in owner or "ctx" in owner) and "zmq" in self.module.source.text

    def _socket(self, node: ast.Call, name: str) -> None:
        direct = name == "zmq.Socket"
        kind = keyword(node, "socket_type", 1 if direct else 0)
        context = self.place(node.args[0]) if direct and node.args else ""
        if isinstance(node.func, ast.Attribute) and not direct:
            context = self.place(node.func.value)
        detail = self.module.dotted(kind).rpartition(".")[2] if kind is not None else ""
        self._site("socket", node, detail, context)

    def _method(self, node: ast.Call, function: ast.Attribute) -> bool:
        """Record what calling a method does to sockets; False when it is a call like any other."""
        method = function.attr
        if method in RECEIVES:
            self._receive(node, function)
            return True
        if method in ("setsockopt", "set", "setsockopt_string", "setsockopt_unicode") and len(node.args) == 2:
            self._option(function, node.args[0], node.args[1])
            return True
        if method == "poll" and self._has_deadline(node):
            self.flow.bounded.append(self.place(function.value))
            return True
        if (
            method in ("getsockopt", "get")
            and node.args
            and self.module.dotted(node.args[0]).endswith(".EVENTS")
        ):
            self.flow.bounded.append(self.place(function.value))
            return True
        if method == "register" and node.args:
            self.flow.bounded.append(self.place(node.args[0]))
            return False
        if method == "select" and self.module.dotted(function) in (
            "zmq.select",
            "select.select",
            "zmq.green.select",
        ):
            for argument in node.args[:1]:
                place = self.place(argument)
                self.flow.bounded.extend((place, f"{place}[]"))
            return True
        if method in _PUT_METHODS and node.args:
            holder = self.place(function.value)
            self._edge(f"{holder}[]" if holder else "", self.place(node.args[-1]))
        if method in _ITEM_METHODS:
            holder = self.place(function.value)
            self._edge(self._results[node], f"{holder}[]" if holder else "")
            self._edge(f"{self._results[node]}[]", f"{holder}[]" if holder else "")
        return False

    def _has_deadline(self, node: ast.Call) -> bool:
        timeout = keyword(node, "timeout", 0)
        if timeout is None or (isinstance(timeout, ast.Constant) and timeout.value is None):
            return False
        return self.values.number(timeout) != -1

    def _option(self, function: ast.Attribute, option: ast.expr, value: ast.expr) -> None:
        name = self.module.dotted(option)
        unknown = not name.startswith("zmq.") and self.values.origin(option) is None
        if (name.endswith("RCVTIMEO") and self.values.number(value) != -1) or unknown:
            self.flow.bounded.append(self.place(function.value))

    def _receive(self, node: ast.Call, function: ast.Attribute) -> None:
        if isinstance(self.module.parent(node), ast.Await):
            return
        flags = keyword(node, "flags", 0)
        if flags is not None and not self._blocks(flags):
            return
        coroutine = isinstance(self.module.function_of(node), ast.AsyncFunctionDef)
        place = self.place(function.value)
        self.flow.receives.append(Receive(place, node.lineno, node.col_offset + 1, function.attr, coroutine))

    def _blocks(self, flags: ast.expr) -> bool:
        """Whether a receive with these flags waits; an unknown value is given the benefit of the doubt."""
        if isinstance(flags, ast.Name) and flags.id in parameters_of(self.module.function_of(flags)):
            return False
        value = self.values.number(flags)
        if value is not None:
            return value in (0, 2)
        words = {
            part.attr if isinstance(part, ast.Attribute) else getattr(part, "id", "")
            for part in ast.walk(flags)
        }
        return words == {"zmq", "SNDMORE"}

    def _plain_call(self, node: ast.Call, name: str, result: str) -> None:
        function = node.func
        if isinstance(function, ast.Attribute):
            receiver = self.place(function.value)
            callee = receiver + "." + function.attr if receiver.startswith("~") else f".{function.attr}"
            if isinstance(function.value, ast.Call) and self.module.dotted(function.value.func) == "super":
                owner = self.module.class_of(node)
                receiver = f"{self.module.path}::{self.module.qualname(owner) if owner else ''}::super"
        elif name:
            local = self._name(function) if isinstance(function, ast.Name) else ""
            callee, receiver = (local if local.startswith("~") else f"={name}"), ""
        else:
            return
        arguments = tuple(self.place(argument) for argument in node.args)
        keywords = tuple((item.arg, self.place(item.value)) for item in node.keywords if item.arg)
        self.flow.calls.append(Call(callee, receiver, result, arguments, keywords))
