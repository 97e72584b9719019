//! A Skep hub put together: configuration, data folder, wiring, shutdown.
//!
//! [`Server::start`] takes a [`Config`](config::Config) and gives a [`Running`] hub. It touches
//! nothing global: logging and signals belong to the program around it.

pub mod config;
pub mod folder;
mod limits;
pub mod offline;
mod places;
mod running;
pub mod walks;
mod wiring;

pub use running::{Addresses, Link, Links, Running, Server, ServerError};
pub use skep_auth::Token;
