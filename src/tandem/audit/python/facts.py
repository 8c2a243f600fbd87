"""What the rules that look across files must know of each Python file; small, plain, and cached."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct


class Import(Struct, frozen=True, array_like=True):
    """One imported name: ``from module import name as local`` (``name`` empty for ``import module``, ``*`` for all).

    ``module`` keeps the dots of a relative import. ``deferred``: inside a function, so not needed at start.
    """

    module: str
    name: str
    local: str
    line: int
    deferred: bool = False


class ClassFact(Struct, frozen=True, array_like=True):
    """A class: dotted names of its bases as the imports give them, and what it shows of being an agent.

    ``initialises``: its own ``__init__`` calls the base's; None when it has no ``__init__``. ``signs``: what makes it
    look like a running service (``socket``, ``loop``, ``request``, ``health``, ``launched``).
    """

    name: str
    line: int
    column: int
    bases: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    initialises: bool | None = None
    signs: tuple[str, ...] = ()


class Resource(Struct, frozen=True, array_like=True):
    """A file opened to be written over time: a database or a log.

    ``path`` as :meth:`tandem.audit.python.values.Values.path` folds it. ``safe``: write-ahead log on, or rotation
    left to somebody else; ``reads``: it is opened for reading only.
    """

    use: Literal["sqlite", "log"]
    path: str
    line: int
    column: int
    safe: bool = False
    reads: bool = False


class PathArgument(Struct, frozen=True, array_like=True):
    """A database or log path handed to a function, which may be the one that opens it."""

    callee: str
    position: int
    keyword: str
    path: str
    line: int
    column: int


class PortDefault(Struct, frozen=True, array_like=True):
    """A port the code uses when the configuration is silent. ``role`` is ``port`` or ``health``."""

    owner: str
    role: Literal["port", "health"]
    port: int
    line: int
    column: int


class Block(Struct, frozen=True, array_like=True):
    """A function worth comparing: ``shape`` is a hash of its structure with the local names left out."""

    name: str
    line: int
    end: int
    shape: int


class Undefined(Struct, frozen=True, array_like=True):
    """A name the linter could not find. ``star``: it may come from one of the file's ``import *``."""

    name: str
    line: int
    column: int
    star: bool = False
    exported: bool = False
    annotation: bool = False


# --- sockets: a points-to problem in facts; see tandem.audit.python.flow ---


class Site(Struct, frozen=True, array_like=True):
    """Where an object is made: a socket, a context, or an instance of a class."""

    kind: Literal["socket", "context", "instance"]
    place: str
    line: int
    column: int
    detail: str = ""
    """Socket type (``REQ``), or the class's dotted name."""
    context: str = ""
    """Place of the context a socket is made from."""
    asynchronous: bool = False


class Call(Struct, frozen=True, array_like=True):
    """A call whose result or arguments may carry sockets. ``receiver`` is the place a method is called on."""

    callee: str
    receiver: str
    result: str
    arguments: tuple[str, ...] = ()
    keywords: tuple[tuple[str, str], ...] = ()


class Receive(Struct, frozen=True, array_like=True):
    """A receive that blocks as far as its own arguments tell."""

    place: str
    line: int
    column: int
    method: str
    coroutine: bool = False


class Flow(Struct):
    """How sockets travel through one module. Places are strings; see :mod:`tandem.audit.python.flow`."""

    edges: list[tuple[str, str]] = []
    sites: list[Site] = []
    calls: list[Call] = []
    bounded: list[str] = []
    receives: list[Receive] = []
    parameters: dict[str, list[str]] = {}


class ModuleFacts(Struct):
    """Everything kept of a Python file. ``lines`` counts lines; ``digests`` has a checksum per significant line.

    ``dynamic``: it puts names into itself, so what it defines cannot be listed. ``loads``: it imports modules whose
    names it makes up while running; they may be any below its folder.
    """

    path: str
    lines: int = 0
    compiles: bool = True
    parses: bool = True
    dynamic: bool = False
    is_entry: bool = False
    runs_at_import: bool = False
    loads: bool = False
    imports: list[Import] = []
    names: list[str] = []
    exported: list[str] | None = None
    classes: list[ClassFact] = []
    strings: list[str] = []
    resources: list[Resource] = []
    path_arguments: list[PathArgument] = []
    paths: dict[str, str] = {}
    ports: list[PortDefault] = []
    blocks: list[Block] = []
    digests: list[tuple[int, int]] = []
    undefined: list[Undefined] = []
    flow: Flow | None = None
    suppressed: dict[int, list[str]] = {}
