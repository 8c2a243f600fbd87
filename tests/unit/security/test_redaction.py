"""Nothing that looks like a credential gets into a log, and ordinary text gets through."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.core.paths import Home
from tandem.security import REDACTED, Authority, Identity, Redactor, Secret, redact


@pytest.mark.parametrize(
    ("text", "secret", "kept"),
    [
        ("Authorization: Bearer abcdef.123456-xyz", "abcdef.123456-xyz", "Authorization: Bearer "),
        ('{"Authorization": "Basic dXNlcjpwYXNz"}', "dXNlcjpwYXNz", "Authorization"),
        ("dial postgres://bob:hunter2@db:5432/x failed", "hunter2", "postgres://bob:"),
        ("redis://:hunter2@localhost:6379/0", "hunter2", "@localhost:6379/0"),
        ("password=hunter2 user=bob", "hunter2", "user=bob"),
        ("PASSWORD: 'two words'", "two words", "PASSWORD"),
        ('{"api_key": "abc123", "limit": 5}', "abc123", '"limit": 5'),
        ("OPENAI_API_KEY=sk-proj-abcdefghijklmnopqrstuv", "abcdefghijklmnopqrstuv", "OPENAI_API_KEY="),
        ("using sk-ant-api03-abcdefghijklmnopqrst for it", "abcdefghijklmnopqrst", "for it"),
        ("push with ghp_abcdefghijklmnopqrstuvwxyz0123456789", "ghp_abcdefghijkl", "push with "),
        ("slack xoxb-1234567890-abcdefghij", "1234567890-abcdefghij", "slack "),
        ("get ?q=tea&token=abc123&page=2", "abc123", "&page=2"),
        ("-----BEGIN PRIVATE KEY-----\nMC4CAQAw\n-----END PRIVATE KEY-----\nnext", "MC4CAQAw", "next"),
        ("-----BEGIN EC PRIVATE KEY-----\nMC4CAQAw cut off", "MC4CAQAw", ""),
    ],
)
def test_credentials_are_replaced_and_the_rest_stays(text: str, secret: str, kept: str) -> None:
    """Each usual form of a credential disappears, the words around it stay."""
    clean = redact(text)
    assert secret not in clean
    assert REDACTED in clean
    assert kept in clean


def test_our_own_secrets_are_recognised(tmp_path: Path) -> None:
    """Tokens, their three-part chains, and NATS seeds are recognised without a word before them."""
    machine = Authority.open(Home(tmp_path)).machine("mainpc")
    material = machine.issue("A@mainpc")
    token = Identity(material).token("B@mainpc")
    seed = machine.nkey("A@mainpc").seed.decode()
    assert redact(f"hello {token} there {seed} end") == f"hello {REDACTED} there {REDACTED} end"
    assert redact(f"[{material.credential}]") == f"[{REDACTED}]"


@pytest.mark.parametrize(
    "text",
    [
        "started MemoryClient@mainpc in 0.3 s, pid 4711, port 5713",
        "the secretary tokenised 512 tokens; passwords are never logged",
        "https://example.org/a/b?q=1#top and user@example.org",
        "trace 4bf92f3577b34da6a3ce929d0e0e4736 span 00f067aa0ba902b7",
        "subject event.mainpc.fact.learned, stream EVENTS_ALL",
        "UA3F2DS33GIP6EYH3UJGIGHKP2DQ47D5REAAS7I6ZMMVR56ANGEM7GMS logged in",
    ],
)
def test_ordinary_lines_pass_unchanged(text: str) -> None:
    """Names, ports, ids, addresses and public keys are not mistaken for secrets."""
    assert redact(text) == text


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    """Redaction is idempotent, so a line may pass through it at several places."""
    assert redact(redact(text)) == redact(text)


def test_known_secrets_disappear_wherever_they_are() -> None:
    """A configured secret is removed whatever it looks like, the longest first; very short ones are left alone."""
    clean = Redactor(["correct horse", "correct horse battery", "a"])
    assert clean("a correct horse battery and a correct horse") == f"a {REDACTED} and a {REDACTED}"


def test_a_secret_shows_itself_only_when_asked() -> None:
    """repr, str, format and pickling of a Secret give nothing away; reveal does."""
    secret = Secret("hunter2")
    assert "hunter2" not in f"{secret} {secret!r} {secret!s:>20} {[secret]}"
    assert secret.reveal() == "hunter2"
    assert secret == Secret("hunter2") and secret != Secret("hunter3") and secret != "hunter2"
    with pytest.raises(TypeError):
        pickle.dumps(secret)
