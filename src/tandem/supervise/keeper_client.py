"""What the command line asks and tells a keeper, in one blocking call each."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec

from tandem.core.errors import DeadlineExceeded
from tandem.supervise.wire import AnyReply, AnyRequest, Frames, List, Listing, encode_frame

_decode = msgspec.msgpack.Decoder(AnyReply).decode
_READ = 256 * 1024


def ask_listing(path: Path, timeout_s: float = 5.0) -> Listing:
    """The keeper's picture, blocking. Raises ``OSError`` when nobody listens, :class:`DeadlineExceeded` when it hangs."""
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(timeout_s)
        try:
            link.connect(str(path))
            link.sendall(encode_frame(List(seq=1)))
            frames = Frames()
            while data := link.recv(_READ):
                for frame in frames.feed(data):
                    reply = _decode(frame)
                    assert isinstance(reply, Listing)
                    return reply
        except TimeoutError as error:
            raise DeadlineExceeded(f"the keeper at {path} does not answer") from error
    raise ConnectionResetError("the keeper closed the connection")


def post(path: Path, request: AnyRequest) -> None:
    """Say one thing that wants no answer, blocking. Raises ``OSError`` when nobody listens."""
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(path))
        link.sendall(encode_frame(request))


def tell(path: Path, request: AnyRequest, timeout_s: float) -> None:
    """Say one thing, blocking, and wait until the keeper closes the connection (which a shutdown does at its end).

    Raises ``OSError`` when nobody listens, :class:`DeadlineExceeded` after ``timeout_s``.
    """
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(timeout_s)
        try:
            link.connect(str(path))
            link.sendall(encode_frame(request))
            while link.recv(_READ):
                continue
        except TimeoutError as error:
            raise DeadlineExceeded(f"the keeper at {path} is not done after {timeout_s:g} s") from error
        except ConnectionResetError:
            return
