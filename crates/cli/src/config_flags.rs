//! The hub's configuration as flags, made from the server's table of keys.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use skep_server::config::{self, KEYS, Key, Loaded, Said, Takes};

use crate::connect::warn_passed_over;
use crate::context::Global;

/// What was said of the configuration on the command line.
#[derive(Clone, Debug, Default)]
pub(crate) struct ConfigFlags {
    flags: Vec<(&'static str, String)>,
    file: Option<PathBuf>,
}

impl ConfigFlags {
    /// Puts the configuration together: flags, environment, file, defaults.
    pub(crate) fn load(&self, global: &Global) -> anyhow::Result<Loaded> {
        let mut flags = self.flags.clone();
        flags.extend(global.data.clone().map(|data| (DATA, data)));
        let environment = std::env::vars_os()
            .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()));
        let folder = std::env::current_dir()?;
        let said = Said { folder, environment: environment.collect(), flags, file: self.file.clone() };
        let loaded = config::load(&said)?;
        warn_passed_over(global, &loaded.passed_over);
        Ok(loaded)
    }
}

/// The key that every command takes as an option of its own.
const DATA: &str = "data";
const CONFIG: &str = "config";
const HEADING: &str = "Configuration";

fn keys() -> impl Iterator<Item = &'static Key> {
    KEYS.iter().filter(|key| key.name != DATA)
}

fn flag(key: &'static Key) -> Arg {
    let help = format!("{} [env: {}] [default: {}]", key.doc, key.variable, key.default);
    let arg = Arg::new(key.name).long(key.flag).help(help).help_heading(HEADING).action(ArgAction::Append);
    match key.takes {
        Takes::One(what) | Takes::Many(what) => arg.value_name(what),
        Takes::Switch => {
            arg.value_name("true|false").num_args(0..=1).require_equals(true).default_missing_value("true")
        }
    }
}

impl Args for ConfigFlags {
    fn augment_args(command: Command) -> Command {
        let file = Arg::new(CONFIG).long(CONFIG).value_name("FILE").help_heading(HEADING);
        let file = file.value_parser(clap::value_parser!(PathBuf));
        let file = file.help("The configuration file [default: <data>/skep.toml, else the one beside a .skep/ found upward, else ./skep.toml]");
        keys().fold(command.arg(file), |command, key| command.arg(flag(key)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ConfigFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = ConfigFlags { file: matches.get_one(CONFIG).cloned(), ..ConfigFlags::default() };
        for key in keys() {
            let texts = matches.get_many::<String>(key.name).unwrap_or_default();
            let skipped = match key.takes {
                Takes::Many(_) => 0,
                Takes::One(_) | Takes::Switch => texts.len().saturating_sub(1),
            };
            flags.flags.extend(texts.skip(skipped).map(|text| (key.name, text.clone())));
        }
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> ConfigFlags {
        let command = ConfigFlags::augment_args(Command::new("serve").no_binary_name(true));
        ConfigFlags::from_arg_matches(&command.get_matches_from(args)).unwrap()
    }

    #[test]
    fn every_key_but_the_data_folder_is_a_flag() {
        let help = ConfigFlags::augment_args(Command::new("serve")).render_long_help().to_string();
        for key in keys() {
            assert!(help.contains(&format!("--{}", key.flag)) && help.contains(key.variable), "{}", key.name);
        }
    }

    #[test]
    fn lists_add_up_and_of_others_the_last_counts() {
        let flags = parsed(&["--allowed-hosts=a", "--allowed-hosts", "b", "--listen=x", "--listen", "y", "--log-json"]);
        let expected = [("listen", "y"), ("allowed_hosts", "a"), ("allowed_hosts", "b"), ("log_json", "true")];
        assert_eq!(flags.flags, expected.map(|(name, text)| (name, text.to_owned())));
    }
}
