"""Well-formed frames of the protocol, in no order that makes sense."""

from __future__ import annotations

from hypothesis import strategies as st
from rpc_rig import METHODS

from tandem.rpc.envelope import Cancel, Credit, Ping, encode, encode_request

IDS = st.integers(0, 2**40)


def frames(hello: bytes) -> st.SearchStrategy[bytes]:
    """What a caller may send at all, ``hello`` among it."""
    return st.one_of(
        st.just(hello),
        st.builds(lambda i, a, b: encode_request(i, a, {"name": b}, 50), IDS, st.sampled_from([*METHODS, "x"]), st.text(max_size=20)),
        st.builds(lambda i, c: encode_request(i, "chunks", {"count": 3, "size": 10}, 50, c), IDS, st.integers(1, 5000)),
        IDS.map(lambda i: encode(Cancel(i))),
        st.builds(lambda i, n: encode(Credit(i, n)), IDS, st.integers(-5, 10_000)),
        IDS.map(lambda i: encode(Ping(i))),
    )
