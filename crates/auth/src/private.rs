//! What is ours alone: folders and files that no other user of this machine can have put there.
//!
//! A file is opened without following a symbolic link, and judged by what was opened, not by its
//! name. Root is held to the same: in a folder of another user it would act for that user.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::geteuid;

/// The mode of a folder that is ours alone.
pub const FOLDER_MODE: u32 = 0o700;
/// The mode of a file that is ours alone.
pub const FILE_MODE: u32 = 0o600;
const WRITABLE_BY_OTHERS: u32 = 0o022;
const OPEN_TO_OTHERS: u32 = 0o077;
const WRITABLE_BY_ALL: u32 = 0o002;

/// Why a folder or file is not used.
#[derive(Debug, thiserror::Error)]
pub enum PrivateError {
    /// It belongs to another user.
    #[error(
        "{path} belongs to user {owner}, but this is user {user}; expected one of your own: use another data folder (--data), or run as its owner"
    )]
    Stranger {
        /// What was looked at.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// The effective user of this process.
        user: u32,
    },
    /// Others may do with it what only its owner should.
    #[error(
        "{path} can be {what} by others (mode {mode:04o}); expected {fit:04o}. If it is meant for you alone and all in it is yours, run: chmod {fit:o} {path}"
    )]
    Open {
        /// What was looked at.
        path: PathBuf,
        /// What they may: read or changed.
        what: &'static str,
        /// Its permissions.
        mode: u32,
        /// What they should be.
        fit: u32,
    },
    /// It is something else.
    #[error(
        "{path} is no {expected}; expected one, and not a symbolic link to one: remove it, or use another data folder (--data)"
    )]
    Kind {
        /// What was looked at.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// The file system refused.
    #[error("{path}: {source}")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl PrivateError {
    /// Whether nothing is there.
    #[must_use]
    pub fn is_not_found(&self) -> bool {
        matches!(self, PrivateError::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    fn io(path: &Path) -> impl Fn(io::Error) -> Self + use<'_> {
        move |source| PrivateError::Io { path: path.into(), source }
    }
}

/// Checks that a folder is ours and that nobody else may change what is in it; gives its mode. The
/// folder may be reached through a link, but only through one of ours or of root's.
///
/// # Errors
/// When it is not so, or cannot be looked at.
pub fn folder(path: &Path) -> Result<u32, PrivateError> {
    let mode = own_folder(path)?;
    if mode & WRITABLE_BY_OTHERS == 0 { Ok(mode) } else { Err(open_to_others(path, mode, FOLDER_MODE)) }
}

/// The same, whatever others may do in it.
///
/// # Errors
/// When it is not ours, or cannot be looked at.
pub fn own_folder(path: &Path) -> Result<u32, PrivateError> {
    let link = fs::symlink_metadata(path).map_err(PrivateError::io(path))?;
    // Another user's link may point elsewhere tomorrow; root's could do so in any case.
    if link.is_symlink() && link.uid() != 0 {
        owned(path, &link)?;
    }
    let found = fs::metadata(path).map_err(PrivateError::io(path))?;
    if !found.is_dir() {
        return Err(PrivateError::Kind { path: path.into(), expected: "folder" });
    }
    owned(path, &found)?;
    Ok(permissions(&found))
}

/// Opens a regular file of ours. One that is made is readable by its owner only.
///
/// # Errors
/// When it is a link, no regular file, or another user's; `Io`.
pub fn open(path: &Path, options: &mut OpenOptions) -> Result<File, PrivateError> {
    // Without waiting: a pipe that lies there would be waited for until somebody writes.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = options.mode(FILE_MODE).custom_flags(flags.bits().cast_signed()).open(path);
    let file = file.map_err(|source| match Errno::from_io_error(&source) {
        Some(Errno::LOOP | Errno::NXIO) => not_regular(path),
        _ => PrivateError::Io { path: path.into(), source },
    })?;
    let found = file.metadata().map_err(PrivateError::io(path))?;
    if !found.is_file() {
        return Err(not_regular(path));
    }
    owned(path, &found)?;
    Ok(file)
}

/// Checks that a file that was found, not named, was put there by us or by root, and that not everybody may change it. It may
/// lie in a project that a group shares, and may be a link, if we or root made that, too.
///
/// # Errors
/// When it is not so, or cannot be looked at.
pub fn found_file(path: &Path) -> Result<(), PrivateError> {
    let link = fs::symlink_metadata(path).map_err(PrivateError::io(path))?;
    let found = fs::metadata(path).map_err(PrivateError::io(path))?;
    for found in [&link, &found].into_iter().filter(|found| found.uid() != 0) {
        owned(path, found)?;
    }
    let mode = permissions(&found);
    if mode & WRITABLE_BY_ALL == 0 { Ok(()) } else { Err(open_to_others(path, mode, mode & !WRITABLE_BY_OTHERS)) }
}

/// Opens a secret to read it: as [`open`], and nobody else may read or change it.
///
/// # Errors
/// As [`open`]; `Open`.
pub fn open_secret(path: &Path) -> Result<File, PrivateError> {
    let file = open(path, File::options().read(true))?;
    let mode = permissions(&file.metadata().map_err(PrivateError::io(path))?);
    if is_closed(mode) { Ok(file) } else { Err(open_to_others(path, mode, FILE_MODE)) }
}

/// Whether others may do nothing with what has this mode.
#[must_use]
pub fn is_closed(mode: u32) -> bool {
    mode & OPEN_TO_OTHERS == 0
}

/// The error for a folder or file that is open to others, which should have the mode `fit`.
#[must_use]
pub fn open_to_others(path: &Path, mode: u32, fit: u32) -> PrivateError {
    let what = if mode & WRITABLE_BY_OTHERS == 0 { "read" } else { "changed" };
    PrivateError::Open { path: path.into(), what, mode, fit }
}

fn owned(path: &Path, found: &Metadata) -> Result<(), PrivateError> {
    let user = geteuid().as_raw();
    match found.uid() {
        owner if owner == user => Ok(()),
        owner => Err(PrivateError::Stranger { path: path.into(), owner, user }),
    }
}

fn not_regular(path: &Path) -> PrivateError {
    PrivateError::Kind { path: path.into(), expected: "regular file" }
}

fn permissions(found: &Metadata) -> u32 {
    found.mode() & 0o7777
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};

    use super::*;

    fn make(path: &Path, mode: u32, make: impl Fn(&Path) -> io::Result<()>) -> PathBuf {
        make(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        path.into()
    }

    fn written(path: &Path) -> io::Result<()> {
        fs::write(path, "x")
    }

    fn read(path: &Path) -> Result<File, PrivateError> {
        open(path, File::options().read(true))
    }

    /// A folder and a file of another user: only root can give some away, and root's are there for all others.
    fn anothers(root: &Path) -> (PathBuf, PathBuf) {
        if !geteuid().is_root() {
            return ("/usr".into(), "/etc/passwd".into());
        }
        let folder = make(&root.join("theirs"), 0o700, |path| fs::create_dir(path));
        let file = make(&root.join("their file"), 0o600, written);
        chown(&folder, Some(65534), None).unwrap();
        chown(&file, Some(65534), None).unwrap();
        (folder, file)
    }

    #[test]
    fn what_belongs_to_another_user_is_not_ours() {
        let root = tempfile::tempdir().unwrap();
        let (theirs, their_file) = anothers(root.path());
        let link = root.path().join("link");
        symlink(&theirs, &link).unwrap();
        for path in [&theirs, &link] {
            let error = folder(path).unwrap_err();
            assert!(matches!(error, PrivateError::Stranger { .. }), "{error}");
        }
        let error = read(&their_file).unwrap_err();
        assert!(matches!(error, PrivateError::Stranger { .. }), "{error}");
    }

    #[test]
    fn a_folder_that_others_may_write_is_not_ours_also_through_a_link() {
        let root = tempfile::tempdir().unwrap();
        for mode in [0o777, 0o1777, 0o770, 0o702] {
            let open = make(&root.path().join(format!("{mode:o}")), mode, |path| fs::create_dir(path));
            let link = root.path().join(format!("to {mode:o}"));
            symlink(&open, &link).unwrap();
            for path in [&open, &link] {
                let error = folder(path).unwrap_err().to_string();
                assert!(error.contains("can be changed by others") && error.contains("chmod 700"), "{error}");
            }
        }
    }

    #[test]
    fn a_folder_of_ours_is_taken_also_through_a_link_of_ours_but_not_through_anothers() {
        let root = tempfile::tempdir().unwrap();
        let ours = make(&root.path().join("ours"), 0o750, |path| fs::create_dir(path));
        let link = root.path().join("link");
        symlink(&ours, &link).unwrap();
        assert_eq!((folder(&ours).unwrap(), folder(&link).unwrap()), (0o750, 0o750));
        // Nobody but root can give a link away.
        if geteuid().is_root() {
            lchown(&link, Some(65534), None).unwrap();
            assert!(matches!(folder(&link).unwrap_err(), PrivateError::Stranger { owner: 65534, .. }));
        }
    }

    #[test]
    fn a_link_a_folder_and_a_pipe_are_no_files_of_ours() {
        let root = tempfile::tempdir().unwrap();
        let file = make(&root.path().join("file"), 0o600, written);
        let (link, pipe) = (root.path().join("link"), root.path().join("pipe"));
        symlink(&file, &link).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RUSR).unwrap();
        for path in [&link, &pipe, &root.path().to_owned()] {
            let error = read(path).unwrap_err();
            assert!(matches!(error, PrivateError::Kind { .. }), "{error}");
        }
        let write = open(&link, File::options().write(true).truncate(true));
        assert!(matches!(write, Err(PrivateError::Kind { .. })));
        assert_eq!(fs::read_to_string(&file).unwrap(), "x");
        read(&file).unwrap();
    }
}
