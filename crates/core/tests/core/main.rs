//! The hub's core, seen from outside, on a real store.

mod agents;
mod close;
mod connection;
mod facts;
mod faulty;
mod guards;
mod lists;
mod live;
mod numbers;
mod steps;
mod unstored;
