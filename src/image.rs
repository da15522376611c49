//! Labelled images: who holds which, what they were, and the one place that changes a label on a file.
//!
//! The table is one for the whole process and knows models only as names. A file's first holder makes it
//! remembered and labelled; the next ones with the same label only add to the count; the last one to let
//! go gives the remembered label back. See `docs/remembering.md` for what stands on disk.

mod acl;
mod adopt;
mod apply;
mod change;
mod descriptor;
mod durable;
mod errors;
mod file;
mod holds;
mod ledger;
mod moving;
mod place;
mod plan;
mod reconcile;
mod release;
mod standing;
mod store;
mod table;
mod task;

/// What `place` locks with.
mod sync {
    pub use parking_lot::Mutex;
    pub use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
}

pub use adopt::adopt;
pub use descriptor::set_descriptor;
pub use reconcile::{bury, domains};
pub use store::Store;
pub use table::{Info, list};
pub use task::{Task, run};

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

/// A label as a model puts it on a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Label {
    /// An SELinux context in `security.selinux`.
    Context(Arc<str>),
    /// Owner and group.
    Owner(u32, u32),
    /// The file keeps its owner; this user gets an entry in its access control list.
    Grant {
        /// Who may use it.
        uid: u32,
        /// Whether for writing too.
        write: bool,
    },
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Context(context) => f.write_str(context),
            Self::Owner(uid, gid) => write!(f, "+{uid}:+{gid}"),
            Self::Grant { uid, write } => write!(f, "u:{uid}:r{}-", if *write { 'w' } else { '-' }),
        }
    }
}

/// Why a remembered label could not be read.
#[derive(Debug)]
pub struct NotALabel;

impl FromStr for Label {
    type Err = NotALabel;

    /// Reads what [`fmt::Display`] writes.
    fn from_str(text: &str) -> Result<Self, NotALabel> {
        let id = |text: &str| text.strip_prefix('+')?.parse().ok();
        if let Some((uid, gid)) = text.split_once(':').and_then(|(u, g)| Some((id(u)?, id(g)?))) {
            return Ok(Self::Owner(uid, gid));
        }
        // A context's user may well be called "u"; its role is no number.
        if let Some((uid, bits @ ("rw-" | "r--"))) =
            text.strip_prefix("u:").and_then(|rest| rest.split_once(':'))
            && let Ok(uid) = uid.parse()
        {
            return Ok(Self::Grant { uid, write: bits == "rw-" });
        }
        if text.is_empty() || text.contains(char::is_control) {
            return Err(NotALabel);
        }
        Ok(Self::Context(text.into()))
    }
}

/// The name of a model that labels files.
fn static_model(name: &str) -> Option<&'static str> {
    ["selinux", "dac"].into_iter().find(|model| *model == name)
}

/// One label for one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The file.
    pub path: PathBuf,
    /// Whose label it is.
    pub model: &'static str,
    /// The label.
    pub label: Label,
    /// The file may be missing: then nothing is done.
    pub optional: bool,
    /// A directory is labelled too; otherwise nothing is done for one.
    pub directory: bool,
    /// What a file that nobody holds yet is given back as, when it takes another's place: not as what it is now.
    pub original: Option<Option<Label>>,
}

/// What a caller decides about applying steps.
pub struct Settings<'a> {
    /// Originals and counts are kept in `trusted.*` attributes.
    pub durable: bool,
    /// Where this host's processes agree.
    pub store: &'a Store,
    /// Whether a model lives with this errno from putting its label on; then the file is left alone.
    pub tolerates: &'a (dyn Fn(&'static str, i32) -> bool + Sync + 'a),
}

#[cfg(test)]
mod tests;
