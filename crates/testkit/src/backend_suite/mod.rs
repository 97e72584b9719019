//! What every backend must do, seen through sessions of a hub on it.

mod dead;
mod dedup;
mod delivery;
mod durability;
mod facts;
mod order;

use std::sync::Arc;

use skep_core::{Backend, Clock, Facts, Guards, Hub, HubOptions};
use skep_protocol::{Action, Ask, Command, Message, Page, Position, QueueName, QueueSpec, Settle, Stored};

pub use self::dead::*;
pub use self::dedup::*;
pub use self::delivery::*;
pub use self::durability::*;
pub use self::facts::*;
pub use self::order::*;
use crate::peer::{Anyone, Peer};

/// Opens the same store again and again; each call after the one before was closed.
pub type Opener<'a> = &'a dyn Fn() -> (Arc<dyn Backend>, Arc<dyn Facts>);

/// A hub on a backend, where anyone may do anything.
pub async fn hub(opener: Opener<'_>) -> Arc<Hub> {
    let (backend, facts) = opener();
    let options = HubOptions { name: "test".into(), payload_bytes_max: 1 << 20, guards: Guards::default() };
    Hub::open(options, Clock::new(), backend, facts, Arc::new(Anyone)).await.expect("a hub")
}

/// A queue's declaration with more said.
pub async fn declare(peer: &mut Peer, name: &str, more: impl FnOnce(QueueSpec) -> QueueSpec) {
    let spec = more(QueueSpec::new(QueueName::new(name).expect("a name")));
    peer.manage(Command::Declare(spec)).await.expect("a queue");
}

async fn jobs(hub: &Arc<Hub>) -> Peer {
    let mut peer = Peer::attach(hub, None);
    declare(&mut peer, "jobs", |spec| QueueSpec { backoff_min_ms: 0, ..spec }).await;
    peer
}

fn text(message: &Message) -> String {
    String::from_utf8(message.payload().to_vec()).expect("text")
}

fn settle(lease: skep_protocol::LeaseToken, action: Action) -> Settle {
    Settle { lease, action }
}

async fn close(hub: Arc<Hub>, peer: Peer) {
    peer.goodbye();
    hub.close().await.expect("closed in order");
}

/// A look shows what waits, and takes nothing.
async fn peek(peer: &mut Peer, queue: &str) -> Vec<Stored> {
    let queue = QueueName::new(queue).expect("a name");
    peek_from(peer, queue, None, 100).await.0
}

/// A page of it, and where to go on.
async fn peek_from(
    peer: &mut Peer,
    queue: QueueName,
    from: Option<Position>,
    limit: u32,
) -> (Vec<Stored>, Option<Position>) {
    match peer.look(Ask::Peek { queue, limit, from }).await.expect("a look") {
        Page::Messages { messages, next } => (messages, next),
        other => panic!("{other:?}"),
    }
}

/// Runs the named cases as tests, each on a store of its own.
#[macro_export]
macro_rules! backend_suite {
    ($open:expr) => {
        $crate::backend_suite!(@cases $open;
            a_stored_message_is_delivered_and_an_acked_one_never_comes_back
            a_restart_forgets_nothing_and_brings_nothing_back
            a_message_that_fails_too_often_is_a_dead_letter_and_its_sender_is_told
            a_rejected_message_is_a_dead_letter_at_once
            a_lost_lease_returns_the_message_and_its_old_token_settles_nothing
            in_flight_never_exceeds_the_window
            what_a_consumer_does_not_take_in_time_returns_uncharged
            consumers_of_a_deleted_queue_are_told_once
            a_consumer_that_goes_gives_back_what_it_holds
            a_critical_message_goes_before_those_that_wait
            a_hub_that_stops_in_order_uses_up_no_attempt
            a_resend_is_recognised_by_its_sequence_across_a_restart
            another_message_under_a_used_sequence_is_refused_and_the_first_is_untouched
            another_message_under_a_used_sequence_is_refused_in_a_step
            a_resend_of_what_is_stored_is_not_refused_for_what_holds_now
            an_exactly_once_message_is_recognised_by_its_id_across_a_restart
            an_id_that_comes_again_with_another_payload_is_refused
            settle_and_publish_are_one_step
            a_full_queue_refuses_when_addressed_and_is_skipped_else
            a_guarantee_that_cannot_be_given_is_refused
            the_past_can_be_replayed_and_traced
            a_look_at_a_queue_goes_on_where_the_page_before_ended
            a_queue_with_messages_is_deleted_only_by_force
            registered_agents_are_known_after_a_restart
            an_old_hubs_lease_token_settles_nothing
            a_resumed_party_keeps_the_leases_it_names
            what_comes_too_late_for_its_session_returns_uncharged
            messages_of_one_key_are_delivered_one_at_a_time_in_order
            a_dead_letter_parks_its_key_until_it_is_redriven
            dead_letters_are_moved_back_by_what_they_are_and_in_order
            one_dead_letter_is_moved_back_by_its_id_or_its_position
            a_dry_run_says_which_would_be_moved_or_dropped_and_changes_nothing
            a_dead_letter_tells_when_it_died_across_a_restart
            an_exclusive_queue_refuses_a_second_consumer
            the_next_consumer_takes_over_when_the_single_active_one_goes
            every_best_effort_message_reaches_a_durable_queue
            a_step_without_its_leases_or_its_queue_is_refused_whole
            a_fact_ends_after_its_time_also_across_a_restart
            facts_are_listed_by_prefix_page_by_page
            a_watch_tells_every_change_of_its_prefix_in_order
        );
    };
    (@cases $open:expr; $($case:ident)+) => {
        $(
            #[tokio::test]
            async fn $case() {
                let store = $open;
                $crate::backend_suite::$case(&store).await;
            }
        )+
    };
}
