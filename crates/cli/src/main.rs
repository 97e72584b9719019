//! The command `skep`: one file per command under `commands/`, and what they share beside it.

mod advice;
mod commands;
mod config_flags;
mod connect;
mod context;
mod duration;
mod exit;
mod health;
mod logging;
mod message;
mod offline;
mod output;
mod payload;
mod receipt;
mod settle;
mod stored;
mod usage;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;

use crate::commands::Command;
use crate::context::{Context, Global};

/// A durable message hub for agents.
///
/// Agents send each other messages, ask and answer, share work and publish, through one hub on
/// this machine. A message that was acknowledged is not lost, whatever is killed.
#[derive(Parser)]
#[command(name = "skep", version, after_help = FIRST_HOUR, disable_help_subcommand = true, max_term_width = 110)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

const FIRST_HOUR: &str = "\
A first hour:
  skep serve --detach            start a hub here
  skep agents add bob            bob has an inbox now
  skep send bob \"hi\"             a message, on disk when this returns
  skep inbox bob                 look; nothing is taken
  skep receive bob --ack         take it
  skep stop                      end the hub; messages stay

Exit codes: 0 done, 1 internal, 2 usage, 3 refused, 4 outcome unknown, 5 no hub, 6 timeout or
nothing there, 7 damaged, 130 interrupted. More: skep help exit-codes";

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => return usage::end(&error, &args),
    };
    let context = Context::new(cli.global);
    let done = cli.command.run(&context);
    exit::report(context.output(), done)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn own_arguments(command: &clap::Command) -> Vec<String> {
        let own = command.get_arguments().map(|arg| arg.get_id().to_string());
        own.chain(command.get_subcommands().flat_map(own_arguments)).collect()
    }

    #[test]
    fn no_command_has_an_argument_of_the_name_of_a_global_one() {
        let command = Cli::command();
        let globals: Vec<String> = command.get_arguments().map(|arg| arg.get_id().to_string()).collect();
        let own: Vec<String> = command.get_subcommands().flat_map(own_arguments).collect();
        assert!(globals.len() >= 5 && own.len() > 30);
        assert_eq!(own.iter().find(|name| globals.contains(name)), None);
    }

    #[test]
    fn every_command_is_well_formed_and_teaches_by_example() {
        let mut command = Cli::command();
        command.build();
        command.clone().debug_assert();
        let mut verbs: Vec<&clap::Command> = command.get_subcommands().collect();
        while let Some(verb) = verbs.pop() {
            let name = verb.get_bin_name().unwrap_or_default();
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains(name) || verb.get_name() == "help", "{name} shows no example");
            assert!(verb.get_about().is_some(), "{name} says not what it does");
            // The processes of the demo are started by it, not typed.
            verbs.extend(verb.get_subcommands().filter(|verb| !verb.is_hide_set()));
        }
    }
}
