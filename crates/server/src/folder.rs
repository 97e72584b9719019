//! The data folder: who owns it, and what lies in it.
//!
//! `lock` (held while a hub runs), `token`, `hub.json` (the running hub's addresses, there only
//! while it is ready), `hub.sock`, `hub.log` (of a detached hub), `log/` (the store, made before
//! the token, so that a token without it says that it was lost). The folder is private (0700) and
//! stays out of version control. One that belongs to another user, or that others may change, is
//! never used: who could put something into it could be the hub, or hear the token.

mod hub_file;
mod log;
mod made;
mod socket;

use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use skep_auth::private::{self, FOLDER_MODE, PrivateError};
use skep_auth::{Token, TokenError, token};

pub use hub_file::HubFile;
pub use made::Made;
pub(crate) use socket::Socket;

use crate::config::UnixSocket;

/// A data folder that this process owns until the value is dropped.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    made: Made,
    /// The folder of the log, locked; none before it is taken, and where there is none.
    log: Option<File>,
    /// Held, never read.
    _lock: File,
}

/// Why a data folder cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another hub owns it.
    #[error("a hub already runs in {folder}{}; use it, stop it with `skep stop`, or choose another folder with --data", whom(.hub.as_deref()))]
    Taken {
        /// The folder.
        folder: PathBuf,
        /// What it says of itself, once it is ready.
        hub: Option<Box<HubFile>>,
    },
    /// Its log is another one's, too, which is at work in it.
    #[error(
        "the log {} is in use: a hub (or `skep verify`, `skep repair`) of another data folder that leads to it, too, is at work there. Use that hub, or stop it; and give this data folder a log of its own: {} must be a folder with a copy of the log, not a link or a mount of it",
        at.display(), log.display()
    )]
    LogTaken {
        /// Where this data folder has its log.
        log: PathBuf,
        /// Where that leads.
        at: PathBuf,
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
    /// It, or what lies in it, may be another user's doing.
    #[error(transparent)]
    Private(PrivateError),
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

impl From<PrivateError> for FolderError {
    fn from(error: PrivateError) -> Self {
        match error {
            PrivateError::Io { path, source } => FolderError::Io { path, source },
            judged => FolderError::Private(judged),
        }
    }
}

fn whom(hub: Option<&HubFile>) -> String {
    hub.map_or_else(|| " (it is starting)".into(), |hub| format!(" (pid {})", hub.pid))
}

impl DataFolder {
    /// Takes a data folder, and makes it if there is none. What a hub that was killed left
    /// behind is cleared away.
    ///
    /// # Errors
    /// `Taken` while another hub runs in it; `Private` when it is not ours alone; `Io`.
    pub fn take(path: &Path) -> Result<Self, FolderError> {
        let path = std::path::absolute(path).map_err(failed(path))?;
        let mut made = Made::default();
        for _ in 0..LOCK_TRIES {
            made.join(create(&path)?);
            let Some(lock) = lock(&path)? else { continue };
            if let Some(stale) = HubFile::read(&path) {
                stale.unix.iter().for_each(|path| socket::remove_elsewhere(path));
            }
            HubFile::remove(&path)?;
            return Ok(DataFolder { path, made, log: None, _lock: lock });
        }
        Err(FolderError::Taken { folder: path, hub: None })
    }

    /// Takes a data folder that is there, and changes nothing in it but for a lock file if there is none.
    ///
    /// # Errors
    /// `Taken` while a hub runs in it; `Private` when it is not ours alone; `Io`.
    pub fn hold(path: &Path) -> Result<Self, FolderError> {
        let path = std::path::absolute(path).map_err(failed(path))?;
        private::folder(&path)?;
        match lock(&path)? {
            Some(lock) => Ok(DataFolder { path, made: Made::default(), log: None, _lock: lock }),
            None => Err(FolderError::Taken { folder: path, hub: None }),
        }
    }

    /// Gives the folder back, and takes away what [`take`](Self::take) made of it, as long as nothing is stored in it.
    pub fn give_back(self) {
        self.made.undo_locked();
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
        // The copies that a repair made are in folders of their own, and are no log.
        let is_file =
            |entry: io::Result<fs::DirEntry>| entry.and_then(|e| e.file_type()).is_ok_and(|kind| kind.is_file());
        match fs::read_dir(&log).map(|mut entries| entries.any(is_file)) {
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
/// `Private` when it is not ours alone; when the lock cannot be looked at.
pub fn look(path: &Path) -> Result<Seen, FolderError> {
    let file = path.join(LOCK);
    let lock = match private::own_folder(path).and_then(|_| private::open(&file, File::options().read(true))) {
        Err(error) if error.is_not_found() => return Ok(Seen::Nobody),
        opened => opened?,
    };
    private::folder(path)?;
    // Shared, so that two who look do not take each other for a hub.
    match lock.try_lock_shared() {
        Ok(()) => Ok(Seen::Nobody),
        Err(TryLockError::WouldBlock) => Ok(HubFile::read(path).map_or(Seen::Unready, Seen::Ready)),
        Err(TryLockError::Error(source)) => Err(FolderError::Io { path: file, source }),
    }
}

/// The token in a data folder, if there is one; for clients.
///
/// # Errors
/// When it is not ours alone, or is none.
pub fn token(folder: &Path) -> Result<Option<Token>, FolderError> {
    Ok(token::load(&folder.join(TOKEN))?)
}

/// The log of a detached hub, to be written at its end.
///
/// # Errors
/// When it is not ours alone, or cannot be written.
pub fn open_log(folder: &Path) -> Result<File, FolderError> {
    Ok(private::open(&folder.join(LOG), File::options().append(true).create(true))?)
}

const LOCK: &str = "lock";
const TOKEN: &str = "token";
const IGNORE: &str = ".gitignore";
/// The name of the log of a detached hub.
pub const LOG: &str = "hub.log";
/// How often the lock is tried, and the pause between: 200 ms in all.
const LOCK_TRIES: usize = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// Takes the lock. None when it was taken away with its folder meanwhile: then it locks nothing.
fn lock(folder: &Path) -> Result<Option<File>, FolderError> {
    let lock = match open_lock(folder) {
        Err(error) if error.is_not_found() => return Ok(None),
        opened => opened?,
    };
    match try_lock(&lock) {
        Ok(()) => Ok(is_still_there(&lock, folder).then_some(lock)),
        Err(TryLockError::WouldBlock) => {
            Err(FolderError::Taken { hub: HubFile::read(folder).map(Box::new), folder: folder.into() })
        }
        Err(TryLockError::Error(source)) => Err(FolderError::Io { path: folder.join(LOCK), source }),
    }
}

fn open_lock(folder: &Path) -> Result<File, PrivateError> {
    private::open(&folder.join(LOCK), File::options().write(true).create(true).truncate(false))
}

fn is_still_there(lock: &File, folder: &Path) -> bool {
    let there = fs::symlink_metadata(folder.join(LOCK));
    lock.metadata().is_ok_and(|held| there.is_ok_and(|there| (held.dev(), held.ino()) == (there.dev(), there.ino())))
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

/// Makes a data folder that only its owner may enter, out of version control, and says what was
/// made for it. One that is there must be ours alone.
///
/// # Errors
/// `Private`, `Io`.
pub fn create(path: &Path) -> Result<Made, FolderError> {
    let path = std::path::absolute(path).map_err(failed(path))?;
    let made = Made::folder(&path)?;
    let mode = private::own_folder(&path)?;
    if !private::is_closed(mode) {
        close(&path, mode)?;
    }
    match private::open(&path.join(IGNORE), File::options().write(true).create_new(true)) {
        Ok(mut ignore) => ignore.write_all(b"*\n").map_err(failed(&path))?,
        Err(PrivateError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error.into()),
    }
    Ok(made)
}

/// Closes a folder that is open to others: a data folder that they may only look into, or an empty
/// one. What lies in any other may be theirs or meant for them, so that one is refused.
fn close(path: &Path, mode: u32) -> Result<(), FolderError> {
    let set = |mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed(path));
    let is_empty = || fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    let refused = || Err(private::open_to_others(path, mode, FOLDER_MODE).into());
    let is_data_folder = private::folder(path).is_ok() && path.join(LOCK).exists();
    // A folder with a sticky bit or the like is no mere leftover of a umask.
    if mode & !0o777 != 0 || !is_data_folder && !is_empty() {
        return refused();
    }
    set(FOLDER_MODE)?;
    // Only from now on nobody else puts anything there.
    if !is_data_folder && !is_empty() {
        set(mode)?;
        return refused();
    }
    tracing::warn!(path = %path.display(), "the data folder was open to others (mode {mode:04o}); it is 0700 now");
    Ok(())
}

fn make_private(path: &Path) -> io::Result<()> {
    fs::DirBuilder::new().mode(FOLDER_MODE).create(path)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> FolderError + use<'_> {
    move |source| FolderError::Io { path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;

    fn hub(pid: u32) -> HubFile {
        HubFile { pid, version: "0".into(), http: Some("127.0.0.1:1".into()), unix: None, started_ms: 1, trouble: None }
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
        drop(DataFolder::take(root.path()).unwrap());
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

    fn with_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_folder_of_another_user_is_neither_taken_nor_looked_at() {
        let root = tempfile::tempdir().unwrap();
        let mut theirs = root.path().to_owned();
        if rustix::process::geteuid().is_root() {
            chown(&theirs, Some(65534), None).unwrap();
        } else {
            // Only root can give a folder away; root's own stands for one.
            theirs = "/usr".into();
        }
        for error in [DataFolder::take(&theirs).unwrap_err(), look(&theirs).unwrap_err()] {
            assert!(matches!(&error, FolderError::Private(PrivateError::Stranger { .. })), "{error}");
        }
        assert!(!theirs.join(LOCK).exists() && !theirs.join(IGNORE).exists());
    }

    #[test]
    fn a_folder_that_others_may_write_is_refused_and_nothing_is_put_there() {
        let root = tempfile::tempdir().unwrap();
        let link = root.path().join("link");
        let open = root.path().join("open");
        fs::create_dir(&open).unwrap();
        symlink(&open, &link).unwrap();
        fs::write(open.join(LOCK), "").unwrap();
        for (path, mode) in [(&open, 0o777), (&open, 0o770), (&link, 0o777)] {
            with_mode(&open, mode);
            for error in [DataFolder::take(path).unwrap_err(), look(path).unwrap_err()] {
                assert!(error.to_string().contains(&format!("chmod 700 {}", path.display())), "{error}");
            }
        }
        assert_eq!(fs::read_dir(&open).unwrap().count(), 1);
    }

    #[test]
    fn an_empty_folder_and_a_data_folder_that_others_may_read_are_closed_and_any_other_is_refused() {
        let root = tempfile::tempdir().unwrap();
        let mode = || fs::metadata(root.path()).unwrap().permissions().mode() & 0o777;
        // Empty, and then a data folder.
        for open in [0o775, 0o755] {
            with_mode(root.path(), open);
            DataFolder::take(root.path()).unwrap();
            assert_eq!(mode(), 0o700);
        }
        fs::remove_file(root.path().join(LOCK)).unwrap();
        with_mode(root.path(), 0o755);
        let sticky = root.path().join("sticky");
        fs::create_dir(&sticky).unwrap();
        with_mode(&sticky, 0o1777);
        assert!(DataFolder::take(&sticky).is_err());
        let error = DataFolder::take(root.path()).unwrap_err().to_string();
        assert!(error.contains("can be read by others (mode 0755)") && error.contains("chmod 700"), "{error}");
        assert_eq!((mode(), root.path().join(LOCK).exists()), (0o755, false));
    }

    #[test]
    fn links_in_a_data_folder_are_not_followed() {
        let root = tempfile::tempdir().unwrap();
        let (data, victim) = (root.path().join("data"), root.path().join("victim"));
        for name in [LOCK, TOKEN, IGNORE, LOG, "hub.json", "hub.json.new"] {
            make_private(&data).unwrap();
            fs::write(&victim, "0123456789abcdef").unwrap();
            with_mode(&victim, 0o600);
            symlink(&victim, data.join(name)).unwrap();
            let done = DataFolder::take(&data).and_then(|folder| {
                folder.token(&[1; 32])?;
                open_log(&data)?;
                hub(1).write(&data)
            });
            let harmless = [IGNORE, "hub.json", "hub.json.new"].contains(&name);
            assert_eq!(done.is_ok(), harmless, "{name}: {done:?}");
            assert_eq!(fs::read_to_string(&victim).unwrap(), "0123456789abcdef", "{name}");
            fs::remove_dir_all(&data).unwrap();
        }
        make_private(&data).unwrap();
        fs::write(&victim, serde_json::to_string(&hub(1)).unwrap()).unwrap();
        symlink(&victim, data.join("hub.json")).unwrap();
        assert_eq!(HubFile::read(&data), None);
    }
}
