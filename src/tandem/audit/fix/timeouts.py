"""Receives that wait for ever → receives with a limit.

Two mends, by what the receive is for. A loop that serves asks with ``poll`` first and goes round when nothing came, so
that it notices when it should stop; nothing else about it changes. A client's REQ socket gets ``RCVTIMEO``, and with it
the two options without which it could never be used again after a lost answer.
"""

from __future__ import annotations

import libcst as cst

from tandem.audit.fix.edits import Collector, Edit, Patient, Tree, collect, dotted, followed_by, preceded_by
from tandem.audit.python.flow import RECEIVES

POLL_MS = 1_000
"""How long a serving loop waits before it looks whether it should stop."""
ANSWER_MS = 30_000
"""How long a client waits: longer than any answer it used to get, a large model's included."""


def mend(patient: Patient, suggest: bool) -> str:
    """Bound the receives found in ``patient``."""
    tree = Tree(patient.text)
    seen = collect(tree, cst.Call, cst.Assign)
    edits: dict[cst.CSTNode, Edit] = {}
    clients: set[tuple[int, int]] = set()
    for node in seen.found:
        if (
            not isinstance(node, cst.Call)
            or tree.place(node) not in patient.places
            or not isinstance(node.func, cst.Attribute)
        ):
            continue
        if node.func.attr.value in RECEIVES and not _poll_first(seen, node, node.func, suggest, edits):
            clients |= _sites(patient, tree.place(node), suggest)
    for node in seen.found:
        if isinstance(node, cst.Assign):
            _limit(tree, seen, node, clients, edits)
    return tree.apply(edits)


def _poll_first(
    seen: Collector, call: cst.Call, function: cst.Attribute, suggest: bool, edits: dict[cst.CSTNode, Edit]
) -> bool:
    """``if not socket.poll(1000): continue`` before a receive at the head of a ``while`` loop."""
    line = seen.above(call, cst.SimpleStatementLine)
    loop = seen.above(call, cst.While, cst.For, cst.FunctionDef, cst.Lambda)
    place = dotted(function.value)
    if not isinstance(loop, cst.While) or not isinstance(line, cst.SimpleStatementLine) or not place:
        return False
    if not (_at_head(seen, line, loop) or suggest):
        return False
    edits[line] = preceded_by(f"if not {place}.poll({POLL_MS}):\n    continue")
    return True


def _at_head(seen: Collector, line: cst.SimpleStatementLine, loop: cst.While) -> bool:
    """Nothing of the loop's body runs before ``line``: going round early repeats no work."""
    node: cst.CSTNode = line
    while node is not loop:
        block = seen.parents.get(node)
        if isinstance(block, cst.IndentedBlock):
            if block.body[0] is not node:
                return False
        elif not isinstance(block, (cst.Try, cst.While)) or (
            isinstance(block, cst.Try) and block.body is not node
        ):
            return False
        if isinstance(block, cst.Try) and block.finalbody is not None:
            return False
        node = block
    return True


def _sites(patient: Patient, place: tuple[int, int], suggest: bool) -> set[tuple[int, int]]:
    """Where the sockets behind a receive are opened; only REQ sockets may be limited without asking."""
    return {
        (origin.site.line, origin.site.column)
        for read in patient.project.reads
        if read.path == patient.path and (read.receive.line, read.receive.column) == place
        for origin in read.endless
        if origin.path == patient.path and (origin.site.detail == "REQ" or suggest)
    }


def _limit(
    tree: Tree,
    seen: Collector,
    assign: cst.Assign,
    sites: set[tuple[int, int]],
    edits: dict[cst.CSTNode, Edit],
) -> None:
    """Options right behind ``x = context.socket(zmq.REQ)``."""
    line = seen.parents.get(assign)
    target = dotted(assign.targets[0].target) if len(assign.targets) == 1 else ""
    call = assign.value
    if (
        not target
        or not isinstance(call, cst.Call)
        or tree.place(call) not in sites
        or not isinstance(line, cst.SimpleStatementLine)
    ):
        return
    if len(line.body) != 1 or not isinstance(call.func, cst.Attribute) or not call.args:
        return
    kind = dotted(call.args[0].value)
    prefix = kind.rpartition(".")[0]
    if not prefix:
        return
    options = [("RCVTIMEO", str(ANSWER_MS))]
    if kind.endswith(".REQ"):
        options += [("REQ_RELAXED", "1"), ("REQ_CORRELATE", "1")]
    edits[line] = followed_by(*(f"{target}.setsockopt({prefix}.{name}, {value})" for name, value in options))
