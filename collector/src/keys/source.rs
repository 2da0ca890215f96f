//! Where a secret is read: a file or a variable of the environment, anew each time.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::receive::Secret;

/// A token or PIN is short.
const MAX_BYTES: usize = 64 << 10;

/// A file, or a variable, that holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretSource {
    /// The file's text, without white space around it.
    File(PathBuf),
    /// The variable's.
    Env(String),
}

impl SecretSource {
    /// Reads it.
    ///
    /// # Errors
    /// If it is not there, empty, or has in it what no token or PIN has. The error names file or variable, never what is in it.
    pub fn read(&self) -> Result<Secret, String> {
        let text = match self {
            Self::File(path) => {
                let read = || {
                    // Asked before it is opened: opening a pipe would wait for a writer.
                    if !std::fs::metadata(path)?.is_file() {
                        return Err(std::io::Error::other("not a regular file"));
                    }
                    // Room for all of it: were it moved to grow, a copy would stay in memory.
                    let mut text = Zeroizing::new(String::with_capacity(MAX_BYTES + 1));
                    File::open(path)?.take(MAX_BYTES as u64 + 1).read_to_string(&mut text)?;
                    Ok(text)
                };
                read().map_err(|error| format!("{self}: {error}"))?
            }
            Self::Env(name) => {
                Zeroizing::new(std::env::var(name).map_err(|_| format!("the environment has no text in {name}"))?)
            }
        };
        match text.trim() {
            "" => Err(format!("{self} is empty")),
            text if text.len() > MAX_BYTES => Err(format!("{self} is too long for a secret")),
            text if !text.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') => {
                Err(format!("{self} has in it what is no letter, digit or punctuation mark of ASCII"))
            }
            text => Ok(Secret::new(text)),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Env(name) => write!(f, "the variable {name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_anew_and_trimmed() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        let source = SecretSource::File(path.clone());
        assert!(source.read().expect_err("not there yet").contains("token"));
        for token in ["s.one", "s.two"] {
            std::fs::write(&path, format!(" {token}\n")).expect("written");
            assert_eq!(source.read().expect("a token").expose(), token);
        }
    }

    #[test]
    fn what_is_no_secret_is_refused_without_showing_it() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("token");
        let source = SecretSource::File(path.clone());
        for wrong in ["", " \n", "two\nlines", "t\u{f6}ken"] {
            std::fs::write(&path, wrong).expect("written");
            let error = source.read().expect_err("refused");
            assert!(error.contains("token"), "{error}");
            assert!(wrong.trim().is_empty() || !error.contains(wrong), "{error}");
        }
        assert!(SecretSource::File("/dev/zero".into()).read().is_err());
        assert!(SecretSource::Env("TACHOGRAPH_NO_SUCH_VARIABLE".into()).read().is_err());
    }
}
