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
mod people;
mod session;
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
    }
}
