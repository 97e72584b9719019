//! Reads the variables that begin with `SKEP_`.

use super::error::Problem;
use super::given::Given;
use super::key::KEYS;
use super::{Loaded, Said, Source};

const PREFIX: &str = "SKEP_";

/// Variables that are none of the hub's, but of its clients and tests.
pub const CLIENT_VARIABLES: &[&str] = &["SKEP_TOKEN", "SKEP_URL", "SKEP_BIN", "SKEP_PYTHON", "SKEP_VECTORS"];

pub(super) fn read(said: &Said, loaded: &mut Loaded) -> Vec<Problem> {
    let ours = said.environment.iter().filter(|(name, _)| name.starts_with(PREFIX));
    let others = ours.filter(|(name, _)| !CLIENT_VARIABLES.contains(&name.as_str()));
    let problem = |(name, text): &(String, String)| match KEYS.iter().find(|key| key.variable == name) {
        None => {
            let known = KEYS.iter().map(|key| key.variable).chain(CLIENT_VARIABLES.iter().copied());
            Some(Problem::unknown_variable(name, known))
        }
        Some(key) => {
            let given = Given::Text { text, base: &said.folder };
            loaded.set(key, &given, Source::Environment(name.clone()))
        }
    };
    others.filter_map(problem).collect()
}
