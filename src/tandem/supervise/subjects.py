"""The fleet file's words about an agent as supervision's."""

from __future__ import annotations

from collections.abc import Iterable

from tandem.core.ids import AgentId
from tandem.fleet.model import AgentConfig, RestartPolicy
from tandem.supervise.lifecycle import Policy
from tandem.supervise.release import Release
from tandem.supervise.runner import Subject


def subject_of(config: AgentConfig, release: Release, servers: Iterable[str]) -> Subject:
    """What keeps an agent alive: its needs here, and before them the servers and the zygote of its release."""
    is_forked = config.class_path is not None and config.launch == "fork"
    implied = [*servers, *([release.code.zygote] if is_forked else [])]
    return Subject(
        name=config.name,
        kind="agent",
        group=config.group,
        escalate_to=config.restart.escalate_to,
        policy=policy_of(config),
        config=config,
        release=release,
        needs=(*implied, *(bare(need) for need in config.needs)),
        wants=tuple(bare(want) if AgentId(want).machine == config.machine else want for want in config.wants),
    )


def policy_of(config: AgentConfig) -> Policy:
    """The fleet file's words as supervision's."""
    rules: RestartPolicy = config.restart
    return Policy(
        restart=rules.when,
        start_timeout_s=config.start_timeout_s,
        stop_grace_s=config.stop_grace_s,
        stable_s=rules.healthy_after_s,
        first_delay_s=rules.first_delay_s,
        delay_factor=rules.factor,
        max_delay_s=rules.max_delay_s,
        jitter=rules.jitter,
        intensity=rules.escalate_after,
        intensity_window_s=rules.window_s,
        give_up_after=rules.give_up_after,
        on_dependency=config.on_dependency,
    )


def bare(identity: str) -> str:
    """The name without its machine."""
    return AgentId(identity).name
