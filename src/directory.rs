//! The directories in which the library keeps what it must be able to trust.
//!
//! What others can write, rename or plant could send the library's files elsewhere, or lie to it. So every
//! step of the way to such a directory is looked at, from the root down: once a step is safe, nobody but
//! this user and root can exchange the next one, and no later look can find something else.

use crate::error::{Error, Result};
use crate::sys::process;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, DirBuilder, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

/// As many symbolic links as the kernel follows in one path.
const MOST_LINKS: usize = 40;

const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_OTHERS: u32 = 0o002;
const STICKY: u32 = 0o1000;

/// Makes a directory, for this user alone, where it is missing, and gives the path that has no symbolic link
/// in it. `EPERM` when somebody else could change what the path leads to; `option` names it in the message.
pub fn private(directory: &Path, option: &str) -> Result<PathBuf> {
    let failed = |e: &std::io::Error| {
        Error::at(directory, format_args!("cannot use this directory (option {option})"), e)
    };
    let trusted = Trusted::here();
    let mut at = PathBuf::from("/");
    let mut rest: VecDeque<OsString> = steps(directory).collect();
    let mut links = 0;
    while let Some(step) = rest.pop_front() {
        if step == ".." {
            at.pop();
            continue;
        }
        at.push(step);
        let facts = match fs::symlink_metadata(&at) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                match DirBuilder::new().mode(0o700).create(&at) {
                    Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(failed(&error)),
                    _ => fs::symlink_metadata(&at).map_err(|e| failed(&e))?,
                }
            }
            facts => facts.map_err(|e| failed(&e))?,
        };
        trusted.check(&facts, rest.is_empty()).map_err(|why| {
            let text = format!(
                "{}: {} {why}, so what it says cannot be trusted; choose another directory (option {option}), or chown it to uid {} and chmod it to 0700",
                directory.display(),
                at.display(),
                trusted.user
            );
            Error::new(libc::EPERM, text).with_path(&at)
        })?;
        if facts.is_symlink() {
            links += 1;
            if links > MOST_LINKS {
                return Err(failed(&std::io::Error::from_raw_os_error(libc::ELOOP)));
            }
            let target = fs::read_link(&at).map_err(|e| failed(&e))?;
            at.pop();
            if target.is_absolute() {
                at = PathBuf::from("/");
            }
            for step in steps(&target).rev() {
                rest.push_front(step);
            }
        } else if !facts.is_dir() {
            return Err(failed(&std::io::Error::from_raw_os_error(libc::ENOTDIR)));
        }
    }
    Ok(at)
}

fn steps(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    let named = |component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        _ => None,
    };
    path.components().filter_map(named)
}

/// Who may own a step of the way.
struct Trusted {
    user: u32,
    group: u32,
    /// Root, also where a user namespace shows it under another number.
    root: u32,
}

impl Trusted {
    fn here() -> Self {
        let (user, group) = process::effective_ids();
        Self { user, group, root: fs::metadata("/").map_or(0, |facts| facts.uid()) }
    }

    fn check(&self, facts: &Metadata, last: bool) -> std::result::Result<(), String> {
        let owner = facts.uid();
        if ![0, self.root, self.user].contains(&owner) {
            return Err(format!("belongs to uid {owner}"));
        }
        if facts.is_symlink() {
            return Ok(());
        }
        // In a sticky directory nobody can exchange what others made.
        let sticky = facts.mode() & STICKY != 0 && !last;
        let group = last || ![0, self.group].contains(&facts.gid());
        let writable =
            facts.mode() & WRITABLE_BY_OTHERS != 0 || group && facts.mode() & WRITABLE_BY_GROUP != 0;
        if writable && !sticky { Err("can be written by others".to_owned()) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, chown, symlink};

    #[test]
    fn only_what_nobody_else_can_change_is_used() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        let mode =
            |name: &str, mode| fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
        for name in ["fine", "open", "sticky", "foreign", "grouped"] {
            fs::create_dir(at(name)).unwrap();
        }
        fs::write(at("file"), "").unwrap();
        for (name, bits) in [("fine", 0o755), ("open", 0o777), ("sticky", 0o1777), ("grouped", 0o770)] {
            mode(name, bits);
        }
        chown(at("foreign"), Some(12345), None).unwrap();
        symlink("fine", at("link")).unwrap();
        symlink("../fine", at("sticky/link")).unwrap();
        symlink(at("fine"), at("sticky/planted")).unwrap();
        std::os::unix::fs::lchown(at("sticky/planted"), Some(12345), None).unwrap();
        symlink("round", at("round")).unwrap();
        for (given, outcome) in [
            ("fine", Ok("fine")),
            ("fine/new", Ok("fine/new")),
            ("new/of/several", Ok("new/of/several")),
            ("sticky/new", Ok("sticky/new")),
            ("link/below", Ok("fine/below")),
            ("sticky/link", Ok("fine")),
            ("fine/../fine", Ok("fine")),
            ("open", Err((libc::EPERM, "open"))),
            ("open/new", Err((libc::EPERM, "open"))),
            ("sticky", Err((libc::EPERM, "sticky"))),
            ("grouped", Err((libc::EPERM, "grouped"))),
            ("foreign", Err((libc::EPERM, "foreign"))),
            ("foreign/new", Err((libc::EPERM, "foreign"))),
            ("sticky/planted", Err((libc::EPERM, "sticky/planted"))),
            ("sticky/planted/new", Err((libc::EPERM, "sticky/planted"))),
            ("file", Err((libc::ENOTDIR, "file"))),
            ("round", Err((libc::ELOOP, "round"))),
        ] {
            let found =
                private(&at(given), "runtime_dir").map_err(|e| (e.errno(), e.path().map(Path::to_owned)));
            let wanted = outcome.map(at).map_err(|(errno, path)| (errno, Some(at(path))));
            assert_eq!(found, wanted, "{given}");
        }
        assert_eq!(fs::metadata(at("new/of")).unwrap().mode() & 0o777, 0o700);
        assert!(!at("open/new").exists() && !at("fine/new/x").exists());
        let error = private(&at("foreign"), "state_dir").unwrap_err().to_string();
        assert!(error.contains("uid 12345") && error.contains("state_dir"), "{error}");
    }
}
