//! Profiles in the kernel: what is loaded, loading through `apparmor_parser`, unloading.

use crate::error::{Error, Result};
use crate::log::debug;
use crate::sys::{lock, spawn};
use once_cell::sync::OnceCell;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";
const REMOVE: &str = "/sys/kernel/security/apparmor/.remove";

/// The longest that one profile may take to be compiled and loaded.
const LIMIT: Duration = Duration::from_secs(60);

/// Whether this kernel runs AppArmor.
pub fn is_enabled() -> bool {
    fs::read("/sys/module/apparmor/parameters/enabled").is_ok_and(|text| text.starts_with(b"Y"))
}

/// The mode (`enforce`, `complain`, …) of a loaded profile; `None` when it is not loaded.
pub fn mode_of(profile: &str) -> Result<Option<String>> {
    let all = fs::read(PROFILES)
        .map_err(|e| Error::at(Path::new(PROFILES), "cannot read which profiles are loaded", &e))?;
    let all = String::from_utf8_lossy(&all);
    let found = all.lines().filter_map(split).find(|(name, _)| *name == profile);
    Ok(found.map(|(_, mode)| mode.to_owned()))
}

/// Splits `NAME (MODE)`; the name may have spaces.
pub fn split(line: &str) -> Option<(&str, &str)> {
    line.trim_end_matches(['\n', '\0']).strip_suffix(')')?.rsplit_once(" (")
}

/// Unloads a profile; one that is not loaded is no error.
pub fn unload(profile: &str) -> Result<()> {
    let written =
        OpenOptions::new().write(true).open(REMOVE).and_then(|mut f| f.write_all(profile.as_bytes()));
    match written {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::at(Path::new(REMOVE), format_args!("cannot unload profile {profile}"), &e)),
        Ok(()) => Ok(()),
    }
}

/// Waits until no parser works on a profile's file, and keeps others from beginning while the result lives;
/// `None` when there is no file. A parser whose daemon was killed would load what its successor has unloaded.
pub fn lock(file: &Path) -> Result<Option<File>> {
    let open = match OpenOptions::new().read(true).write(true).custom_flags(libc::O_NOFOLLOW).open(file) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        open => open,
    };
    open.and_then(|open| lock::lock_within(&open, 0, LIMIT).map(|()| Some(open)))
        .map_err(|e| Error::at(file, "cannot wait until no apparmor_parser works on it", &e))
}

/// The parser of this host.
#[derive(Debug)]
pub struct Parser {
    program: PathBuf,
    /// Where includes are looked for besides the parser's own place.
    includes: Option<PathBuf>,
    cache: OnceCell<Option<PathBuf>>,
}

impl Parser {
    /// A parser by the path of its program.
    pub fn new(program: PathBuf, includes: Option<PathBuf>) -> Self {
        Self { program, includes, cache: OnceCell::new() }
    }

    /// Loads the profile in a file, in place of one of the same name. When it fails, what was loaded before
    /// still is.
    pub fn replace(&self, file: &Path) -> Result<()> {
        let mut command = Command::new(&self.program);
        // One job: with more the parser waits for children, which it cannot when SIGCHLD is ignored.
        command.args(["--replace", "--write-cache", "--verbose", "--jobs=1"]);
        // Half the time, and the same automaton in the end: it is minimized all the same.
        command.arg("--optimize=no-expr-simplify");
        if let Some(folder) = &self.includes {
            command.arg("--Include").arg(folder);
        }
        let what = format!("{} cannot load {}", self.program.display(), file.display());
        // The parser has the lock as its input, and so keeps it when this process is killed.
        let input = lock(file)?.map_or_else(Stdio::null, Stdio::from);
        let ended = spawn::run_with(command.arg(file), input, LIMIT).map_err(|e| match e.kind() {
            ErrorKind::TimedOut => Error::new(
                libc::ETIMEDOUT,
                format!("{what}: it took longer than {} s and was stopped", LIMIT.as_secs()),
            ),
            _ => Error::os(&what, &e),
        })?;
        let said = String::from_utf8_lossy(&ended.errors);
        let said = said.trim();
        // Without a status its own word tells: one line for each profile that is in the kernel now.
        let loaded = match ended.status {
            Some(status) => status.success(),
            None => String::from_utf8_lossy(&ended.output).contains(" succeeded for \""),
        };
        if !loaded {
            let refused = ["Permission denied", "Access denied", "Operation not permitted"];
            let errno =
                if refused.iter().any(|text| said.contains(text)) { libc::EPERM } else { libc::EINVAL };
            return Err(Error::new(errno, format!("{what}: {said}")).with_path(file));
        }
        if !said.is_empty() {
            debug!("{}: {said}", self.program.display());
        }
        Ok(())
    }

    /// Forgets the compiled form of a profile's file.
    pub fn forget(&self, name: &str) -> io::Result<()> {
        let cache = self.cache.get_or_init(|| {
            let asked = spawn::run(Command::new(&self.program).arg("--print-cache-dir"), LIMIT).ok()?;
            let folder = String::from_utf8(asked.output).ok()?;
            Some(PathBuf::from(folder.trim_end())).filter(|folder| folder.is_absolute())
        });
        match cache.as_ref().map(|folder| fs::remove_file(folder.join(name))) {
            Some(Err(e)) if !matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(e),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_modes_are_told_apart() {
        for (line, found) in [
            ("libvirt-x (enforce)\n", Some(("libvirt-x", "enforce"))),
            ("a b (c) (complain)", Some(("a b (c)", "complain"))),
            ("/usr/bin/x//y (enforce)\0", Some(("/usr/bin/x//y", "enforce"))),
            ("unconfined\n", None),
            ("", None),
        ] {
            assert_eq!(split(line), found, "{line}");
        }
    }
}
