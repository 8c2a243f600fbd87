"""Somebody who should not be let in: calls an agent with whatever keys and tokens it got hold of.

One JSON line in:  {"home", "machine", "key_of", "token_of", "audience", "endpoint", "server", "service", "replay"}
One JSON line out: {"result"} or {"error": code, "message"}, with ``replay`` of a second connection that shows the first one's
token. Without ``machine`` it speaks our protocol in plain text, tries a few times, and tells how many ``frames`` it got back.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import zmq

from tandem.core.deadline import Deadline
from tandem.core.errors import TandemError
from tandem.core.paths import Home
from tandem.rpc import Endpoint, Peers
from tandem.rpc.envelope import PROTOCOL_VERSION, Hello, encode, encode_request
from tandem.security import Authority, Identity

ATTEMPTS = 20
ATTEMPT_S = 0.1


class At:
    """Everybody is at one endpoint."""

    def __init__(self, endpoint: Endpoint):
        self._endpoint = endpoint

    async def resolve(self, peer: str, deadline: Deadline) -> Endpoint:
        return self._endpoint


async def call(wanted: dict[str, str]) -> dict[str, Any]:
    """Call ``echo`` with the CURVE key of ``key_of`` and a token of ``token_of`` for ``audience``."""
    machine = Authority.open(Home(Path(wanted["home"]))).machine(wanted["machine"])
    identity = Identity(machine.issue(wanted["token_of"]))
    endpoint = Endpoint("zmq", wanted["endpoint"], "", wanted["server"].encode(), service=wanted["service"])
    curve = machine.curve(wanted["key_of"])
    if wanted.get("replay"):
        overheard = identity.token(wanted["audience"])
        await connect_and_call(Peers(At(endpoint), token=lambda _: overheard, curve=curve), wanted["service"])
        return await connect_and_call(Peers(At(endpoint), token=lambda _: overheard, curve=curve), wanted["service"])
    peers = Peers(At(endpoint), token=lambda _: identity.token(wanted["audience"]), curve=curve)
    return await connect_and_call(peers, wanted["service"])


async def connect_and_call(peers: Peers, service: str) -> dict[str, Any]:
    try:
        return {"result": await peers.call(service, "echo", {"text": "hello"}, timeout=20.0)}
    except TandemError as error:
        return {"error": error.code, "message": error.message}
    finally:
        await peers.close()


def speak_plainly(wanted: dict[str, str]) -> dict[str, Any]:
    frames = 0
    with zmq.Context() as context:
        for _ in range(ATTEMPTS):
            with context.socket(zmq.DEALER) as dealer:
                dealer.linger = 0
                dealer.connect(wanted["endpoint"])
                dealer.send(encode(Hello(1, PROTOCOL_VERSION, wanted["service"], "stranger")))
                dealer.send(encode_request(1, "echo", {"text": "hello"}, 1000))
                until = time.monotonic() + ATTEMPT_S
                while dealer.poll(max(0, int(1000 * (until - time.monotonic())))):
                    dealer.recv()
                    frames += 1
    return {"frames": frames}


if __name__ == "__main__":
    question = json.loads(sys.stdin.readline())
    print(json.dumps(asyncio.run(call(question)) if question.get("machine") else speak_plainly(question)))
