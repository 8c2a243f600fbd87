"""The preloaded process agents are forked from: it imports, and does nothing else.

Single-threaded and without connections, because a fork keeps neither: a thread that held a lock is simply gone in the
child, and a shared socket would be two writers on one stream. What is imported once here is shared by every agent:
``gc.freeze`` keeps the collector from touching (and thereby copying) those pages.

Children are forked twice, so that the keeper (the subreaper) becomes their parent.
"""

from __future__ import annotations

import gc
import importlib
import os
import random
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterable

import msgspec
import setproctitle

from tandem.supervise.descriptors import arrange, limit_open_files, receive_fds
from tandem.supervise.preloading import import_guarded
from tandem.supervise.wire import GATE_FD, NOTIFY_FD, SPEC_FD, UNIX_FD, Forked, ForkOrder, Hello, Preload

_PACKET = 1 << 20

_COLLECT_AFTER = 50_000
"""New objects until the garbage collector looks while this process imports."""
_PYTHONS_OWN = gc.get_threshold()
"""What children go by."""

_POOL = 16384
"""Bytes of one of pymalloc's pools, in which all blocks have the same size."""
_MOST_HOLES = 20_000
_fillers: list[bytes] = []


def import_all(modules: Iterable[str]) -> dict[str, str]:
    """Import everything; module to error for what could not be."""
    failed = {}
    for module in modules:
        try:
            importlib.import_module(module)
        except Exception as error:  # a module may raise anything at all while it is imported
            failed[module] = f"{type(error).__name__}: {error}"
    return failed


def threads() -> int:
    """How many threads this process has, native ones included."""
    return len(os.listdir("/proc/self/task"))


class Zygote:
    """Answers fork orders until the keeper closes the line."""

    def __init__(self, link: socket.socket):
        self._link = link
        self._decode = msgspec.msgpack.Decoder(ForkOrder).decode
        self._encode = msgspec.msgpack.Encoder().encode

    def greet(self, failed: dict[str, str], seconds: float) -> None:
        """Tell the keeper that forking may begin."""
        self._link.send(self._encode(Hello(pid=os.getpid(), seconds=seconds, failed=failed)))

    def serve(self) -> None:
        """Serve until the keeper is gone."""
        while self.serve_once():
            continue

    def serve_once(self) -> bool:
        """Take every order that is there, fork them all through one short-lived process, and answer.

        False when the keeper is gone.
        """
        orders = self._receive()
        if threads() > 1:
            # Forking now could copy a lock that nobody in the child will ever release.
            self._refuse(orders, f"the zygote has {threads()} threads; an import started one")
        elif orders:
            self._fork_all(orders)
        for _order, fds in orders:
            for fd in fds:
                os.close(fd)
        return bool(orders)

    def _receive(self) -> list[tuple[ForkOrder, list[int]]]:
        orders: list[tuple[ForkOrder, list[int]]] = []
        self._link.setblocking(True)
        while True:
            try:
                data, fds = receive_fds(self._link, _PACKET)
            except BlockingIOError:
                return orders
            if not data:
                return []
            orders.append((self._decode(data), fds))
            self._link.setblocking(False)

    def _fork_all(self, orders: list[tuple[ForkOrder, list[int]]]) -> None:
        self._link.setblocking(True)
        middle = os.fork()
        if middle == 0:
            status = 1
            try:
                for order, fds in orders:
                    self._fork_one(order, fds)
                status = 0
            finally:
                os._exit(status)
        # Only when it has ended do its children belong to the keeper.
        _pid, status = os.waitpid(middle, 0)
        if status != 0:
            self._refuse(orders, "the fork failed")

    def _fork_one(self, order: ForkOrder, fds: list[int]) -> None:
        try:
            pid = os.fork()
        except OSError as error:
            self._link.send(self._encode(Forked(instance=order.instance, error=str(error))))
            return
        if pid == 0:
            _live(order, fds)
        self._link.send(self._encode(Forked(instance=order.instance, pid=pid)))

    def _refuse(self, orders: list[tuple[ForkOrder, list[int]]], why: str) -> None:
        for order, _fds in orders:
            self._link.send(self._encode(Forked(instance=order.instance, error=why)))


def _live(order: ForkOrder, fds: list[int]) -> None:
    """Be the child: a session of its own, its own descriptors, randomness and name; never returns."""
    status = 1
    try:
        os.setsid()
        arrange(fds, order.targets)
        limit_open_files(order.open_files)
        if not os.read(GATE_FD, 1):
            os._exit(0)
        os.close(GATE_FD)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        for name, value in order.env.items():
            os.environ[name] = value
        random.seed()
        if order.title:
            setproctitle.setproctitle(order.title)
        begin = _entry(order.entry)
        gc.set_threshold(*_PYTHONS_OWN)
        status = begin(order.payload)
    except SystemExit as leaving:
        status = leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        _flush()
        os._exit(status)


def _entry(path: str) -> Callable[..., int]:
    module, _, name = path.partition(":")
    function: Callable[..., int] = getattr(importlib.import_module(module), name)
    return function


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            continue  # the reader is gone; there is nothing more to say


def main() -> None:
    """Import what the payload lists, then fork on demand. The line to the keeper is descriptor 3."""
    begun = time.perf_counter()
    # What is imported stays: who looks for garbage among it all the time finds next to none.
    gc.set_threshold(_COLLECT_AFTER)
    with os.fdopen(SPEC_FD, "rb") as file:
        preload = msgspec.msgpack.decode(file.read(), type=Preload)
    setproctitle.setproctitle(preload.title)
    # In this order and in front of all else, also what PYTHONPATH has brought in already: a release's copy wins.
    sys.path[:] = [*preload.path, *(entry for entry in sys.path if entry not in preload.path)]
    # Ours alone: a child must not inherit an armed handler.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    zygote = Zygote(socket.socket(fileno=UNIX_FD))
    if preload.first:
        failed = import_all(preload.first)
        # Without looking for garbage: there is little, and all servers and agents wait for the node.
        _freeze()
        zygote.greet(failed, time.perf_counter() - begun)
        if not zygote.serve_once():
            return
    failed = import_all(preload.modules)
    import_guarded(preload.optional, _tell, threads)
    if preload.warm_up:
        _entry(preload.warm_up)()
    gc.collect()
    _freeze()
    if failed or not preload.first:
        zygote.greet(failed, time.perf_counter() - begun)
    zygote.serve()


def _tell(status: str) -> None:
    """Let the keeper know what this process is at."""
    try:
        os.write(NOTIFY_FD, f"STATUS={status}\n".encode())
    except OSError:
        return  # nobody listens: a keeper that is gone ends this process soon


def _freeze() -> None:
    """Take what exists out of the collector's sight: looking at it would copy its pages in every child."""
    _fillers.extend(filler for size in range(48, 513, 16) for filler in _fill_holes(size))
    gc.freeze()


def _fill_holes(block: int) -> list[bytes]:
    """Objects for every hole among the allocator's blocks of so many bytes.

    A child's new objects would else lie in the holes that importing has left, each in a page of its own to copy.
    They lie together when there are no holes: in pools (https://docs.python.org/3/c-api/memory.html, pymalloc) that
    nobody has used, which is what the last pool filled here was until then.
    """
    per_pool = (_POOL - 48) // block
    fillers: list[bytes] = []
    newest: list[bytes] = []
    pool = -1
    for _ in range(_MOST_HOLES):
        # A bytes object has 33 bytes besides its content.
        filler = bytes(block - 33)
        if id(filler) // _POOL != pool:
            fillers += newest
            newest, pool = [], id(filler) // _POOL
        newest.append(filler)
        if len(newest) == per_pool:
            break
    return fillers


if __name__ == "__main__":
    main()
