//! The Skep hub: sessions, routing, live queues and the traits it calls out through.
