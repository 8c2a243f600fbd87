"""A second computer joins with a one-time code."""

from __future__ import annotations

import ssl
from pathlib import Path

import msgspec
import pytest
from cryptography import x509

from tandem.core import clock
from tandem.core.errors import ConfigError, NotFound, PermissionDenied
from tandem.core.paths import Home
from tandem.security import Authority, Bundle, Guest, Host, Identity, Verifier


class Founder:
    """The first computer."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root)
        self.authority = Authority.open(self.home)
        self.authority.machine("mainpc")
        self.host = Host(self.home, self.authority)


@pytest.fixture
def founder(tmp_path: Path) -> Founder:
    return Founder(tmp_path / "first")


def test_a_joined_computer_is_a_full_member(founder: Founder, tmp_path: Path) -> None:
    """After the exchange both computers accept each other's agents, and the new one cannot certify machines."""
    guest = Guest(Home(tmp_path / "second"), "pc2", founder.host.invite("pc2"))
    machine, answer = founder.host.admit(guest.question(), "192.168.1.17")
    joined = guest.settle(answer)
    assert machine == "pc2" and joined.ca_public == founder.authority.ca_public
    local, remote = founder.authority.machine("mainpc"), joined.machine("pc2")
    verifier = Verifier(joined.ca_public)
    assert verifier.verify(Identity(local.issue("A@mainpc")).token("x"), "x").name == "A@mainpc"
    assert verifier.verify(Identity(remote.issue("B@pc2")).token("x"), "x").name == "B@pc2"
    assert founder.authority.record("pc2").leaf == remote.nkey("leaf").public
    with pytest.raises(ConfigError):
        joined.machine("pc3")


def test_private_keys_never_travel(founder: Founder, tmp_path: Path) -> None:
    """Neither message contains the code, a seed or a TLS key; nor, for who listens, anything else that can be read."""
    code = founder.host.invite("pc2")
    guest = Guest(Home(tmp_path / "second"), "pc2", code)
    question = guest.question()
    answer = founder.host.admit(question, bundle=Bundle(fleet="fleet: home"))[1]
    guest.settle(answer)
    assert guest.bundle.fleet == "fleet: home"
    secrets = [
        path.read_bytes()
        for home in (tmp_path / "first", tmp_path / "second")
        for path in (home / "ca").rglob("*")
        if path.name in ("seed", "key.pem", "server.key", "client.key")
    ]
    assert len(secrets) == 7
    public = [founder.authority.ca_file.read_bytes(), b"BEGIN CERTIFICATE", b"fleet: home", b"pc2"]
    for message in (question, answer):
        assert not [secret for secret in (*secrets, *public, code.encode()) if secret in message]


def test_the_certificate_names_what_the_host_saw_not_what_the_guest_says(
    founder: Founder, tmp_path: Path
) -> None:
    """A joining computer cannot get a certificate for another machine's name or address."""
    guest = Guest(Home(tmp_path / "second"), "pc2", founder.host.invite("pc2", ["pc2.lan"]))
    joined = guest.settle(founder.host.admit(guest.question(), "192.168.1.17")[1])
    certificate = Path(joined.machine("pc2").server_tls.cert).read_bytes()
    names = x509.load_pem_x509_certificate(certificate).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert {str(name.value) for name in names.value} == {
        "127.0.0.1", "localhost", "pc2", "pc2.lan", "192.168.1.17",
    }  # fmt: skip


def test_a_code_serves_one_computer(founder: Founder, tmp_path: Path) -> None:
    """A second computer with the same code is refused; the first may repeat its question when the answer was lost."""
    code = founder.host.invite("pc2")
    first = Guest(Home(tmp_path / "second"), "pc2", code)
    founder.host.admit(first.question())
    with pytest.raises(PermissionDenied, match="used"):
        founder.host.admit(Guest(Home(tmp_path / "third"), "pc2", code).question())
    again = Guest(Home(tmp_path / "second"), "pc2", code)  # the process died before the answer came
    assert again.settle(founder.host.admit(again.question())[1]).machine("pc2").name == "pc2"


def test_a_code_ends(founder: Founder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its hour a code admits nobody, and no invitation is open any more."""
    guest = Guest(Home(tmp_path / "second"), "pc2", founder.host.invite("pc2", life_s=3600))
    assert founder.host.awaits_anybody()
    later = clock.wall() + 3601
    monkeypatch.setattr(clock, "wall", lambda: later)
    with pytest.raises(PermissionDenied, match="expired"):
        founder.host.admit(guest.question())
    assert not founder.host.awaits_anybody()


@pytest.mark.parametrize("code", ["AAAAAA-AAAAAA-AAAAAA-AAAAAA", "", "../../root/key"])
def test_a_wrong_code_admits_nobody(founder: Founder, tmp_path: Path, code: str) -> None:
    """A guessed code names no invitation."""
    founder.host.invite("pc2")
    with pytest.raises(NotFound):
        founder.host.admit(Guest(Home(tmp_path / "second"), "pc2", code).question())


def test_codes_forgive_how_they_are_typed(founder: Founder, tmp_path: Path) -> None:
    """Lower case and missing dashes make no difference."""
    code = founder.host.invite("pc2").lower().replace("-", " ")
    guest = Guest(Home(tmp_path / "second"), "pc2", code)
    assert founder.host.admit(guest.question())[0] == "pc2"


def test_a_code_is_for_one_name(founder: Founder, tmp_path: Path) -> None:
    """Whoever was invited as pc2 cannot become mainpc."""
    guest = Guest(Home(tmp_path / "second"), "mainpc", founder.host.invite("pc2"))
    with pytest.raises(PermissionDenied, match="for pc2"):
        founder.host.admit(guest.question())


def test_a_changed_message_is_refused_on_both_sides(founder: Founder, tmp_path: Path) -> None:
    """Somebody between the computers can change neither the keys asked for nor the CA answered with."""
    guest = Guest(Home(tmp_path / "second"), "pc2", founder.host.invite("pc2"))
    question = guest.question()
    answer = founder.host.admit(question)[1]
    impostor = Founder(tmp_path / "impostor")
    foreign = Guest(Home(tmp_path / "x"), "pc2", impostor.host.invite("pc2"))
    other_answer = impostor.host.admit(foreign.question())[1]
    for bad in (flip(answer), other_answer, question, b"", b"\xc0"):
        with pytest.raises(PermissionDenied):
            guest.settle(bad)
    for bad in (flip(question), answer, b""):
        with pytest.raises(PermissionDenied):
            founder.host.admit(bad)
    assert not (tmp_path / "second" / "ca" / "root").exists()


def flip(message: bytes) -> bytes:
    """One bit changed within the body."""
    code_id, nonce, body = msgspec.msgpack.decode(message).values()
    changed = body[:40] + bytes([body[40] ^ 1]) + body[41:]
    return msgspec.msgpack.encode({"code_id": code_id, "nonce": nonce, "sealed": changed})


def test_a_machine_that_joins_again_leaves_its_old_self_revoked(founder: Founder, tmp_path: Path) -> None:
    """When pc2 is installed anew, what the lost disk could still sign is refused, and the new pc2 is accepted."""
    old = Guest(Home(tmp_path / "old"), "pc2", founder.host.invite("pc2"))
    stale = old.settle(founder.host.admit(old.question())[1]).machine("pc2")
    new = Guest(Home(tmp_path / "new"), "pc2", founder.host.invite("pc2"))
    fresh = new.settle(founder.host.admit(new.question())[1])
    verifier = Verifier(founder.authority.ca_public)
    verifier.learn(founder.authority.announcement)
    with pytest.raises(PermissionDenied, match="revoked"):
        verifier.verify(Identity(stale.issue("A@pc2")).token("x"), "x")
    token = Identity(fresh.machine("pc2").issue("A@pc2")).token("x")
    assert verifier.verify(token, "x").name == "A@pc2"
    assert dict(fresh.epochs) == {"pc2": 1}


def test_a_computer_with_a_fleet_of_its_own_does_not_join_by_accident(
    founder: Founder, tmp_path: Path
) -> None:
    """Joining never overwrites an existing CA."""
    Authority.open(Home(tmp_path / "second"))
    with pytest.raises(ConfigError, match="already"):
        Guest(Home(tmp_path / "second"), "pc2", founder.host.invite("pc2"))


def test_a_member_comes_again_for_what_is_new(founder: Founder, tmp_path: Path) -> None:
    """pc2, invited again, gets the fleet file of now and keeps its identity, its keys and what it signed."""
    home = Home(tmp_path / "second")
    first = Guest(home, "pc2", founder.host.invite("pc2"))
    assert not first.is_member
    machine = first.settle(founder.host.admit(first.question())[1]).machine("pc2")
    before = {path: path.read_bytes() for path in home.ca.rglob("*") if path.is_file()}
    token = Identity(machine.issue("A@pc2")).token("x")

    again = Guest(home, "pc2", founder.host.invite("pc2"))
    assert again.is_member
    answer = founder.host.admit(again.question(), bundle=Bundle(fleet="fleet: newer"))[1]
    assert again.read(answer).fleet == "fleet: newer"
    again.settle(answer)
    assert again.bundle.fleet == "fleet: newer"
    assert {path: path.read_bytes() for path in home.ca.rglob("*") if path.is_file()} == before
    assert dict(founder.authority.epochs) == {}
    assert Verifier(founder.authority.ca_public).verify(token, "x").name == "A@pc2"


def test_a_join_that_lost_its_last_word_is_repeated(founder: Founder, tmp_path: Path) -> None:
    """A computer that has installed everything when the line goes dead comes through with the same command."""
    home, code = Home(tmp_path / "second"), founder.host.invite("pc2")
    guest = Guest(home, "pc2", code)
    guest.settle(founder.host.admit(guest.question())[1])
    again = Guest(home, "pc2", code)
    again.settle(founder.host.admit(again.question())[1])
    assert founder.authority.record("pc2").key == founder.authority.signing_key_of("pc2") != ""


def test_a_member_of_one_fleet_takes_nothing_of_another(founder: Founder, tmp_path: Path) -> None:
    """pc2 of our fleet cannot become another machine of it, and what another fleet answers changes nothing."""
    home = Home(tmp_path / "second")
    guest = Guest(home, "pc2", founder.host.invite("pc2"))
    guest.settle(founder.host.admit(guest.question())[1])
    with pytest.raises(ConfigError, match="already"):
        Guest(home, "pc3", founder.host.invite("pc3"))
    other = Founder(tmp_path / "other")
    lured = Guest(home, "pc2", other.host.invite("pc2"))
    answer = other.host.admit(lured.question())[1]
    for take in (lured.read, lured.settle):
        with pytest.raises(ConfigError, match="already"):
            take(answer)
    assert Authority.open(home).ca_public == founder.authority.ca_public


def test_who_was_expelled_does_not_come_back_with_the_same_keys(founder: Founder, tmp_path: Path) -> None:
    """After `machine remove` a new invitation does not serve the former keys, which somebody may have a copy of; new ones it does."""
    home = Home(tmp_path / "second")
    guest = Guest(home, "pc2", founder.host.invite("pc2"))
    joined = guest.settle(founder.host.admit(guest.question())[1])
    Authority.open(founder.home).revoke("pc2")  # another process, while this one waits at its door
    code = founder.host.invite("pc2")
    with pytest.raises(PermissionDenied, match="was expelled"):
        founder.host.admit(Guest(home, "pc2", code).question())
    joined.merge(Authority.open(founder.home).announcement)
    with pytest.raises(PermissionDenied, match="was expelled"):
        Guest(home, "pc2", code)
    home.ca.rename(home.root / "ca-of-old")
    fresh = Guest(home, "pc2", code)
    assert fresh.settle(founder.host.admit(fresh.question())[1]).machine("pc2").name == "pc2"


def test_only_the_founder_invites(founder: Founder, tmp_path: Path) -> None:
    """A joined computer cannot let further ones in."""
    home = Home(tmp_path / "second")
    guest = Guest(home, "pc2", founder.host.invite("pc2"))
    joined = guest.settle(founder.host.admit(guest.question())[1])
    with pytest.raises(ConfigError):
        Host(home, joined).invite("pc3")


def test_the_joined_machine_speaks_tls_with_the_founders(founder: Founder, tmp_path: Path) -> None:
    """The TLS key the guest kept fits the certificate it was granted."""
    guest = Guest(Home(tmp_path / "second"), "pc2", founder.host.invite("pc2"))
    files = guest.settle(founder.host.admit(guest.question())[1]).machine("pc2").server_tls
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(files.cert, files.key)


def test_a_machine_that_moves_away_takes_no_keys_along(founder: Founder, tmp_path: Path) -> None:
    """When pc2, which ran on the founder's computer, becomes one of its own, its former keys are put aside and refused."""
    stale = founder.authority.machine("pc2")
    guest = Guest(Home(tmp_path / "second"), "pc2", founder.host.invite("pc2"))
    joined = guest.settle(founder.host.admit(guest.question())[1])
    assert founder.authority.local_machines() == ["mainpc"]
    assert [path.name for path in (founder.home.ca / "moved").iterdir()] == ["pc2-1"]
    verifier = Verifier(founder.authority.ca_public, dict(founder.authority.epochs))
    with pytest.raises(PermissionDenied, match="revoked"):
        verifier.verify(Identity(stale.issue("A@pc2")).token("x"), "x")
    assert verifier.verify(Identity(joined.machine("pc2").issue("A@pc2")).token("x"), "x").name == "A@pc2"


def test_a_withdrawn_code_admits_nobody(founder: Founder, tmp_path: Path) -> None:
    """Taking an invitation back works at once."""
    code = founder.host.invite("pc2")
    founder.host.withdraw(code.lower())
    with pytest.raises(NotFound):
        founder.host.admit(Guest(Home(tmp_path / "second"), "pc2", code).question())


def test_when_identities_end(founder: Founder) -> None:
    """A local machine and a certified one are good for ten years; a revoked one and a stranger are told apart."""
    assert founder.authority.ends_at("mainpc") > clock.wall() + 9 * 365 * 86_400
    founder.authority.revoke("mainpc")
    with pytest.raises(PermissionDenied, match="revoked"):
        founder.authority.ends_at("mainpc")
    with pytest.raises(NotFound):
        founder.authority.ends_at("mars")
