//! Where the data folder and the configuration file are, unless said.

use std::path::{Path, PathBuf};

use super::Said;

/// The name of the data folder.
const FOLDER: &str = ".skep";
/// The name of the configuration file.
const FILE: &str = "skep.toml";

/// The nearest `.skep/` upward, else a new one here.
#[must_use]
pub fn data_folder(folder: &Path) -> PathBuf {
    let nearest = folder.ancestors().map(|at| at.join(FOLDER)).find(|at| at.is_dir());
    nearest.unwrap_or_else(|| folder.join(FOLDER))
}

/// The one that is named, else the one in the data folder, else the one here.
pub(super) fn file(said: &Said, data: &Path) -> Option<PathBuf> {
    let named = said.file.as_ref().map(|path| said.folder.join(path));
    named.or_else(|| [data.join(FILE), said.folder.join(FILE)].into_iter().find(|path| path.is_file()))
}
