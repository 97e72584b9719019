//! Where the data folder and the configuration file are, unless said.

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
    /// Why nearer ones were passed over: they belong to another user, or others may change them.
    pub passed_over: Vec<String>,
}

/// Looks for the nearest `.skep/` upward that no other user can have put there.
#[must_use]
pub fn data_folder(folder: &Path) -> Found {
    let mut found = Found::default();
    for at in folder.ancestors().map(|at| at.join(FOLDER)).filter(|at| at.is_dir()) {
        match private::folder(&at) {
            Ok(_) => return Found { folder: Some(at), ..found },
            Err(error) => found.passed_over.push(error.to_string()),
        }
    }
    found
}

/// The data folder of a hub that starts here, where none was found.
#[must_use]
pub fn new_data_folder(folder: &Path) -> PathBuf {
    folder.join(FOLDER)
}

/// The one that is named, else the one in the data folder, else the one here.
pub(super) fn file(said: &Said, data: &Path) -> Option<PathBuf> {
    let named = said.file.as_ref().map(|path| said.folder.join(path));
    named.or_else(|| [data.join(FILE), said.folder.join(FILE)].into_iter().find(|path| path.is_file()))
}
