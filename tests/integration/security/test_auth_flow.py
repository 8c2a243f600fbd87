"""The whole way of an identity: signed by the machine, inherited by a process, presented on a connection, checked there.

The callee is a process of its own that knows nothing but the material it inherited by a descriptor.
"""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
import textwrap
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tandem.core import clock
from tandem.core.deadline import Deadline
from tandem.core.errors import PermissionDenied
from tandem.core.paths import Home
from tandem.rpc import Endpoint, Peers
from tandem.security import Authority, Identity, IdentityMaterial, Machine
from tandem.security.tokens import CREDENTIAL_S, LEEWAY_S, TOKEN_S, CredentialClaims, encode_key, sign

pytestmark = pytest.mark.integration

CALLEE = "MemoryClient@mainpc"

SERVE = textwrap.dedent(
    """
    import asyncio, os, sys
    import msgspec
    from tandem.rpc import Server, current_principal, handlers_from
    from tandem.security import IdentityMaterial, Verifier, forbid_dumps, is_dumpable

    class Memory:
        async def who_am_i(self) -> str:
            principal = current_principal()
            return f"{principal.kind}:{principal.name}:{','.join(principal.scopes)}"

        async def dumpable(self) -> bool:
            return is_dumpable()

    async def main() -> None:
        forbid_dumps()
        with os.fdopen(int(sys.argv[1]), "rb") as inherited:
            material = msgspec.msgpack.decode(inherited.read(), type=IdentityMaterial)
        verifier = Verifier(material.ca_public, material.epochs)
        server = Server(
            material.agent_id,
            handlers_from(Memory(), {"who_am_i": True, "dumpable": True}),
            authenticate=lambda token: verifier.admit(token, material.agent_id),
        )
        await server.listen_unix(sys.argv[2])
        print("READY", flush=True)
        await asyncio.Event().wait()

    asyncio.run(main())
    """
)


class Callee(msgspec.Struct):
    """A process that answers ``who_am_i`` to whoever proves who they are."""

    socket: Path
    process: subprocess.Popen[str]
    material: IdentityMaterial


class To:
    """Every peer is the one socket."""

    def __init__(self, socket: Path) -> None:
        self._endpoint = Endpoint("unix", str(socket), service=CALLEE)

    async def resolve(self, peer: str, deadline: Deadline) -> Endpoint:
        return self._endpoint


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(Home(tmp_path / "home"))


@pytest.fixture
def machine(authority: Authority) -> Machine:
    return authority.machine("mainpc")


@pytest.fixture
def callee(tmp_path: Path, machine: Machine) -> Iterator[Callee]:
    socket, material = tmp_path / "m.sock", machine.issue(CALLEE)
    reading, writing = os.pipe()
    os.write(writing, msgspec.msgpack.encode(material))
    os.close(writing)
    command = [sys.executable, "-c", SERVE, str(reading), str(socket)]
    with subprocess.Popen(command, pass_fds=[reading], stdout=subprocess.PIPE, text=True) as process:
        os.close(reading)
        assert process.stdout is not None
        assert process.stdout.readline() == "READY\n"
        yield Callee(socket, process, material)
        process.kill()


@pytest.fixture
def ask(callee: Callee) -> Callable[..., Awaitable[object]]:
    """Call the callee, presenting what ``token(audience)`` gives."""

    async def call(token: Callable[[str], str] | None, action: str = "who_am_i") -> object:
        peers = Peers(To(callee.socket), token=token)
        try:
            return await peers.call(CALLEE, action, timeout=60)
        finally:
            await peers.close()

    return call


async def test_a_caller_is_known_by_its_own_signature(ask, machine: Machine) -> None:
    """An agent, an operator and a node are each recognised by name, kind and scopes in another process."""
    agent = Identity(machine.issue("NLUAgent@mainpc", scopes=("memory.read",)))
    assert await ask(agent.token) == "agent:NLUAgent@mainpc:memory.read"
    operator = Identity(machine.issue("operator", "operator", ("operate",)))
    assert await ask(operator.token) == "operator:operator:operate"
    node = Identity(machine.issue("node@mainpc", "node"))
    assert await ask(node.token) == "node:node@mainpc:"


async def test_a_caller_from_the_other_machine_is_known_too(ask, authority: Authority) -> None:
    """The callee has never heard of pc2; the chain alone proves it."""
    caller = Identity(authority.machine("pc2").issue("DreamWorldAgent@pc2"))
    assert await ask(caller.token) == "agent:DreamWorldAgent@pc2:"


async def test_no_token_and_junk_are_refused(ask) -> None:
    """Without a token, or with something else in its place, no action is reached."""
    for token in (None, lambda audience: "", lambda audience: "a~b~c", lambda audience: "x" * 10_000):
        with pytest.raises(PermissionDenied):
            await ask(token)


async def test_a_token_for_another_audience_is_refused(ask, machine: Machine) -> None:
    """What one callee was shown cannot be shown to another."""
    caller = Identity(machine.issue("NLUAgent@mainpc"))
    with pytest.raises(PermissionDenied, match="not for"):
        await ask(lambda audience: caller.token("KnowledgeBase@mainpc"))


async def test_a_replayed_token_is_refused(ask, machine: Machine) -> None:
    """What opened one connection opens no second one, at the very callee it was made for; its owner comes and goes."""
    caller = Identity(machine.issue("NLUAgent@mainpc"))
    overheard = caller.token(CALLEE)
    assert await ask(lambda audience: overheard) == "agent:NLUAgent@mainpc:"
    for _ in range(2):
        with pytest.raises(PermissionDenied, match="shown before"):
            await ask(lambda audience: overheard)
        assert await ask(caller.token) == "agent:NLUAgent@mainpc:"


async def test_an_expired_token_is_refused(ask, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token kept beyond its five minutes, and a credential beyond its 24 hours, open nothing."""
    present = clock.wall()
    for age, what in ((TOKEN_S + LEEWAY_S + 5, "token"), (CREDENTIAL_S + LEEWAY_S + 5, "credential")):
        with monkeypatch.context() as earlier:
            earlier.setattr(clock, "wall", lambda age=age: present - age)
            stale = Identity(machine.issue("NLUAgent@mainpc")).token(CALLEE)
        with pytest.raises(PermissionDenied, match=f"{what}.* expired"):
            await ask(lambda audience, stale=stale: stale)


async def test_a_forged_credential_is_refused(ask, machine: Machine) -> None:
    """A credential the caller signed itself, below the machine's real certificate, is refused."""
    key = Ed25519PrivateKey.generate()
    now = int(clock.wall())
    public = encode_key(key.public_key().public_bytes_raw())
    claims = CredentialClaims("NLUAgent@mainpc", "agent", public, (), 0, now, now + CREDENTIAL_S)
    certificate = machine.issue("NLUAgent@mainpc").credential.split("~")[0]
    forged = IdentityMaterial(
        "NLUAgent@mainpc", key.private_bytes_raw(), f"{certificate}~{sign(claims, key)}", b""
    )
    with pytest.raises(PermissionDenied):
        await ask(Identity(forged).token)


async def test_another_authority_is_refused(ask, tmp_path: Path) -> None:
    """The same names below another CA prove nothing."""
    stranger = Authority.open(Home(tmp_path / "stranger")).machine("mainpc")
    with pytest.raises(PermissionDenied):
        await ask(Identity(stranger.issue("NLUAgent@mainpc")).token)


async def test_a_tampered_token_is_refused(ask, machine: Machine) -> None:
    """One changed character in any of the three parts is one too many."""
    token = Identity(machine.issue("NLUAgent@mainpc")).token(CALLEE)
    starts = [0, token.index("~") + 1, token.rindex("~") + 1]
    for start in starts:
        place = token.index(".", start) + 5
        changed = token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]
        with pytest.raises(PermissionDenied):
            await ask(lambda audience, changed=changed: changed)


async def test_a_stolen_credential_is_useless_without_the_key(ask, machine: Machine) -> None:
    """Credentials are shown to every callee; a token signed with another key below one is refused."""
    shown = machine.issue("NLUAgent@mainpc").credential
    thief = Ed25519PrivateKey.generate().private_bytes_raw()
    own = Identity(machine.issue("Thief@mainpc")).token(CALLEE).rpartition("~")[2]
    with pytest.raises(PermissionDenied):
        await ask(lambda audience: f"{shown}~{own}")
    with pytest.raises(PermissionDenied):
        Identity(IdentityMaterial("NLUAgent@mainpc", thief, shown, b""))


async def test_the_inherited_key_shows_nowhere(callee: Callee, ask, machine: Machine) -> None:
    """Neither key nor credential is in the callee's command line or environment, and its memory cannot be dumped."""
    assert await ask(Identity(machine.issue("NLUAgent@mainpc")).token, "dumpable") is False
    visible = await asyncio.to_thread(visible_to_others, callee.process.pid)
    key = callee.material.private_key
    for shape in (key, key.hex().encode(), base64.b64encode(key), base64.urlsafe_b64encode(key).rstrip(b"=")):
        assert shape not in visible
    assert callee.material.credential.rpartition("~")[2].encode() not in visible


def visible_to_others(pid: int) -> bytes:
    return b"".join(Path(f"/proc/{pid}/{what}").read_bytes() for what in ("cmdline", "environ"))
