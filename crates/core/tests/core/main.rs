//! The hub's core, seen from outside, on a real store.

mod close;
mod connection;
mod live;
