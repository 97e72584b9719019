//! Where the data folder and the configuration file are, unless said.

use std::fmt;
use std::path::{Path, PathBuf};

use skep_auth::private;

use super::Said;

/// The name of the data folder.
const FOLDER: &str = ".skep";
/// The name of the configuration file.
const FILE: &str = "skep.toml";

/// What was found upward from a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The nearest `.skep/` that is ours alone.
    pub folder: Option<PathBuf>,
    /// Nearer ones that were passed over: they belong to another user, or others may change them.
    pub passed_over: Vec<PassedOver>,
}

/// A folder or file that was found and is not used, because another user can have put it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PassedOver {
    /// Which.
    pub path: PathBuf,
    /// What it would be.
    pub what: &'static str,
    /// Why it is not used.
    pub why: String,
}

impl fmt::Display for PassedOver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "passed over a {}: {}", self.what, self.why)
    }
}

/// Looks for the nearest `.skep/` upward that no other user can have put there.
#[must_use]
pub fn data_folder(folder: &Path) -> Found {
    let mut found = Found::default();
    for at in folder.ancestors().map(|at| at.join(FOLDER)).filter(|at| at.is_dir()) {
        match private::folder(&at) {
            Ok(_) => return Found { folder: Some(at), ..found },
            Err(error) => found.passed_over.push(PassedOver { path: at, what: "data folder", why: error.to_string() }),
        }
    }
    found
}

/// The data folder of a hub that starts here, where none was found.
#[must_use]
pub fn new_data_folder(folder: &Path) -> PathBuf {
    folder.join(FOLDER)
}

/// The one that is named, else the one in the data folder, else the one beside the data folder that was found upward, else the
/// one here; and those that were passed over.
pub(super) fn file(said: &Said, data: &Path, found: Option<&Path>) -> (Option<PathBuf>, Vec<PassedOver>) {
    if let Some(named) = &said.file {
        return (Some(said.folder.join(named)), Vec::new());
    }
    let beside = found.filter(|found| *found == data).and_then(Path::parent);
    let mut passed_over = Vec::new();
    for folder in [Some(data), beside, Some(said.folder.as_path())].into_iter().flatten() {
        let path = folder.join(FILE);
        if passed_over.iter().any(|passed: &PassedOver| passed.path == path) || !path.is_file() {
            continue;
        }
        match private::found_file(&path) {
            Ok(()) => return (Some(path), passed_over),
            Err(error) => passed_over.push(PassedOver { path, what: "configuration file", why: error.to_string() }),
        }
    }
    (None, passed_over)
}
