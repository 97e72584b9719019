//! Who a party is: the local token.
//!
//! The token is a file beside the data, readable by its owner only; whoever can read it owns
//! this machine's account, so it may act as any agent. [`TokenPolicy`] is the judge; [`private`] says
//! what no other user of this machine can have made.

mod policy;
pub mod private;
pub mod token;

pub use policy::TokenPolicy;
pub use token::{Token, TokenError};
