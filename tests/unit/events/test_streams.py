"""What the streams of one machine bind and source."""

from __future__ import annotations

from nats.js.api import StreamConfig

from tandem.core.ids import AgentId
from tandem.events.streams import (
    DUPLICATE_WINDOW_S,
    EVENTS,
    PAIRS,
    TRACES,
    _differs,
    _pair_configs,
    dead_letter_subject,
)


def test_local_binds_its_machine_only_and_all_binds_nothing():
    """Two machines' subjects never meet in one binding, or the other side would acknowledge our messages."""
    for pair in PAIRS:
        local, everywhere = _pair_configs(pair, "pc2", ["mainpc"])
        assert local.subjects == [f"{pair.prefix}.pc2.>"]
        assert local.sources is None
        assert everywhere.subjects is None
        assert [(s.name, s.external and s.external.api) for s in everywhere.sources] == [
            (pair.local, None),
            (pair.local, "$JS.mainpc.API"),
        ]


def test_a_single_machine_sources_only_itself():
    """Without peers there is nothing to wait for."""
    _, everywhere = _pair_configs(EVENTS, "mainpc", [])
    assert len(everywhere.sources) == 1


def test_repeats_are_recognised_for_longer_than_anybody_retries():
    """The window is set on both streams of every pair, and traces live for an hour."""
    for pair in PAIRS:
        assert {config.duplicate_window for config in _pair_configs(pair, "m", [])} == {DUPLICATE_WINDOW_S}
    assert TRACES.max_age_s == 3600.0


def test_a_difference_is_one_in_what_we_set():
    """Fields the server fills in do not count; ours and the sources do."""
    wanted = _pair_configs(EVENTS, "mainpc", ["pc2"])[1]
    assert not _differs(wanted.evolve(metadata={"_nats.ver": "2"}, num_replicas=1), wanted)
    assert _differs(wanted.evolve(max_bytes=1), wanted)
    assert _differs(wanted.evolve(sources=wanted.sources[:1]), wanted)
    assert not _differs(wanted.evolve(sources=wanted.sources[::-1]), wanted)
    assert _differs(StreamConfig(name="X"), wanted)


def test_dead_letters_carry_machine_agent_and_topic():
    """Permissions can be given per agent, and a person sees whose they are."""
    assert dead_letter_subject(AgentId("A@pc2"), "fact.learned") == "dead.pc2.A.fact.learned"
