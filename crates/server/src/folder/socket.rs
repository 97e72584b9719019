//! Where the Unix socket is: in the data folder, or, as paths of sockets are short, elsewhere.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::{FolderError, failed, make_private};

/// Longest path of a socket that every system takes, in bytes.
const PATH_BYTES_MAX: usize = 100;
/// The name of the socket.
pub(super) const NAME: &str = "hub.sock";
/// How the names of folders begin that hold nothing but a socket.
const PREFIX: &str = "skep-";

/// The place of a Unix socket, free to be bound.
#[derive(Debug)]
pub(crate) struct Socket {
    path: PathBuf,
}

impl Socket {
    /// At this path; who binds it finds out whether it is free.
    pub(super) fn at(path: PathBuf) -> Result<Self, FolderError> {
        if !fits(&path) {
            let why = format!("the path of a Unix socket has {PATH_BYTES_MAX} bytes at most");
            return Err(failed(&path)(io::Error::new(io::ErrorKind::InvalidInput, why)));
        }
        Ok(Socket { path })
    }

    /// In a new private folder under the folder for temporary files.
    pub(super) fn elsewhere(random: u64) -> Result<Self, FolderError> {
        let folder = std::env::temp_dir().join(format!("{PREFIX}{random:016x}"));
        make_private(&folder).map_err(failed(&folder))?;
        Ok(Socket { path: folder.join(NAME) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        remove_elsewhere(&self.path);
    }
}

pub(super) fn fits(path: &Path) -> bool {
    path.as_os_str().len() <= PATH_BYTES_MAX
}

/// Removes a socket and its folder, if that was made for it alone. If something stays, it is
/// two small entries among temporary files, so nothing is said.
pub(super) fn remove_elsewhere(path: &Path) {
    let Some(folder) = path.parent().filter(|folder| is_ours(folder)) else { return };
    if path.ends_with(NAME) {
        let _ = fs::remove_file(path);
        // Fails if anything else lies there, and so it should.
        let _ = fs::remove_dir(folder);
    }
}

fn is_ours(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix(PREFIX));
    folder.parent() == Some(&std::env::temp_dir()) && name.is_some_and(|hex| hex.len() == 16)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::config::UnixSocket;
    use crate::folder::DataFolder;

    #[test]
    fn a_long_data_folder_gets_a_short_socket_in_a_private_folder() {
        let root = tempfile::tempdir().unwrap();
        let folder = DataFolder::take(&root.path().join("d".repeat(100))).unwrap();
        let socket = folder.socket(&UnixSocket::InData, std::process::id().into()).unwrap().unwrap();
        let home = socket.path().parent().unwrap().to_owned();
        assert!(fits(socket.path()));
        assert_eq!(fs::metadata(&home).unwrap().permissions().mode() & 0o777, 0o700);
        let _listener = UnixListener::bind(socket.path()).unwrap();
        drop(socket);
        assert!(!home.exists());
    }

    #[test]
    fn only_a_folder_that_was_made_for_a_socket_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("skep-0123456789abcdef").join(NAME);
        fs::create_dir(path.parent().unwrap()).unwrap();
        drop(UnixListener::bind(&path).unwrap());
        remove_elsewhere(&path);
        assert!(path.exists());
    }

    #[test]
    fn a_long_path_that_was_asked_for_is_refused_with_the_bound() {
        let error = Socket::at(Path::new("/").join("s".repeat(100))).unwrap_err().to_string();
        assert!(error.contains("100 bytes at most"), "{error}");
    }
}
