"""The chain CA → machine → credential → token, and every way to break it."""

from __future__ import annotations

import base64
import string
from pathlib import Path

import jwt
import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tandem.core import clock
from tandem.core.errors import PermissionDenied
from tandem.core.paths import Home
from tandem.security import Authority, Identity, IdentityMaterial, Machine, Principal, Verifier
from tandem.security.tokens import (
    CREDENTIAL_S,
    LEEWAY_S,
    SET_BACK_S,
    TOKEN_S,
    CredentialClaims,
    MachineClaims,
    TokenClaims,
    encode_key,
    sign,
    unverified,
)

PEER = "MemoryClient@mainpc"


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.open(Home(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def machine(authority: Authority) -> Machine:
    return authority.machine("mainpc")


@pytest.fixture(scope="module")
def material(machine: Machine) -> IdentityMaterial:
    return machine.issue(machine.agent("NLUAgent"), scopes=("memory.read", "memory.write"))


@pytest.fixture
def verifier(authority: Authority) -> Verifier:
    return Verifier(authority.ca_public)


class Clock:
    """A calendar turned by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = clock.wall()
        monkeypatch.setattr(clock, "wall", lambda: self.now)


@pytest.fixture
def calendar(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def refused(verifier: Verifier, token: str, audience: str = PEER) -> str:
    with pytest.raises(PermissionDenied) as caught:
        verifier.verify(token, audience)
    return caught.value.message


def forge(material: IdentityMaterial, claims: TokenClaims) -> str:
    """A token signed with the agent's own key, whatever it says."""
    key = Ed25519PrivateKey.from_private_bytes(material.private_key)
    return f"{material.credential}~{sign(claims, key)}"


def credential(key: Ed25519PrivateKey, holder: Ed25519PrivateKey, **changes: object) -> str:
    """A credential of ``holder`` signed with ``key``."""
    now = int(clock.wall())
    claims = CredentialClaims(
        sub="NLUAgent@mainpc",
        kind="agent",
        key=encode_key(holder.public_key().public_bytes_raw()),
        scopes=(),
        epoch=0,
        iat=now,
        exp=now + CREDENTIAL_S,
    )
    return sign(msgspec.structs.replace(claims, **changes), key)


def identity(chain: str, holder: Ed25519PrivateKey, name: str = "NLUAgent@mainpc") -> Identity:
    return Identity(IdentityMaterial(name, holder.private_bytes_raw(), chain, b""))


def test_a_token_of_an_issued_identity_names_its_holder(
    material: IdentityMaterial, verifier: Verifier
) -> None:
    """A token signed with issued material verifies to the agent's id, kind and granted scopes."""
    principal = verifier.verify(Identity(material).token(PEER), PEER)
    assert principal == Principal("NLUAgent@mainpc", "agent", ("memory.read", "memory.write"))


def test_scopes_can_be_narrowed(material: IdentityMaterial, verifier: Verifier) -> None:
    """A token may carry fewer scopes than the credential grants."""
    principal = verifier.verify(Identity(material).token(PEER, ("memory.read",)), PEER)
    assert principal.scopes == ("memory.read",)


def test_scopes_cannot_be_widened(material: IdentityMaterial, verifier: Verifier) -> None:
    """A token claiming a scope the credential lacks is refused."""
    assert "scopes" in refused(verifier, Identity(material).token(PEER, ("operate",)))


@pytest.mark.parametrize("audience", ["MemoryClient@pc2", "", "memoryclient@mainpc"])
def test_another_audience_is_refused(material: IdentityMaterial, verifier: Verifier, audience: str) -> None:
    """A token for one peer opens no other one, and an empty audience never matches."""
    refused(verifier, Identity(material).token(PEER), audience)
    refused(verifier, Identity(material).token(""), "")


def test_an_expired_token_is_refused(material: IdentityMaterial, verifier: Verifier, calendar: Clock) -> None:
    """A token dies five minutes after it was signed, give or take the leeway for clocks that differ."""
    token = Identity(material).token(PEER)
    calendar.now += TOKEN_S + LEEWAY_S - 1
    verifier.verify(token, PEER)
    calendar.now += 2
    assert "expired" in refused(verifier, token)


def test_an_expired_credential_is_refused_even_when_remembered(
    machine: Machine, verifier: Verifier, calendar: Clock
) -> None:
    """A credential verified once does not outlive its 24 hours in the verifier's memory."""
    material = machine.issue("NLUAgent@mainpc")
    verifier.verify(Identity(material).token(PEER), PEER)
    calendar.now += CREDENTIAL_S + LEEWAY_S + 1
    now = int(calendar.now)
    message = refused(verifier, forge(material, TokenClaims("NLUAgent@mainpc", PEER, (), now, now + TOKEN_S)))
    assert "credential" in message and "expired" in message


def test_a_token_from_the_future_is_refused(
    material: IdentityMaterial, verifier: Verifier, calendar: Clock
) -> None:
    """Clocks may differ by the leeway, not by more."""
    now = int(calendar.now)
    near = TokenClaims("NLUAgent@mainpc", PEER, (), now + LEEWAY_S - 2, now + TOKEN_S)
    verifier.verify(forge(material, near), PEER)
    far = TokenClaims("NLUAgent@mainpc", PEER, (), now + LEEWAY_S + 5, now + TOKEN_S)
    assert "future" in refused(verifier, forge(material, far))


def test_a_clock_that_is_set_back_locks_nobody_out(
    authority: Authority, machine: Machine, calendar: Clock
) -> None:
    """An hour back, what was issued until then still holds, with new tokens; more than a day back it does not."""
    identity, verifier = Identity(machine.issue("NLUAgent@mainpc")), Verifier(authority.ca_public)
    before = identity.token(PEER)
    calendar.now -= 3600
    again = identity.token(PEER)
    assert again != before
    verifier.verify(again, PEER)
    assert "future" in refused(verifier, before)
    calendar.now -= SET_BACK_S
    assert "future" in refused(verifier, identity.token(PEER))


def test_an_agent_cannot_sign_itself_a_long_life(material: IdentityMaterial, verifier: Verifier) -> None:
    """A token valid for longer than five minutes is refused although the agent signed it."""
    now = int(clock.wall())
    claims = TokenClaims("NLUAgent@mainpc", PEER, (), now, now + 365 * 86400)
    assert "longer" in refused(verifier, forge(material, claims))


def test_an_agent_cannot_speak_for_another(material: IdentityMaterial, verifier: Verifier) -> None:
    """A token whose subject is not the credential's is refused."""
    now = int(clock.wall())
    claims = TokenClaims("Other@mainpc", PEER, (), now, now + TOKEN_S)
    assert "in the name of" in refused(verifier, forge(material, claims))


def test_a_self_signed_credential_is_refused(material: IdentityMaterial, verifier: Verifier) -> None:
    """A credential the machine did not sign is refused although the machine's certificate before it is real."""
    own = Ed25519PrivateKey.generate()
    machine_part = material.credential.split("~")[0]
    chain = f"{machine_part}~{credential(own, own)}"
    refused(verifier, identity(chain, own).token(PEER))


def test_another_authority_is_refused(tmp_path: Path, verifier: Verifier) -> None:
    """A complete chain below another CA is refused."""
    stranger = Authority.open(Home(tmp_path)).machine("mainpc")
    refused(verifier, Identity(stranger.issue("NLUAgent@mainpc")).token(PEER))


def test_a_machine_cannot_certify_another_machines_agent(authority: Authority, verifier: Verifier) -> None:
    """pc2 may not vouch for an agent or a node of mainpc, even with its real key."""
    pc2 = authority.machine("pc2")
    assert "may not certify" in refused(verifier, Identity(pc2.issue("NLUAgent@mainpc")).token(PEER))
    assert "may not certify" in refused(verifier, Identity(pc2.issue("node@mainpc", "node")).token(PEER))


def test_a_person_has_no_machine(machine: Machine, verifier: Verifier) -> None:
    """An operator's credential cannot carry an agent's name."""
    refused(verifier, Identity(machine.issue("NLUAgent@mainpc", "operator")).token(PEER))
    operator = verifier.verify(
        Identity(machine.issue("operator", "operator", ("operate",))).token(PEER), PEER
    )
    assert operator == Principal("operator", "operator", ("operate",))


def test_one_kind_of_statement_does_not_pass_for_another(
    machine: Machine, material: IdentityMaterial, verifier: Verifier
) -> None:
    """A credential in the place of a token, and a token in the place of a credential, are refused."""
    machine_part, credential_part = material.credential.split("~")
    key = Ed25519PrivateKey.from_private_bytes(material.private_key)
    now = int(clock.wall())
    token_part = sign(TokenClaims("NLUAgent@mainpc", PEER, (), now, now + TOKEN_S), key)
    refused(verifier, "~".join((machine_part, credential_part, credential(key, key))))
    refused(verifier, "~".join((machine_part, token_part, token_part)))
    refused(verifier, "~".join((credential_part, credential_part, token_part)))


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_other_algorithms_are_refused(
    authority: Authority, material: IdentityMaterial, verifier: Verifier, algorithm: str
) -> None:
    """An unsigned token, or one keyed with a public key as a shared secret, is refused."""
    now = int(clock.wall())
    payload = msgspec.json.encode(TokenClaims("NLUAgent@mainpc", PEER, (), now, now + TOKEN_S))
    secret = base64.b64encode(authority.ca_public).decode() if algorithm == "HS256" else None
    token = jwt.PyJWS().encode(payload, secret, algorithm)
    refused(verifier, f"{material.credential}~{token}")


@pytest.mark.parametrize("offset", [1, 2, 17, 40])
def test_no_changed_character_passes(authority: Authority, material: IdentityMaterial, offset: int) -> None:
    """Changing any one character of any of the three parts is noticed."""
    alphabet = string.ascii_letters + string.digits + "-_.~"
    token = Identity(material).token(PEER)
    for place, character in enumerate(token):
        if token[place + 1 : place + 2] in ("", "~"):
            continue  # the last character of a 64-byte signature carries 4 bits that base64 ignores
        other = alphabet[(alphabet.index(character) + offset) % len(alphabet)]
        refused(Verifier(authority.ca_public), token[:place] + other + token[place + 1 :])


@settings(max_examples=100, deadline=None)
@given(junk=st.text(max_size=200))
def test_junk_is_refused_in_the_one_documented_way(authority: Authority, junk: str) -> None:
    """Whatever text arrives, verification answers with PermissionDenied and nothing else."""
    refused(Verifier(authority.ca_public), junk)


def test_a_revoked_agent_is_refused_and_its_successor_is_not(tmp_path: Path) -> None:
    """Raising an agent's epoch refuses its old credentials, also remembered ones, and no one else's."""
    authority = Authority.open(Home(tmp_path))
    machine = authority.machine("mainpc")
    verifier = Verifier(authority.ca_public)
    old, bystander = Identity(machine.issue("A@mainpc")), Identity(machine.issue("B@mainpc"))
    verifier.verify(old.token(PEER), PEER)
    authority.revoke("A@mainpc")
    assert verifier.learn(authority.announcement) == ["A@mainpc"]
    assert verifier.learn(authority.announcement) == []
    assert "revoked" in refused(verifier, old.token(PEER))
    assert verifier.verify(bystander.token(PEER), PEER).name == "B@mainpc"
    assert verifier.verify(Identity(machine.issue("A@mainpc")).token(PEER), PEER).name == "A@mainpc"


def test_a_revoked_machine_takes_its_agents_along(tmp_path: Path) -> None:
    """Raising a machine's epoch refuses everything it certified; certified anew it has other keys."""
    authority = Authority.open(Home(tmp_path))
    lost = authority.machine("pc2")
    verifier = Verifier(authority.ca_public)
    token = Identity(lost.issue("A@pc2")).token(PEER)
    authority.revoke("pc2")
    verifier.learn(authority.announcement)
    assert "revoked" in refused(verifier, token)
    with pytest.raises(PermissionDenied):
        authority.record("pc2")
    fresh = authority.machine("pc2")
    assert fresh.curve("A@pc2") != lost.curve("A@pc2")
    assert verifier.verify(Identity(fresh.issue("A@pc2")).token(PEER), PEER).name == "A@pc2"


def test_an_epoch_never_goes_back(tmp_path: Path) -> None:
    """A repeated old announcement does not re-admit what was revoked since."""
    authority = Authority.open(Home(tmp_path))
    early = Identity(authority.machine("mainpc").issue("A@mainpc"))
    authority.revoke("A@mainpc")
    once = authority.announcement
    late = Identity(authority.machine("mainpc").issue("A@mainpc"))
    authority.revoke("A@mainpc")
    verifier = Verifier(authority.ca_public)
    verifier.learn(authority.announcement)
    assert verifier.learn(once) == []
    for identity in (early, late):
        assert "revoked" in refused(verifier, identity.token(PEER))


def test_only_the_authority_can_revoke(tmp_path: Path, machine: Machine, verifier: Verifier) -> None:
    """Announcements of another CA, or other statements of this one, revoke nothing."""
    stranger = Authority.open(Home(tmp_path))
    stranger.revoke("A@mainpc")
    for forged in (stranger.announcement, machine.issue("A@mainpc").credential.split("~")[0], "junk"):
        with pytest.raises(PermissionDenied):
            verifier.learn(forged)
    assert verifier.verify(Identity(machine.issue("A@mainpc")).token(PEER), PEER).name == "A@mainpc"


def test_material_carries_what_was_revoked_before_the_spawn(tmp_path: Path) -> None:
    """A process spawned after a revocation refuses the revoked without having heard an announcement."""
    authority = Authority.open(Home(tmp_path))
    machine = authority.machine("mainpc")
    old = Identity(machine.issue("A@mainpc"))
    authority.revoke("A@mainpc")
    material = machine.issue("B@mainpc")
    assert "revoked" in refused(Verifier(material.ca_public, material.epochs), old.token(PEER))


def test_each_token_is_another_one(material: IdentityMaterial, calendar: Clock) -> None:
    """Two tokens of one moment for one audience differ, live for five minutes, and never outlive the credential."""
    identity = Identity(material)
    claims = [unverified(identity.token(PEER).split("~")[2], TokenClaims) for _ in range(2)]
    assert claims[0].jti != claims[1].jti
    assert {claim.exp for claim in claims} == {int(calendar.now) + TOKEN_S}
    calendar.now = identity.expires_at - 10
    assert unverified(identity.token(PEER).split("~")[2], TokenClaims).exp == identity.expires_at


def test_a_token_opens_one_connection(authority: Authority, material: IdentityMaterial, verifier: Verifier) -> None:
    """Whoever shows a copy of a token that was shown before is refused, however it is spelled; its owner's next one is good."""
    identity = Identity(material)
    token = identity.token(PEER)
    assert verifier.admit(token, PEER).name == "NLUAgent@mainpc"
    for copy in (token, token + "=", token + "\n"):
        with pytest.raises(PermissionDenied):
            verifier.admit(copy, PEER)
    with pytest.raises(PermissionDenied, match="shown before"):
        verifier.admit(token, PEER)
    assert verifier.admit(identity.token(PEER), PEER).name == "NLUAgent@mainpc"
    assert verifier.verify(token, PEER).name == "NLUAgent@mainpc"  # what is shown to many, as heartbeats are, stays good


def test_a_refused_token_is_not_used_up(material: IdentityMaterial, verifier: Verifier) -> None:
    """Showing somebody's token to the wrong callee, or a bent copy of it to the right one, does not keep its owner out."""
    token = Identity(material).token(PEER)
    for audience, shown in (("Other@mainpc", token), (PEER, token[:-4] + "AAAA")):
        with pytest.raises(PermissionDenied):
            verifier.admit(shown, audience)
    assert verifier.admit(token, PEER).name == "NLUAgent@mainpc"


def test_a_number_is_its_owners_only(machine: Machine, verifier: Verifier) -> None:
    """An agent that numbers a token as a neighbour's is numbered shuts nobody out."""
    ours, theirs = machine.issue("A@mainpc"), machine.issue("B@mainpc")
    now = int(clock.wall())
    for material, name in ((theirs, "B@mainpc"), (ours, "A@mainpc")):
        token = forge(material, TokenClaims(name, PEER, (), now, now + TOKEN_S, "one"))
        assert verifier.admit(token, PEER).name == name


def test_what_was_shown_is_forgotten_when_it_has_ended(
    material: IdentityMaterial, verifier: Verifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers are kept for as long as their token could be believed, by clocks that differ as far as they may, and no longer;
    never more than so many, and never more of one than its beginning."""
    wall, monotonic = clock.wall(), clock.monotonic()
    now = [0.0]
    monkeypatch.setattr(clock, "wall", lambda: wall + now[0])
    monkeypatch.setattr(clock, "monotonic", lambda: monotonic + now[0])
    issued = int(wall) + LEEWAY_S  # by a clock that is ahead
    token = forge(material, TokenClaims("NLUAgent@mainpc", PEER, (), issued, issued + TOKEN_S, "x" * 100_000))
    verifier.admit(token, PEER)
    assert sum(len(number) for _, number in verifier._shown) < 100
    for seconds in (1, TOKEN_S, TOKEN_S + 2 * LEEWAY_S - 2):
        now[0] = seconds
        with pytest.raises(PermissionDenied, match="shown before"):
            verifier.admit(token, PEER)
    now[0] = TOKEN_S + 2 * LEEWAY_S + 2
    assert "expired" in refused(verifier, token)
    verifier.admit(Identity(material).token(PEER), PEER)
    assert len(verifier._shown) == 1
    monkeypatch.setattr("tandem.security.verifier.SHOWN_MAX", 3)
    for _ in range(5):
        verifier.admit(Identity(material).token(PEER), PEER)
    assert len(verifier._shown) == 3


def test_a_token_without_a_number_is_believed(material: IdentityMaterial, verifier: Verifier) -> None:
    """A neighbour of the release before, which did not number tokens, may call while a rollout lasts."""
    now = int(clock.wall())
    token = forge(material, TokenClaims("NLUAgent@mainpc", PEER, (), now, now + TOKEN_S))
    assert verifier.admit(token, PEER).name == verifier.admit(token, PEER).name == "NLUAgent@mainpc"


def test_a_running_process_gets_a_new_credential_for_its_key(
    machine: Machine, verifier: Verifier, calendar: Clock
) -> None:
    """A renewed credential carries a process on without a new key, even when the computer slept past the old one."""
    identity = Identity(machine.issue("NLUAgent@mainpc", scopes=("memory.read",)))
    calendar.now += 3 * CREDENTIAL_S
    assert "expired" in refused(verifier, identity.token(PEER))
    identity.renew(machine.renew(identity.credential))
    assert identity.expires_at == int(calendar.now) + CREDENTIAL_S
    assert verifier.verify(identity.token(PEER), PEER).scopes == ("memory.read",)


def test_only_what_this_machine_signed_and_nobody_revoked_is_renewed(
    tmp_path: Path, machine: Machine
) -> None:
    """Another machine's credential, a self-signed one and a revoked one are not renewed."""
    authority = Authority.open(Home(tmp_path))
    own = authority.machine("mainpc")
    revoked = own.issue("A@mainpc").credential
    authority.revoke("A@mainpc")
    key = Ed25519PrivateKey.generate()
    for refused_one in (revoked, machine.issue("A@mainpc").credential, credential(key, key), "junk"):
        with pytest.raises(PermissionDenied):
            own.renew(refused_one)


def test_a_credential_for_another_key_or_name_is_not_taken(machine: Machine) -> None:
    """An identity refuses a credential that certifies somebody else's key, or its own key under another name."""
    identity = Identity(machine.issue("A@mainpc"))
    for other in (machine.issue("A@mainpc"), machine.issue("B@mainpc")):
        with pytest.raises(PermissionDenied):
            identity.renew(other.credential)
    with pytest.raises(PermissionDenied, match="was given to"):
        Identity(msgspec.structs.replace(machine.issue("A@mainpc"), agent_id="B@mainpc"))


def test_private_material_does_not_show_itself(material: IdentityMaterial, machine: Machine) -> None:
    """repr of identities, CURVE and NATS keys contains no private part."""
    curve, nkey = machine.curve("A@mainpc"), machine.nkey("A@mainpc")
    assert repr(material.private_key) not in repr(material) and material.credential not in repr(material)
    assert curve.secret.decode() not in repr(curve)
    assert nkey.seed.decode() not in repr(nkey)


def test_the_machine_certificate_is_checked_against_time_too(tmp_path: Path, calendar: Clock) -> None:
    """When the machine's own certificate has ended, a fresh credential below it is worth nothing."""
    authority = Authority.open(Home(tmp_path))
    machine = authority.machine("mainpc")
    record = authority.record("mainpc")
    assert isinstance(record, MachineClaims)
    calendar.now = record.exp + LEEWAY_S + 1
    message = refused(Verifier(authority.ca_public), Identity(machine.issue("A@mainpc")).token(PEER))
    assert "certificate of mainpc expired" in message
