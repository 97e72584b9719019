//! The hub's core, seen from outside, on a real store.

mod connection;
mod live;
