//! The one error type: what went wrong, on which path, as which errno, and what to do about it.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// Result of every fallible function of the crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An errno of the C contract, a message for a person, and the path it concerns.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    errno: i32,
    message: Cow<'static, str>,
    path: Option<PathBuf>,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error {
    /// An error with a positive errno of the C contract.
    pub fn new(errno: i32, message: impl Into<Cow<'static, str>>) -> Self {
        Self { errno, message: message.into(), path: None }
    }

    /// Malformed input: `EINVAL`.
    pub fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(libc::EINVAL, message)
    }

    /// Something this driver, build or file system cannot do: `ENOTSUP`.
    pub fn unsupported(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(libc::ENOTSUP, message)
    }

    /// What the operating system answered while `what` was attempted.
    pub fn os(what: impl fmt::Display, error: &io::Error) -> Self {
        Self::new(error.raw_os_error().unwrap_or(libc::EIO), format!("{what}: {error}"))
    }

    /// What the operating system answered while `what` was attempted on `path`.
    pub fn at(path: &Path, what: impl fmt::Display, error: &io::Error) -> Self {
        Self::os(format_args!("{}: {what}", path.display()), error).with_path(path)
    }

    /// The same error, naming `path`.
    #[must_use]
    pub fn with_path(mut self, path: &Path) -> Self {
        self.path = Some(path.to_owned());
        self
    }

    /// The same error with `context` in front of its message.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.message = format!("{context}: {}", self.message).into();
        self
    }

    /// The positive errno.
    pub fn errno(&self) -> i32 {
        self.errno
    }

    /// The path the error concerns, when there is one.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }
}
