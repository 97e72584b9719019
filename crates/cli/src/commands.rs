//! Every command: a file each, and a line in the list at the end.

mod ack;
mod agents;
mod config;
mod demo;
mod extend;
mod help;
mod inbox;
mod nack;
mod publish;
mod queue;
mod receive;
mod reject;
mod repair;
mod replay;
mod reply;
mod request;
mod send;
mod serve;
mod status;
mod stop;
mod subscribe;
mod trace;
mod verify;

use clap::Subcommand;

use crate::context::Context;

macro_rules! commands {
    ($($variant:ident $module:ident;)+) => {
        /// What to do.
        #[derive(Subcommand)]
        pub(crate) enum Command { $($variant($module::Args),)+ }

        impl Command {
            pub(crate) fn run(self, context: &Context) -> anyhow::Result<()> {
                match self { $(Command::$variant(args) => args.run(context),)+ }
            }
        }
    };
}

commands! {
    Serve serve;
    Stop stop;
    Status status;
    Send send;
    Publish publish;
    Request request;
    Reply reply;
    Subscribe subscribe;
    Receive receive;
    Inbox inbox;
    Ack ack;
    Nack nack;
    Reject reject;
    Extend extend;
    Agents agents;
    Queue queue;
    Replay replay;
    Trace trace;
    Demo demo;
    Config config;
    Verify verify;
    Repair repair;
    Help help;
}
