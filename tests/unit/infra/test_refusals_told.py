"""Which ended connections count as turned away, and what is told of them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from tandem.infra import Refusals, refusals

LATER = "2100-01-01T00:00:0{}.5Z"
LOG = """\
[7] 2100/01/01 00:00:01.000000 [ERR] 127.0.0.1:40001 - cid:1 - TLS handshake error: EOF
{"ts":"2100-01-01","msg":"127.0.0.1:40002 - cid:2 - TLS handshake error: read tcp 127.0.0.1:4222->127.0.0.1:40002: read: connection reset by peer"}
{"ts":"2100-01-01","msg":"127.0.0.1:40003 - cid:3 - TLS handshake error: tls: client didn't provide a certificate"}
{"ts":"2100-01-01","msg":"127.0.0.1:40004 - lid:4 - TLS leafnode handshake error: remote error: tls: unknown certificate authority"}
"""


@pytest.fixture
def looking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Refusals:
    """At a server that ended five connections."""
    handshake = "TLS Handshake Failure"
    ended = [
        {"cid": cid, "kind": "Leafnode" if cid == 4 else "Client", "ip": "127.0.0.1", "stop": LATER.format(cid), "reason": reason}
        for cid, reason in ((1, handshake), (2, handshake), (3, handshake), (4, handshake), (5, "Client Closed"))
    ]  # fmt: skip

    async def answer(port: int, path: str) -> tuple[int, bytes]:
        return 200, msgspec.json.encode({"connections": ended})

    monkeypatch.setattr(refusals, "http_get", answer)
    log = tmp_path / "nats.log"
    log.write_text(LOG)
    return Refusals(8222, log)


async def test_who_leaves_was_not_turned_away(looking: Refusals) -> None:
    """A client that gives up in the middle of the handshake, as ours do on a busy computer, is no refusal; who is turned
    away is told with the server's words and nothing else, once."""
    assert [(one.door, one.why) for one in await looking.fresh()] == [
        ("NATS", "TLS Handshake Failure: tls: client didn't provide a certificate"),
        ("NATS link", "TLS Handshake Failure: remote error: tls: unknown certificate authority"),
    ]
    assert await looking.fresh() == []
