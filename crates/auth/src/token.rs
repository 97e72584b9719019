//! The local token: a secret line in a file that only its owner may read.

use std::fmt;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use crate::private::{self, PrivateError};

/// Largest token file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4096;
/// Shortest token that is taken, in bytes: a shorter one can be guessed.
const TOKEN_BYTES_MIN: usize = 16;
/// Random bytes of a token that is made here; 64 characters as text.
pub const RANDOM_BYTES: usize = 32;

/// A secret; it is never shown, only compared, or [exposed](Token::expose) on purpose.
#[derive(Clone)]
pub struct Token(Box<str>);

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The text is no token.
    #[error("token: {0}; expected at least 16 visible characters without spaces")]
    Form(&'static str),
    /// The file holds no token.
    #[error(
        "token file {path}: {why}; expected one line of at least 16 visible characters. Remove it, and the hub makes a new one: rm {path}"
    )]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The file is not ours alone.
    #[error(transparent)]
    Private(#[from] PrivateError),
    /// The file system refused.
    #[error("token file {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Token {
    /// Takes a text as a token.
    ///
    /// # Errors
    /// When it is empty, short, or holds what cannot travel in a header.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        check(text).map_err(TokenError::Form)?;
        Ok(Token(text.into()))
    }

    /// A token of random bytes, as hexadecimal text.
    #[must_use]
    pub fn draw(random: &[u8; RANDOM_BYTES]) -> Self {
        Token(random.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into())
    }

    /// Whether a text is this token. How long that takes does not depend on where they differ.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        let (own, given) = (self.0.as_bytes(), text.as_bytes());
        let differing = own.iter().zip(given).fold(0, |seen, (a, b)| black_box(seen | (a ^ b)));
        own.len() == given.len() && differing == 0
    }

    /// The secret itself.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The token in a file; if there is no such file, a new one is drawn from `random` and kept there.
///
/// The caller must own the folder (the hub's lock): two at once could each make a token.
///
/// # Errors
/// As [`load`]; `Io` when it cannot be written.
pub fn load_or_create(path: &Path, random: &[u8; RANDOM_BYTES]) -> Result<Token, TokenError> {
    match load(path)? {
        Some(token) => Ok(token),
        None => create(path, Token::draw(random)),
    }
}

/// The token in a file, if there is one.
///
/// # Errors
/// When it is a link or another user's, can be read by others, holds no token, or cannot be read.
pub fn load(path: &Path) -> Result<Option<Token>, TokenError> {
    let failed = |source| TokenError::Io { path: path.into(), source };
    let file = match private::open_secret(path) {
        Err(error) if error.is_not_found() => return Ok(None),
        opened => opened?,
    };
    let mut text = String::new();
    file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    let text = text.trim_end_matches(['\n', '\r']);
    check(text).map_err(|why| TokenError::Content { path: path.into(), why })?;
    Ok(Some(Token(text.into())))
}

/// Through a file beside it, so that a crash leaves a whole token or none.
fn create(path: &Path, token: Token) -> Result<Token, TokenError> {
    let failed = |source| TokenError::Io { path: path.into(), source };
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let mut file = private::open(&fresh, File::options().write(true).create_new(true))?;
    writeln!(file, "{}", token.expose()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&fresh, path).map_err(failed)?;
    Ok(token)
}

fn check(text: &str) -> Result<(), &'static str> {
    match text {
        "" => Err("it is empty"),
        text if text.len() < TOKEN_BYTES_MIN => Err("it is too short to be a secret"),
        text if !text.bytes().all(|byte| byte.is_ascii_graphic()) => Err("it holds a space or an invisible character"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    use super::*;

    fn folder_with(text: &str, mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn a_new_token_is_long_kept_and_only_its_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        let token = load_or_create(&path, &[0xab; 32]).unwrap();
        assert!(token.expose().len() >= 43);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let again = load_or_create(&path, &[1; 32]).unwrap();
        assert!(token.is(again.expose()));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_token_that_others_may_read_is_refused_with_the_chmod_to_run() {
        for mode in [0o644, 0o640, 0o602] {
            let (_folder, path) = folder_with("0123456789abcdef0123", mode);
            let error = load_or_create(&path, &[1; 32]).unwrap_err();
            assert!(error.to_string().contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
    }

    #[test]
    fn a_token_behind_a_link_is_refused_and_left_as_it_is() {
        let (folder, path) = folder_with("0123456789abcdef0123", 0o600);
        let link = folder.path().join("link");
        symlink(&path, &link).unwrap();
        let error = load_or_create(&link, &[1; 32]).unwrap_err().to_string();
        assert!(error.contains("is no regular file"), "{error}");
        symlink(folder.path().join("elsewhere"), folder.path().join("dangling")).unwrap();
        load_or_create(&folder.path().join("dangling"), &[1; 32]).unwrap_err();
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[test]
    fn a_token_of_another_user_is_refused() {
        let (_folder, mut path) = folder_with("0123456789abcdef0123", 0o600);
        if rustix::process::geteuid().is_root() {
            chown(&path, Some(65534), None).unwrap();
        } else {
            // Only root can give a file away; root's own stands for one.
            path = "/etc/passwd".into();
        }
        let error = load_or_create(&path, &[1; 32]).unwrap_err().to_string();
        assert!(error.contains("belongs to user"), "{error}");
    }

    #[test]
    fn an_empty_short_or_broken_token_is_refused_and_left_as_it_is() {
        for text in ["", "\n", "short", "0123456789 abcdef0123"] {
            let (_folder, path) = folder_with(text, 0o600);
            let error = load_or_create(&path, &[1; 32]).unwrap_err();
            assert!(error.to_string().contains("rm "), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        let token = Token::new("0123456789abcdef").unwrap();
        assert_eq!(format!("{token:?}"), "Token(..)");
    }
}
