"""Every "what happens when…" of README and the page of faults is shown by a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

FAULTS = {
    "an agent is killed or crashes": "test_a_killed_agent_is_healthy_again test_callers_may_connect_while_the_agent_restarts",
    "an agent dies ten times in a minute": "test_one_that_keeps_dying_takes_its_group_along_once_and_then_needs_the_operator",
    "that does not help": "test_one_that_keeps_dying_takes_its_group_along_once_and_then_needs_the_operator",
    "an agent exits with 78": "test_bad_agents_are_explained_and_do_not_hold_the_others_up",
    "an agent blocks its event loop": "test_a_blocked_event_loop_is_named test_an_unresponsive_agent_is_killed_and_replaced",
    "an agent takes longer to start": "test_a_slow_start_that_says_so_is_not_taken_for_a_hang",
    "an agent takes too much memory": "test_a_memory_hog_is_killed_and_its_neighbour_is_not test_a_grown_agent_is_renewed_with_grace "
    "test_a_fork_bomb_ends_within_its_limit",
    "something an agent needs dies": "test_what_an_agent_does_when_a_need_dies",
    "an agent leaves children behind": "test_stopped_means_that_nothing_is_left test_children_of_a_killed_agent",
    "a job was declared `detached`": "test_a_detached_job_outlives_its_agent_but_not_the_operators_stop",
    "the node is killed": "test_a_killed_node_is_replaced_and_nobody_notices",
    "the node hangs": "test_a_node_that_hangs_is_ended_and_agents_serve_on",
    "a node dies while a release": "test_a_killed_node_goes_on_wherever_it_was",
    "a new release is no good": "test_a_bad_release_returns_by_itself",
    "the zygote is killed": "test_a_killed_zygote_comes_back",
    "the zygote hangs": "test_a_frozen_zygote_is_found_out_when_somebody_is_to_be_born",
    "a module hangs": "test_one_bad_module_keeps_nobody_else_from_starting",
    "the keeper is killed": "test_agents_find_their_log_again_after_the_keeper_was_killed "
    "test_signs_of_life_and_exit_causes_are_known_after_the_keeper_was_killed",
    "keeper and node are killed together": "test_keeper_and_node_killed_together_then_up "
    "test_down_after_keeper_and_node_died_leaves_nothing",
    "nats-server or a Valkey is killed": "test_killed_server test_frozen_server",
    "the computer was suspended": "test_a_suspended_computer_wakes_with_the_same_processes",
    "the clock is set": "test_a_clock_that_jumps",
    "the disk is full": "test_full_disk test_a_full_disk_loses_lines_but_nothing_else",
    "the keeper's journal is torn": "test_a_corrupt_journal_and_memory_lose_no_process",
    "another file under TANDEM_HOME": "test_a_house_of_damaged_files_comes_up "
    "test_a_node_without_its_identity_says_so_and_agents_serve_on test_what_follows_from_the_seed_is_made_anew test_what_nobody_can_make_anew_is_named_and_left_alone "
    "test_a_damaged_configuration_is_written_anew test_a_damaged_database_is_begun_anew test_a_damaged_release_harms_no_other",
    "files of nats-server's streams": "test_a_house_of_damaged_files_comes_up test_a_position_that_cannot_be_read_is_made_anew "
    "test_streams_whose_descriptions_are_damaged_keep_their_events test_messages_that_cannot_be_read_are_told",
    "TANDEM_HOME is deleted": "test_a_deleted_home_is_not_the_end_of_order test_a_fleet_without_a_home_ends_by_itself",
    "somebody wants a port": "test_a_port_stolen_between_restarts_stays_ours",
    "two operators order": "test_operators_who_race_each_other test_an_order_that_was_overruled_returns_and_says_so",
    "the supervisor itself": "test_node_upgrade_touches_no_agent",
}
README = {
    "an agent crashes": "test_a_killed_agent_is_healthy_again test_callers_may_connect_while_the_agent_restarts",
    "it keeps crashing": "test_one_that_keeps_dying_takes_its_group_along_once_and_then_needs_the_operator "
    "test_bad_agents_are_explained_and_do_not_hold_the_others_up",
    "its event loop hangs": "test_a_blocked_event_loop_is_named",
    "the supervisor, or even the keeper": "test_a_killed_node_is_replaced_and_nobody_notices "
    "test_a_killed_keeper_is_replaced_and_agents_serve_on",
    "NATS or a Valkey dies": "test_killed_server",
    "the cable between two computers": "test_a_cut_is_noticed_told_and_healed test_a_minute_without_cable_loses_nothing",
    "a new release dies": "test_a_bad_release_returns_by_itself",
}


@pytest.mark.parametrize(
    ("page", "shown"), [("README.md", README), ("docs/faults.md", FAULTS)], ids=["readme", "faults"]
)
def test_every_promise_has_tests_that_exist(page: str, shown: dict[str, str]) -> None:
    """Each row of the table has tests, here in the order of the page, and each test is there."""
    table = (
        (ROOT / page).read_text(encoding="utf-8").partition("What happens when…")[2].partition("\n\n##")[0]
    )
    rows = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")][2:]
    assert [row for row, known in zip(rows, shown, strict=True) if not row.startswith(known)] == []
    known = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        for name in re.findall(
            r"^(?:async )?def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }
    assert {name for names in shown.values() for name in names.split()} - known == set()
