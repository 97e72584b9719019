//! The way of one message, with links that the documentation build checks.
//!
//! **From a WebSocket to disk, and out again.** A socket of [`Edge`](skep_edge::Edge) hands whole frames
//! to [`Connection::turn`](skep_core::Connection::turn), which decodes them and gathers publishes
//! that follow one by one. [`Session::publish`](skep_core::Session::publish) judges each message
//! with the [`Policy`](skep_core::Policy) and hands those that durable queues want to
//! [`Backend::submit`](skep_core::Backend::submit), with a [`Reply`](skep_core::Reply) that will
//! be answered exactly once.
//!
//! [`Embedded`](skep_embedded::Embedded) plans the [`Write`](skep_core::Write) (seen before? which queues? is there room?)
//! and appends a record to the buffer that fills. Its one writing thread writes and syncs a whole
//! buffer while the next one fills. Only then do its records take effect: replies are answered,
//! messages become ready, and go as far as windows allow to the
//! [`Outlet`](skep_core::Outlet) of a consumer, a [`Mailbox`](skep_core::Mailbox) that is locked
//! and woken once a batch.
//!
//! [`Session::poll_events`](skep_core::Session::poll_events) takes what is in the mailbox, and
//! [`Connection::poll_transmit`](skep_core::Connection::poll_transmit) makes frames of it. The
//! consumer's [`Settle`](skep_protocol::Settle) comes back by the same way: a record, synced,
//! answered, and the message is forgotten.
//!
//! **Another backend** changes only the middle part; every other step is the same code.
