//! The suite that every store passes.
//!
//! An implementation's `tests/contract.rs` is one call:
//!
//! ```
//! # use std::sync::Arc;
//! # use claw_store::Store;
//! # async fn example(fresh: impl AsyncFn() -> Arc<dyn Store>) {
//! claw_store::contract::run(fresh).await;
//! # }
//! ```

mod delivery;
mod lease;
mod log;
mod merging;
mod people;
mod retention;
mod session;
mod sharing;
mod transcript;
mod world;

use std::sync::Arc;

use crate::Store;
use world::World;

/// Runs every check, each on a fresh, empty store that `open` makes.
///
/// # Panics
/// When the store breaks a rule; the last line printed names the check.
pub async fn run(open: impl AsyncFn() -> Arc<dyn Store>) {
    macro_rules! check {
        ($($room:ident: $($name:ident)*;)*) => {$($(
            eprintln!("{}::{}", stringify!($room), stringify!($name));
            $room::$name(World::new(open().await).await).await;
        )*)*};
    }
    check! {
        log:
            events_come_back_whole_in_commit_order
            an_event_id_is_taken_once
            an_event_is_found_by_its_id
            a_run_tells_its_own_story
            the_newest_id_of_a_node_is_found
            a_failing_change_leaves_nothing_of_its_list
            totals_count_the_whole_store
            a_probe_changes_nothing_that_can_be_read
            a_closed_store_refuses_every_call;
        lease:
            a_held_lease_is_given_to_nobody_else
            an_expired_lease_is_taken_over_with_a_higher_epoch
            renewing_keeps_the_epoch
            leases_do_not_stand_in_each_others_way
            a_commit_with_an_old_epoch_does_nothing
            a_fence_of_somebody_elses_epoch_is_refused
            adopting_takes_open_rows_and_leaves_done_ones;
        sharing:
            a_holding_has_one_holder
            giving_up_frees_only_ones_own
            what_a_dead_gateway_held_is_free_and_its_late_commit_refused
            an_old_lease_that_nobody_wanted_goes_on
            rows_of_the_living_are_left_to_them
            a_row_that_was_left_is_claimed_with_its_lane
            rows_of_a_lane_go_to_who_holds_it
            what_nobody_looked_at_yet_is_claimed_with_its_account
            nothing_newer_is_claimed_before_what_nobody_looked_at
            a_clients_message_that_nobody_looked_at_goes_with_its_lane
            rows_of_agents_elsewhere_are_left
            waiting_parts_go_to_who_holds_their_account;
        merging:
            an_imported_event_is_taken_once_and_marked
            whom_another_installation_let_in_is_not_let_in_here
            an_older_event_is_folded_at_its_place
            an_older_event_does_not_bring_a_deleted_session_back
            fields_without_a_word_of_ours_are_kept
            a_trace_tells_its_events
            rows_are_shown_newest_first_and_by_state
            a_row_that_was_given_up_is_shown_and_may_wait_again;
        session:
            a_reset_opens_a_new_life_and_keeps_settings
            a_deleted_session_is_gone
            usage_and_cost_add_up
            a_prefix_lasts_until_a_compaction
            the_head_follows_the_newest_entry_of_this_life
            an_event_without_its_session_is_only_logged
            sessions_are_listed_newest_first
            a_list_is_filtered_and_cut;
        transcript:
            history_follows_parents_over_branches
            history_is_cut_to_the_newest
            an_entry_needs_its_parent
            an_entry_id_is_taken_once
            context_is_what_fits_the_budget
            context_holds_one_entry_however_large
            context_ends_at_its_start
            context_puts_the_newest_compaction_first
            context_after_a_compaction_keeps_to_the_budget
            a_compaction_may_keep_nothing
            context_never_leaves_its_session
            the_context_of_a_long_session_is_bounded;
        delivery:
            the_same_external_id_is_received_once
            the_same_external_id_on_another_account_is_another_event
            an_inbox_id_is_taken_once
            open_rows_come_back_in_the_order_of_acceptance
            a_closed_row_stays_as_it_was_closed
            a_message_is_replaced_until_its_run_starts
            a_row_that_is_no_message_is_not_replaced
            each_target_has_its_own_ascending_order
            parts_share_the_order_of_their_message
            waiting_rows_come_back_by_target_order_and_part
            a_retry_moves_the_time_of_the_next_try
            what_was_sent_stays_sent
            the_rows_of_a_trace_come_back_whatever_their_state
            changes_to_unknown_rows_are_refused;
        people:
            a_newer_pairing_request_replaces_the_older
            pairing_requests_are_listed_oldest_first_and_forgotten
            a_grant_holds_for_its_own_account_only
            a_second_grant_keeps_the_first_date
            a_removed_device_is_gone
            the_newest_event_about_a_device_wins;
        retention:
            what_can_be_asked_of_a_session_is_the_same_after_folding
            folding_takes_bounded_steps_and_stops_at_its_time
            an_ended_life_goes_as_a_whole_once_all_of_it_is_old
            the_prompt_prefix_in_force_stays
            what_was_folded_is_not_imported_again
            an_event_that_comes_late_is_folded_onto_what_was_folded
            an_id_that_was_folded_is_not_given_out_again
            who_was_let_in_stays
            an_open_row_keeps_the_events_since_it_came
            old_rows_that_are_done_go
            only_the_holder_of_the_lease_folds;
    }
}
