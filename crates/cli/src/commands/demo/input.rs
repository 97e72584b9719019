//! The files that the demo works on: text, of a size that one message's worth of work is made of.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::exit::Usage;
use crate::output::path as shown;

/// Files that are taken; the rest is left out, and the user is told.
pub(super) const FILES_MAX: usize = 2_000;
/// Entries that are looked at, so that `--input /` ends; then the rest is left out.
const ENTRIES_MAX: usize = 100_000;
/// Largest file that is taken, in bytes.
const FILE_BYTES_MAX: u64 = 512 * 1024;
/// Folders that hold no source, whoever made them.
const SKIPPED: [&str; 4] = [".git", ".skep", "target", "node_modules"];

/// What there is to work on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Input {
    /// The folder that was looked at.
    pub(super) root: PathBuf,
    /// Its text files, by path.
    pub(super) files: Vec<InputFile>,
    /// There were more than are taken.
    pub(super) cut: bool,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InputFile {
    /// Below the root.
    pub(super) path: String,
    /// Its size, in bytes.
    pub(super) bytes: u64,
}

impl Input {
    /// Finds the text files below a folder. Links are not followed.
    pub(super) fn find(root: &Path) -> anyhow::Result<Self> {
        let unusable = |error: io::Error| Usage(format!("--input {}: {error}; expected a folder", shown(root)));
        let root = fs::canonicalize(root).map_err(unusable)?;
        let mut input = Input { root: root.clone(), ..Input::default() };
        let (mut folders, mut seen) = (vec![root.clone()], 0);
        'folders: while let Some(folder) = folders.pop() {
            let entries = match entries(&folder) {
                Ok(entries) => entries,
                Err(error) if folder == root => return Err(unusable(error).into()),
                // What may not be read is not part of the input.
                Err(_) => continue,
            };
            // What is pushed last comes first: so folders are walked in the order of their names.
            for path in entries.iter().rev().filter(|path| is_folder(path)) {
                folders.push(path.clone());
            }
            for path in entries {
                seen += 1;
                if input.files.len() == FILES_MAX || seen > ENTRIES_MAX {
                    input.cut = true;
                    break 'folders;
                }
                input.files.extend(text_file(&root, &path));
            }
        }
        if input.files.is_empty() {
            let text =
                format!("--input {}: no text file of at most 512 KiB in it; expected at least one", shown(&root));
            return Err(Usage(text).into());
        }
        Ok(input)
    }
}

/// The entries of a folder, by name.
fn entries(folder: &Path) -> io::Result<BTreeSet<PathBuf>> {
    let entries = fs::read_dir(folder)?.take(ENTRIES_MAX);
    Ok(entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
}

fn is_folder(path: &Path) -> bool {
    let skipped = path.file_name().is_some_and(|name| SKIPPED.iter().any(|skipped| name == *skipped));
    !skipped && path.symlink_metadata().is_ok_and(|metadata| metadata.is_dir())
}

/// The file at a path, if it is one of text.
fn text_file(root: &Path, path: &Path) -> Option<InputFile> {
    let metadata = path.symlink_metadata().ok()?;
    if !metadata.is_file() || metadata.len() > FILE_BYTES_MAX {
        return None;
    }
    let text = read_text(path).ok()?;
    let path = path.strip_prefix(root).ok()?.to_str()?.to_owned();
    Some(InputFile { path, bytes: text.len() as u64 })
}

/// Reads a file of text.
///
/// # Errors
/// When it cannot be read, is too large, or is no UTF-8: then the byte is named where it stops to be.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let mut bytes = Vec::new();
    File::open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {FILE_BYTES_MAX} bytes")));
    }
    // Binary files may be valid UTF-8; text holds no NUL.
    let nul = bytes.iter().position(|byte| *byte == 0);
    let broken = |at: usize| io::Error::new(io::ErrorKind::InvalidData, format!("not text: byte {at} is no UTF-8"));
    match (nul, String::from_utf8(bytes)) {
        (Some(at), _) => Err(broken(at)),
        (None, text) => text.map_err(|error| broken(error.utf8_error().valid_up_to())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_text_is_taken_in_the_order_of_names_and_not_from_build_folders() {
        let root = tempfile::tempdir().unwrap();
        for folder in ["b", "a", "target", ".git"] {
            fs::create_dir(root.path().join(folder)).unwrap();
            fs::write(root.path().join(folder).join("x.txt"), "x").unwrap();
        }
        fs::write(root.path().join("z.txt"), "zz").unwrap();
        fs::write(root.path().join("image"), [0x89, b'P', 0xff]).unwrap();
        fs::write(root.path().join("zeros"), [0; 8]).unwrap();
        fs::write(root.path().join("large"), vec![b'x'; 512 * 1024 + 1]).unwrap();
        std::os::unix::fs::symlink(root.path(), root.path().join("a/up")).unwrap();
        let input = Input::find(root.path()).unwrap();
        let paths: Vec<&str> = input.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["z.txt", "a/x.txt", "b/x.txt"]);
        assert_eq!((input.files[0].bytes, input.cut), (2, false));
    }

    #[test]
    fn an_input_without_text_is_refused_by_name() {
        let root = tempfile::tempdir().unwrap();
        let error = Input::find(root.path()).unwrap_err();
        assert!(error.is::<Usage>() && error.to_string().contains("no text file"), "{error}");
        let error = Input::find(&root.path().join("gone")).unwrap_err();
        assert!(error.is::<Usage>() && error.to_string().contains("gone"), "{error}");
    }

    #[test]
    fn what_is_no_text_is_told_with_the_byte() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x");
        fs::write(&path, b"ab\xff").unwrap();
        assert_eq!(read_text(&path).unwrap_err().to_string(), "not text: byte 2 is no UTF-8");
    }
}
