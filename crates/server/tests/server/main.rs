//! A whole hub, seen from outside.

#![expect(clippy::print_stdout, reason = "a failing test shows its seed, and what it ran")]

mod bad_input;
mod cold;
mod curl;
mod data_folder;
mod dead_letters;
mod doors;
mod eviction;
mod extremes;
mod full;
mod handshakes;
mod http;
mod hub;
mod kill;
mod ledger;
mod levels;
mod links;
mod lists;
mod neighbour;
mod raw;
mod victim;
mod websocket;
