"""A computer that was shut out is known again by what it can prove, however its link behaves meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import Mock

import msgspec
import pytest

from tandem.core import clock
from tandem.core.paths import Home
from tandem.security import Authority, Guest, Host, Identity, Machine
from tandem.security.tokens import CREDENTIAL_S
from tandem.supervise.link_state import Beat, LinkState
from tandem.supervise.link_watch import LinkWatch
from tandem.supervise.vouching import AUDIENCE, Vouching


@pytest.fixture
def founder(tmp_path: Path) -> Authority:
    authority = Authority.open(Home(tmp_path / "first"))
    authority.machine("mainpc")
    return authority


@pytest.fixture
def mainpc(founder: Authority) -> Vouching:
    return Vouching(founder, founder.machine("mainpc"))


def join(founder: Authority, home: Path) -> tuple[Authority, Machine]:
    """pc2 in ``home``, a member from now on."""
    host = Host(Home(founder.epochs_file.parents[1]), founder)
    guest = Guest(Home(home), "pc2", host.invite("pc2"))
    joined = guest.settle(host.admit(guest.question())[1])
    return joined, joined.machine("pc2")


def beat(proof: str) -> Any:
    """A heartbeat of pc2 as NATS delivers it."""
    return Mock(subject="presence.pc2.node", data=msgspec.msgpack.encode(Beat(sent=0.0, proof=proof)))


async def test_joining_anew_counts_although_the_link_was_never_down(
    founder: Authority, mainpc: Vouching, tmp_path: Path
) -> None:
    """Beats come without a pause: under the revoked identity they restore no trust, under the new one the first one does."""
    watch = LinkWatch(Mock(), Mock(), "mainpc", ["pc2"], mainpc)
    former = Vouching(*join(founder, tmp_path / "second"))
    await watch._heard(beat(former.proof()))
    founder.revoke("pc2")
    watch.distrust(["pc2"])
    for proof in (former.proof(), "", mainpc.proof()):
        await watch._heard(beat(proof))
        assert not watch.trusts("pc2")
    anew = Vouching(*join(founder, tmp_path / "third"))
    await watch._heard(beat(anew.proof()))
    assert watch.trusts("pc2")
    assert watch.state("pc2") is LinkState.UP


def test_only_the_node_of_that_machine_vouches_for_it(
    founder: Authority, mainpc: Vouching, tmp_path: Path
) -> None:
    """Neither an agent of the machine, nor another machine's node, nor a token made for somebody else is taken."""
    joined, machine = join(founder, tmp_path / "second")
    assert mainpc.accepts("pc2", Vouching(joined, machine).proof())
    node = Identity(machine.issue("node@pc2", "node"))
    assert not mainpc.accepts("pc2", Identity(machine.issue("Talker@pc2")).token(AUDIENCE))
    assert not mainpc.accepts("pc2", Identity(machine.issue("node@pc2")).token(AUDIENCE))
    assert not mainpc.accepts("pc2", node.token("Talker@mainpc"))
    assert not mainpc.accepts("pc2", mainpc.proof())
    assert not mainpc.accepts("pc2", "nonsense")


@pytest.mark.parametrize("elapsed_s", [CREDENTIAL_S * 0.99, CREDENTIAL_S * 2, -CREDENTIAL_S / 2])
def test_a_node_that_runs_for_long_can_still_prove_itself(
    founder: Authority, mainpc: Vouching, monkeypatch: pytest.MonkeyPatch, elapsed_s: float
) -> None:
    """Its credential is renewed in time, and after the clock was set back."""
    peer = Vouching(founder, founder.machine("mainpc"))
    peer.proof()
    now = clock.wall()
    monkeypatch.setattr(clock, "wall", lambda: now + elapsed_s)
    assert mainpc.accepts("mainpc", peer.proof())
