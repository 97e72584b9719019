//! The data folder: who owns it, and what lies in it.
//!
//! `lock` (held while a hub runs), `token`, `hub.json` (the running hub's addresses, there only
//! while it is ready), `hub.sock`, `hub.log` (of a detached hub), `log/` (the store, made before
//! the token, so that a token without it says that it was lost). The folder is private (0700) and
//! stays out of version control.

mod hub_file;
mod socket;

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use skep_auth::{Token, TokenError, token};

pub use hub_file::HubFile;
pub(crate) use socket::Socket;

use crate::config::UnixSocket;

/// A data folder that this process owns until the value is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    /// Held, never read.
    _lock: File,
}

/// Why a data folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another hub owns it.
    #[error("a hub already runs in {folder}{}; use it, stop it with `skep stop`, or choose another folder with --data", whom(.hub.as_ref()))]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// What it says of itself, once it is ready.
        hub: Option<HubFile>,
    },
    /// It was in use, and its log is not there any more.
    #[error(
        "{folder} holds a token, so a hub has run here, but its log {} is missing or empty; expected the files of the log. Put the folder back from a copy; or, to begin anew without its messages, move the whole folder {folder} away",
        log.display()
    )]
    LogGone {
        /// The folder.
        folder: PathBuf,
        /// Where its log should be.
        log: PathBuf,
    },
    /// Its token is not fit.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The file system refused.
    #[error("{path}: {source}; expected a data folder that can be written")]
    Io {
        /// What was touched.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn whom(hub: Option<&HubFile>) -> String {
    hub.map_or_else(|| " (it is starting)".into(), |hub| format!(" (pid {})", hub.pid))
}

impl DataFolder {
    /// Takes a data folder, and makes it if there is none. What a hub that was killed left
    /// behind is cleared away.
    ///
    /// # Errors
    /// `Taken` while another hub runs in it; `Io`.
    pub fn take(path: &Path) -> Result<Self, FolderError> {
        let path = std::path::absolute(path).map_err(failed(path))?;
        create(&path)?;
        let lock = open_lock(&path)?;
        match try_lock(&lock) {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(FolderError::Taken { hub: HubFile::read(&path), folder: path });
            }
            Err(TryLockError::Error(source)) => return Err(FolderError::Io { path: path.join(LOCK), source }),
        }
        if let Some(stale) = HubFile::read(&path) {
            stale.unix.iter().for_each(|path| socket::remove_elsewhere(path));
        }
        HubFile::remove(&path)?;
        Ok(DataFolder { path, _lock: lock })
    }

    /// Where it is, as an absolute path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the store is.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path.join("log")
    }

    /// Sees to it that nobody takes this for a new data folder who only lost the log: the token is made after it.
    ///
    /// # Errors
    /// `LogGone`; `Io`.
    pub(crate) fn check_log(&self) -> Result<(), FolderError> {
        let (token, log) = (self.path.join(TOKEN), self.store());
        if !token.try_exists().map_err(failed(&token))? {
            return Ok(());
        }
        match fs::read_dir(&log).map(|mut files| files.next().is_some()) {
            Ok(true) => Ok(()),
            Err(source) if source.kind() != io::ErrorKind::NotFound => Err(FolderError::Io { path: log, source }),
            _ => Err(FolderError::LogGone { folder: self.path.clone(), log }),
        }
    }

    /// The token that is kept here, or a new one of these random bytes. There must be a log by now.
    ///
    /// # Errors
    /// When it can be read by others, or is none.
    pub fn token(&self, random: &[u8; token::RANDOM_BYTES]) -> Result<Token, FolderError> {
        Ok(token::load_or_create(&self.path.join(TOKEN), random)?)
    }

    pub(crate) fn socket(&self, wanted: &UnixSocket, random: u64) -> Result<Option<Socket>, FolderError> {
        let near = self.path.join(socket::NAME);
        let socket = match wanted {
            UnixSocket::Off => return Ok(None),
            UnixSocket::At(path) => Socket::at(std::path::absolute(path).map_err(failed(path))?),
            UnixSocket::InData if socket::fits(&near) => Socket::at(near),
            UnixSocket::InData => Socket::elsewhere(random),
        };
        socket.map(Some)
    }
}

/// The hub that runs in a data folder, as far as can be seen from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// None: nobody holds the lock.
    Nobody,
    /// One that is not ready yet, or no more.
    Unready,
    /// One that is ready.
    Ready(HubFile),
}

/// Looks whether a hub runs in a data folder; nothing is changed by it.
///
/// # Errors
/// When the lock cannot be looked at.
pub fn look(path: &Path) -> Result<Seen, FolderError> {
    let file = path.join(LOCK);
    let lock = match File::open(&file) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Seen::Nobody),
        Err(source) => return Err(FolderError::Io { path: file, source }),
    };
    // Shared, so that two who look do not take each other for a hub.
    match lock.try_lock_shared() {
        Ok(()) => Ok(Seen::Nobody),
        Err(TryLockError::WouldBlock) => Ok(HubFile::read(path).map_or(Seen::Unready, Seen::Ready)),
        Err(TryLockError::Error(source)) => Err(FolderError::Io { path: file, source }),
    }
}

const LOCK: &str = "lock";
const TOKEN: &str = "token";
/// How often the lock is tried, and the pause between: 200 ms in all.
const LOCK_TRIES: usize = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

fn open_lock(folder: &Path) -> Result<File, FolderError> {
    let path = folder.join(LOCK);
    private_file().truncate(false).open(&path).map_err(failed(&path))
}

/// Who only [looks](look), or was killed just now, holds the lock for an instant: so it is tried
/// more than once.
fn try_lock(lock: &File) -> Result<(), TryLockError> {
    for _ in 1..LOCK_TRIES {
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            taken => return taken,
        }
    }
    lock.try_lock()
}

/// How a file is opened that only its owner may read.
pub(crate) fn private_file() -> fs::OpenOptions {
    let mut options = File::options();
    options.write(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// Makes a data folder that only its owner may enter, out of version control. One that is there
/// stays as it is.
///
/// # Errors
/// `Io`.
pub fn create(path: &Path) -> Result<(), FolderError> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed(parent))?;
    }
    match make_private(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made.map_err(failed(path))?,
    }
    let ignore = path.join(".gitignore");
    if !ignore.exists() {
        fs::write(&ignore, "*\n").map_err(failed(&ignore))?;
    }
    Ok(())
}

fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> FolderError + use<'_> {
    move |source| FolderError::Io { path: path.into(), source }
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn hub(pid: u32) -> HubFile {
        HubFile { pid, version: "0".into(), http: Some("127.0.0.1:1".into()), unix: None, started_ms: 1 }
    }

    #[test]
    fn a_new_folder_is_private_and_out_of_version_control() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::take(&root.path().join("a/.skep")).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(folder.path()), mode(&folder.path().join("lock"))), (0o700, 0o600));
        assert_eq!(fs::read_to_string(folder.path().join(".gitignore")).unwrap(), "*\n");
    }

    #[test]
    fn a_second_hub_is_refused_naming_the_first() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::take(root.path()).unwrap();
        hub(4711).write(root.path()).unwrap();
        let error = DataFolder::take(root.path()).unwrap_err().to_string();
        assert!(error.contains("pid 4711") && error.contains(&root.path().display().to_string()), "{error}");
        drop(folder);
        DataFolder::take(root.path()).unwrap();
    }

    #[test]
    fn what_a_killed_hub_left_behind_is_cleared_away() {
        let root = tempfile::tempdir().unwrap();
        let socket = Socket::elsewhere(0xdead_0000_0000 | u64::from(std::process::id())).unwrap();
        HubFile { unix: Some(socket.path().into()), ..hub(1) }.write(root.path()).unwrap();
        let home = socket.path().parent().unwrap().to_owned();
        std::mem::forget(socket);
        assert!(home.exists());
        let _folder = DataFolder::take(root.path()).unwrap();
        assert!(!home.exists());
        assert_eq!(HubFile::read(root.path()), None);
    }

    #[test]
    fn a_hub_is_seen_by_its_lock_not_by_its_file() {
        let root = tempfile::tempdir().unwrap();
        assert_eq!(look(root.path()).unwrap(), Seen::Nobody);
        let folder = DataFolder::take(root.path()).unwrap();
        assert_eq!(look(root.path()).unwrap(), Seen::Unready);
        hub(1).write(root.path()).unwrap();
        assert_eq!(look(root.path()).unwrap(), Seen::Ready(hub(1)));
        drop(folder);
        assert_eq!(look(root.path()).unwrap(), Seen::Nobody);
    }
}
