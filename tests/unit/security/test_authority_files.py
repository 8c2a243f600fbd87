"""The CA on disk: private, whole, shared by processes, readable by standard tools."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import ssl
import stat
from pathlib import Path

import pytest

from tandem.core.errors import ConfigError, NotFound
from tandem.core.paths import Home
from tandem.security import Authority, Identity, TlsFiles, Verifier


def open_and_issue(root: Path, start: object, answers: object) -> None:
    start.wait()  # type: ignore[attr-defined]
    authority = Authority.open(Home(root))
    machine = authority.machine("mainpc")
    token = Identity(machine.issue("A@mainpc")).token("B@mainpc")
    answers.put((authority.ca_public, machine.curve("A@mainpc").public, token))  # type: ignore[attr-defined]


def test_processes_that_found_the_authority_at_once_share_it(tmp_path: Path) -> None:
    """Six processes opening an empty home together end with one CA, one machine, and tokens all of them accept."""
    context = multiprocessing.get_context("spawn")
    start, answers = context.Event(), context.Queue()
    workers = [context.Process(target=open_and_issue, args=(tmp_path, start, answers)) for _ in range(6)]
    for worker in workers:
        worker.start()
    start.set()
    results = [answers.get(timeout=200) for _ in workers]
    for worker in workers:
        worker.join(timeout=30)
    assert len({ca for ca, _, _ in results}) == 1
    assert len({curve for _, curve, _ in results}) == 1
    for _, _, token in results:
        assert Verifier(results[0][0]).verify(token, "B@mainpc").name == "A@mainpc"


def test_everything_is_the_same_after_a_restart(tmp_path: Path) -> None:
    """A second opening finds the same CA and the same CURVE, NATS and Valkey keys."""
    first, second = (Authority.open(Home(tmp_path)) for _ in range(2))
    assert first.ca_public == second.ca_public
    one, two = first.machine("mainpc"), second.machine("mainpc")
    assert one.curve("A@mainpc") == two.curve("A@mainpc")
    assert one.nkey("A@mainpc") == two.nkey("A@mainpc")
    assert one.password("valkey-cache", "A@mainpc") == two.password("valkey-cache", "A@mainpc")


def test_keys_differ_by_holder_purpose_and_machine(tmp_path: Path) -> None:
    """No two subjects, servers or machines share a derived key."""
    authority = Authority.open(Home(tmp_path))
    machines = [authority.machine("mainpc"), authority.machine("pc2")]
    subjects = ("A@mainpc", "B@mainpc", "node")
    passwords = {
        m.password(server, s)
        for m in machines
        for s in subjects
        for server in ("valkey-control", "valkey-cache")
    }
    assert len(passwords) == 12
    assert len({m.curve(s).secret for m in machines for s in subjects}) == 6
    assert len({m.nkey(s).public for m in machines for s in subjects}) == 6


def test_nothing_secret_is_readable_by_others(tmp_path: Path) -> None:
    """Directories are 0700; files are 0400 or, when public, not writable by others."""
    Authority.open(Home(tmp_path)).machine("mainpc")
    ca = tmp_path / "ca"
    for path in (ca, *ca.rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        elif path.name in ("key.pem", "seed", "server.key", "client.key"):
            assert mode == 0o400, path
        else:
            assert mode & 0o022 == 0, path


def test_a_key_others_can_read_is_refused(tmp_path: Path) -> None:
    """A seed with loose permissions is not used; the error names the cure."""
    Authority.open(Home(tmp_path)).machine("mainpc")
    seed = tmp_path / "ca" / "machines" / "mainpc" / "seed"
    seed.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 400"):
        Authority.open(Home(tmp_path)).machine("mainpc")


def test_a_crash_before_the_rename_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When founding fails half way no half CA exists, and the next attempt succeeds."""

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            Authority.open(Home(tmp_path))
    assert [path.name for path in (tmp_path / "ca").iterdir()] == ["lock"]
    Authority.open(Home(tmp_path)).machine("mainpc")


def shake_hands(server: TlsFiles, client: TlsFiles, hostname: str) -> None:
    """A mutual TLS handshake in memory, under OpenSSL's strictest reading of RFC 5280."""
    contexts = [ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)]
    for context, files in zip(contexts, (server, client), strict=True):
        context.load_verify_locations(files.ca)
        context.load_cert_chain(files.cert, files.key)
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_STRICT
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    sides = [
        contexts[0].wrap_bio(up, down, server_side=True),
        contexts[1].wrap_bio(down, up, server_hostname=hostname),
    ]
    for _ in range(6):
        for side in sides:
            with contextlib.suppress(ssl.SSLWantReadError):
                side.do_handshake()
    assert all(side.version() == "TLSv1.3" for side in sides)


@pytest.mark.parametrize("hostname", ["127.0.0.1", "localhost", "mainpc", "mainpc.lan", "192.168.1.16"])
def test_certificates_satisfy_a_strict_verifier(tmp_path: Path, hostname: str) -> None:
    """Server and client certificates complete a mutual handshake under every name the machine goes by."""
    machine = Authority.open(Home(tmp_path)).machine("mainpc", ["192.168.1.16", "mainpc.lan"])
    shake_hands(machine.server_tls, machine.client_tls, hostname)


def test_certificates_are_good_for_nothing_else(tmp_path: Path) -> None:
    """Another host name, a client's certificate on a server, and a certificate of another CA end the handshake."""
    machine = Authority.open(Home(tmp_path / "a")).machine("mainpc")
    stranger = Authority.open(Home(tmp_path / "b")).machine("mainpc")
    mixed = TlsFiles(machine.server_tls.ca, stranger.client_tls.cert, stranger.client_tls.key)
    for server, client, hostname in (
        (machine.server_tls, machine.client_tls, "pc2"),
        (machine.client_tls, machine.client_tls, "mainpc"),
        (machine.server_tls, mixed, "mainpc"),
        (stranger.server_tls, machine.client_tls, "mainpc"),
    ):
        with pytest.raises(ssl.SSLError):
            shake_hands(server, client, hostname)


def test_a_new_address_gets_a_new_certificate_and_no_new_keys(tmp_path: Path) -> None:
    """Configuring another host renews the certificate; agents' keys and earlier hosts' absence do not matter."""
    authority = Authority.open(Home(tmp_path))
    before = authority.machine("mainpc")
    certificate = Path(before.server_tls.cert).read_bytes()
    after = authority.machine("mainpc", ["10.0.0.5"])
    assert Path(after.server_tls.cert).read_bytes() != certificate
    assert after.curve("A@mainpc") == before.curve("A@mainpc")
    renewed = Path(after.server_tls.cert).read_bytes()
    Authority.open(Home(tmp_path)).machine("mainpc", ["10.0.0.5"])
    assert Path(after.server_tls.cert).read_bytes() == renewed


def test_without_the_private_key_known_machines_work_and_new_ones_do_not(tmp_path: Path) -> None:
    """A computer that only has the CA's certificate signs for its own machine, and says why it cannot add one."""
    Authority.open(Home(tmp_path)).machine("pc2")
    (tmp_path / "ca" / "root" / "key.pem").unlink()
    authority = Authority.open(Home(tmp_path))
    token = Identity(authority.machine("pc2").issue("A@pc2")).token("B@pc2")
    assert Verifier(authority.ca_public).verify(token, "B@pc2").name == "A@pc2"
    with pytest.raises(ConfigError, match="private key"):
        authority.machine("mainpc")


def test_an_unknown_machine_has_no_record(tmp_path: Path) -> None:
    """Asking for the record of a machine nobody certified says so."""
    with pytest.raises(NotFound):
        Authority.open(Home(tmp_path)).record("pc9")


def test_revocations_survive_a_restart_and_merge_upwards(tmp_path: Path) -> None:
    """Epochs are on disk and reach a joined computer, which keeps them and gives them to what it spawns."""
    founder = Authority.open(Home(tmp_path / "a"))
    shutil.copytree(tmp_path / "a" / "ca", tmp_path / "b" / "ca")
    (tmp_path / "b" / "ca" / "root" / "key.pem").unlink()
    joined = Authority.open(Home(tmp_path / "b"))
    assert founder.founded_here and not joined.founded_here
    assert founder.revoke("A@mainpc") == 1
    once = founder.announcement
    assert (founder.revoke("A@mainpc"), founder.revoke("B@mainpc")) == (2, 1)
    assert joined.merge(founder.announcement)
    assert not joined.merge(once)
    expected = {"A@mainpc": 2, "B@mainpc": 1}
    assert dict(Authority.open(Home(tmp_path / "a")).epochs) == expected
    assert dict(Authority.open(Home(tmp_path / "b")).epochs) == expected


def test_a_joined_computer_passes_revocations_on_but_makes_none(tmp_path: Path) -> None:
    """Without the CA's private key revoking says so and changes nothing; what the CA announced is kept word for word."""
    founder = Authority.open(Home(tmp_path / "a"))
    founder.machine("pc2")
    shutil.copytree(tmp_path / "a" / "ca", tmp_path / "b" / "ca")
    (tmp_path / "b" / "ca" / "root" / "key.pem").unlink()
    joined = Authority.open(Home(tmp_path / "b"))
    with pytest.raises(ConfigError, match="private key"):
        joined.revoke("A@pc2")
    assert (dict(joined.epochs), joined.announcement) == ({}, "")
    founder.revoke("A@pc2")
    joined.merge(founder.announcement)
    assert Verifier(founder.ca_public).learn(Authority.open(Home(tmp_path / "b")).announcement) == ["A@pc2"]


def test_a_revoked_agent_gets_new_derived_keys(tmp_path: Path) -> None:
    """After a revocation the agent's CURVE, NATS and Valkey keys are others; its neighbours keep theirs."""
    authority = Authority.open(Home(tmp_path))
    machine = authority.machine("mainpc")

    def keys(subject: str) -> tuple[object, ...]:
        return machine.curve(subject), machine.nkey(subject), machine.password("valkey-control", subject)

    before, neighbour = keys("A@mainpc"), keys("B@mainpc")
    authority.revoke("A@mainpc")
    assert all(old != new for old, new in zip(before, keys("A@mainpc"), strict=True))
    assert keys("B@mainpc") == neighbour
