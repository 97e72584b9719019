//! Models of what threads hand to each other, run in every order that loom finds; they stand beside what they model.

#[cfg(test)]
mod tests {
    macro_rules! models {
        ($($path:path: $($name:ident)+;)+) => {
            $($(#[test] fn $name() {
                use $path as models;
                println!("loom: {}: {} orders", stringify!($name), models::$name());
            })+)+
        };
    }

    models! {
        skep_core::mailbox_models:
            every_entry_is_taken_once_and_no_wake_up_is_lost
            what_is_taken_out_of_a_mailbox_its_session_learns
            a_delivery_is_taken_or_handed_back_when_the_session_ends
            an_eviction_reaches_the_holder;
        skep_embedded::commit_models:
            whoever_waits_for_a_record_is_told
            a_record_that_can_wait_holds_up_none_that_cannot
            what_is_staged_while_the_store_closes_is_written_or_nobody_is_told_so;
    }
}
