//! Stories: the real binary, as a user would use it. One story a file, each in a folder of its own.

#![expect(clippy::unwrap_used, reason = "a story may stop where it stands")]

mod config_errors;
mod dead_letters;
mod demo;
mod documents;
mod first_hour;
mod full_house;
mod hints;
mod json;
mod looks;
mod moments;
mod no_hub;
mod one_log;
mod order;
mod place;
mod receive;
mod repair;
mod request_reply;
mod restart;
mod runaway;
mod second_hub;
mod shutdown;
mod strangers;
mod trace;
mod usage;
mod waiting;
mod wrong_token;
