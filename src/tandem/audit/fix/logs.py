"""Log handlers that grow for ever → rotating ones."""

from __future__ import annotations

import libcst as cst

from tandem.audit.fix.edits import Edit, Patient, Tree, argument, becomes, collect, dotted, keyword

MAX_BYTES, BACKUPS = 10_000_000, 5
"""10 MB five times: what comparable supervisors keep of one process by default is 50 MB to 100 MB."""
_POSITIONS = ("filename", "mode", "encoding", "delay", "errors")
"""Parameters of ``logging.FileHandler`` in order (library reference of Python 3.11)."""


def mend(patient: Patient, suggest: bool) -> str:
    """Make the handlers found in ``patient`` rotate."""
    tree = Tree(patient.text)
    seen = collect(tree, cst.Call, cst.Dict)
    edits: dict[cst.CSTNode, Edit] = {}
    for node in seen.found:
        if isinstance(node, cst.Call) and tree.place(node) in patient.places:
            _call(tree, node, suggest, edits)
        elif isinstance(node, cst.Dict):
            _configuration(tree, node, patient, edits)
    return tree.apply(edits)


def _call(tree: Tree, call: cst.Call, suggest: bool, edits: dict[cst.CSTNode, Edit]) -> None:
    name = dotted(call.func).rpartition(".")[2]
    mode = argument(call, "mode", 1) if name != "basicConfig" else argument(call, "filemode")
    if mode is not None and not suggest and tree.code(mode.value).strip("\"'") != "a":
        return
    if any(item.star for item in call.args):
        return
    new: cst.Call | None = None
    if name == "FileHandler":
        new = _handler(call)
    elif name == "RotatingFileHandler":
        new = call.with_changes(args=[*call.args, *_limits(call)])
    elif name == "basicConfig":
        new = _basic_config(call)
    if new is not None:
        if name != "RotatingFileHandler":
            tree.need("logging.handlers", "RotatingFileHandler")
        edits[call] = becomes(new)


def _limits(call: cst.Call) -> list[cst.Arg]:
    """The limits a rotating handler lacks; a limit of zero that is spelt out stays for its author to judge."""
    wanted = (("maxBytes", 2, MAX_BYTES), ("backupCount", 3, BACKUPS))
    return [
        keyword(name, _number(value))
        for name, position, value in wanted
        if argument(call, name, position) is None
    ]


def _number(value: int) -> cst.BaseExpression:
    return cst.Integer(f"{value:_}")


def _handler(call: cst.Call) -> cst.Call:
    """``FileHandler(...)`` with the arguments that follow the mode named, since the rotating one orders them differently."""
    args = []
    for number, item in enumerate(call.args):
        named = item.keyword is not None or number < 2
        args.append(item if named else keyword(_POSITIONS[number], item.value))
    return cst.Call(cst.Name("RotatingFileHandler"), args=[*args, *_limits(call.with_changes(args=args))])


def _basic_config(call: cst.Call) -> cst.Call | None:
    filename = argument(call, "filename")
    if filename is None or argument(call, "handlers") is not None:
        return None
    moved = {"filename", "filemode", "encoding", "errors"}
    inner = [cst.Arg(filename.value)]
    inner += [
        keyword("encoding", item.value)
        for item in call.args
        if item.keyword is not None and item.keyword.value == "encoding"
    ]
    inner += [keyword("maxBytes", _number(MAX_BYTES)), keyword("backupCount", _number(BACKUPS))]
    handler = cst.Call(cst.Name("RotatingFileHandler"), args=inner)
    handlers = keyword("handlers", cst.List([cst.Element(handler)]))
    args = [handlers if item is filename else item for item in call.args]
    kept = [
        item for item in args if item is handlers or item.keyword is None or item.keyword.value not in moved
    ]
    if kept and kept[-1] is handlers:
        kept[-1] = handlers.with_changes(
            comma=call.args[-1].comma, whitespace_after_arg=call.args[-1].whitespace_after_arg
        )
    else:
        position = kept.index(handlers)
        kept[position] = handlers.with_changes(comma=filename.comma)
    return call.with_changes(args=kept)


def _configuration(tree: Tree, mapping: cst.Dict, patient: Patient, edits: dict[cst.CSTNode, Edit]) -> None:
    """``{"class": "logging.FileHandler", ...}`` of a ``dictConfig``."""
    entries = [item for item in mapping.elements if isinstance(item, cst.DictElement)]
    keys = {_text(item.key): item for item in entries}
    kind = keys.get("class")
    if kind is None or tree.place(kind.value) not in patient.places or "mode" in keys:
        return
    if not isinstance(kind.value, cst.SimpleString):
        return
    quote = kind.value.quote
    last = mapping.elements[-1]
    added = [("maxBytes", MAX_BYTES), ("backupCount", BACKUPS)]
    space = last.comma.whitespace_after if isinstance(last.comma, cst.Comma) else cst.SimpleWhitespace(" ")
    between = (
        mapping.elements[0].comma.whitespace_after
        if isinstance(mapping.elements[0].comma, cst.Comma)
        else space
    )
    fresh = [
        cst.DictElement(
            cst.SimpleString(f"{quote}{name}{quote}"),
            _number(value),
            comma=cst.Comma(whitespace_after=between),
        )
        for name, value in added
        if name not in keys
    ]
    renamed = kind.with_changes(value=cst.SimpleString(f"{quote}logging.handlers.RotatingFileHandler{quote}"))
    elements = [renamed if item is kind else item for item in mapping.elements]
    elements[-1] = elements[-1].with_changes(comma=cst.Comma(whitespace_after=between))
    if fresh:
        fresh[-1] = fresh[-1].with_changes(comma=last.comma)
    new = mapping.with_changes(elements=[*elements, *fresh])
    edits[mapping] = becomes(new)


def _text(node: cst.BaseExpression) -> str:
    return node.raw_value if isinstance(node, cst.SimpleString) else ""
