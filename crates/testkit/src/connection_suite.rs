//! What every link between a client and a hub must do, seen by the Rust client.
//!
//! The hub is a real one, on a folder of its own; the link is a [`Way`] to it, with a
//! [`Line`] in between that the test can cut or hold up.

mod hub;
mod line;
mod live;
mod place;
mod reconnect;
mod restart;
mod streams;
mod verbs;

pub use self::line::Line;
pub use self::live::*;
pub use self::place::{Place, Way, run};
pub use self::reconnect::*;
pub use self::restart::*;
pub use self::streams::*;
pub use self::verbs::*;

/// Runs the named cases as tests over one [`Way`], each on a hub of its own.
#[macro_export]
macro_rules! connection_suite {
    ($way:expr) => {
        $crate::connection_suite!(@cases $way;
            a_receipt_names_the_position_and_an_acked_message_never_comes_back
            a_nacked_message_comes_again_with_the_reason
            an_extended_lease_outlasts_its_first_deadline_and_shows_its_progress
            a_hand_over_acks_and_publishes_in_one_step
            a_refused_hand_over_publishes_nothing_and_the_lease_still_holds
            in_flight_never_exceeds_the_window_and_settling_frees_it
            as_many_messages_are_worked_on_at_once_as_there_are_handlers
            a_goodbye_returns_leases_uncharged
            requests_under_way_together_each_get_their_own_reply
            a_reply_that_names_another_request_is_not_taken_for_the_answer
            a_request_that_nobody_hears_fails_at_once
            a_request_that_nobody_answers_times_out
            a_wrong_token_is_refused_as_unauthenticated
            a_subscription_that_cannot_be_is_refused
            readers_of_a_deleted_queue_learn_it_and_ask_no_more
            a_reader_learns_that_its_queue_is_gone_also_when_the_word_of_it_was_lost
            a_live_message_reaches_each_matching_subscription_once
            a_reader_that_does_not_keep_up_loses_the_oldest_and_they_are_counted
            a_client_that_does_not_read_costs_itself_only
            no_message_is_lost_or_doubled_however_often_the_link_is_cut
            a_session_that_is_resumed_keeps_its_leases
            a_settle_whose_answer_was_lost_is_answered_again
            a_hand_over_whose_answer_was_lost_is_done_once
            a_live_message_whose_receipt_was_lost_is_heard_once
            a_request_whose_receipt_was_lost_is_asked_once
            a_handler_is_cancelled_when_its_lease_is_lost
            a_request_under_way_survives_a_cut
            a_hub_that_restarts_finds_its_clients_again_and_their_leases_lost
            publishes_go_on_over_restarts_of_the_hub
            a_handler_is_cancelled_when_the_hub_restarts
            a_streamed_reply_comes_part_by_part_and_ends_with_the_last
            a_plain_reply_is_a_stream_of_one_and_a_stream_no_plain_reply
            a_missing_part_ends_the_stream_and_is_named
            a_part_that_comes_twice_is_read_once
            a_responder_that_ends_in_the_middle_is_noticed_in_time
            a_responder_learns_when_the_requester_has_gone
            a_streamed_request_that_nobody_hears_fails_at_once
            a_streamed_reply_survives_a_cut
            a_part_that_is_lost_with_the_line_is_missed
            a_responder_waits_for_a_requester_that_takes_nothing
            a_streamed_reply_ends_when_the_hub_restarts
            a_streamed_reply_to_an_inbox_is_kept_until_it_is_read
        );
    };
    (@cases $way:expr; $($case:ident)+) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::connection_suite::run($way, $crate::connection_suite::$case).await;
            }
        )+
    };
}
