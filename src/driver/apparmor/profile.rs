//! One profile a guest: its text, its two files, and the kernel's copy, kept in step.

use super::load::{self, Parser};
use crate::domain::Uuid;
use crate::error::{Error, Result};
use crate::log::warning;
use crate::sys::fork::PerProcess;
use parking_lot::Mutex;
use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What stands in a template where the profile's name belongs.
const TOKEN: &str = "LIBVIRT_TEMPLATE";

/// The files that this process has loaded, for each guest; whoever changes a guest's files holds its lock.
static LOADED: PerProcess<Mutex<HashMap<Uuid, Guest>>> = PerProcess::new();

type Guest = Arc<Mutex<Option<[String; 2]>>>;

/// The name of a guest's profile, which is also its label.
pub fn name_of(uuid: Uuid) -> String {
    format!("libvirt-{uuid}")
}

/// The profiles of all guests.
#[derive(Debug)]
pub struct Profiles {
    template: PathBuf,
    folder: PathBuf,
    parser: Parser,
}

impl Profiles {
    /// Profiles made from a template and kept in a folder.
    pub fn new(template: PathBuf, folder: PathBuf, parser: Parser) -> Self {
        Self { template, folder, parser }
    }

    /// The profile's text for one guest.
    pub fn render(&self, uuid: Uuid) -> Result<String> {
        let template = fs::read_to_string(&self.template)
            .map_err(|e| Error::at(&self.template, "cannot read the template of profiles", &e))?;
        let include = format!("  #include \"{}\"\n", self.rules_file(uuid).display());
        fill_in(&template, &name_of(uuid), &include).map_err(|why| {
            Error::invalid(format!("{}: {why}", self.template.display())).with_path(&self.template)
        })
    }

    /// Makes these the guest's rules: on disk and in the kernel, or, when that fails, nowhere. The parser
    /// runs only when this process has not loaded the very same text, or somebody has changed it since.
    pub fn load(&self, uuid: Uuid, rules: &str) -> Result<()> {
        let guest = LOADED.get().lock().entry(uuid).or_default().clone();
        let loaded = &mut *guest.lock();
        let files = self.files(uuid);
        let texts = [self.render(uuid)?, rules.to_owned()];
        drop(load::lock(&files[0])?);
        let before = [read(&files[0])?, read(&files[1])?];
        let on_disk = before.iter().zip(&texts).all(|(old, new)| old.as_deref() == Some(new.as_bytes()));
        if on_disk && loaded.as_ref() == Some(&texts) && load::mode_of(&name_of(uuid))?.is_some() {
            return Ok(());
        }
        *loaded = None;
        let written = self.write(&files, &before, &texts).and_then(|()| self.parser.replace(&files[0]));
        if let Err(error) = written {
            for (file, old) in files.iter().zip(&before) {
                let back = match old {
                    Some(old) => write_whole(file, old),
                    None => gone(fs::remove_file(file)),
                };
                if let Err(e) = back {
                    warning!("{}: cannot put back what it was: {e}", file.display());
                }
            }
            return Err(error);
        }
        *loaded = Some(texts);
        Ok(())
    }

    /// Writes what is not there yet. A file that need not change keeps its time, by which the parser tells
    /// whether its cache is good.
    fn write(&self, files: &[PathBuf; 2], before: &[Option<Vec<u8>>; 2], texts: &[String; 2]) -> Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(&self.folder)
            .map_err(|e| Error::at(&self.folder, "cannot make the folder of profiles", &e))?;
        for ((file, old), new) in files.iter().zip(before).zip(texts) {
            if old.as_deref() != Some(new.as_bytes()) {
                write_whole(file, new.as_bytes()).map_err(|e| Error::at(file, "cannot write it", &e))?;
            }
        }
        Ok(())
    }

    /// Unloads the guest's profile and removes its files; what is not there is not missed.
    pub fn remove(&self, uuid: Uuid) -> Result<()> {
        let guest = LOADED.get().lock().entry(uuid).or_default().clone();
        let mut loaded = guest.lock();
        *loaded = None;
        let files = self.files(uuid);
        let locked = load::lock(&files[0])?;
        let mut result = load::unload(&name_of(uuid));
        for file in files {
            for file in [&file, &unfinished(&file)] {
                let removed = gone(fs::remove_file(file));
                result = result.and(removed.map_err(|e| Error::at(file, "cannot remove it", &e)));
            }
        }
        if let Err(e) = self.parser.forget(&name_of(uuid)) {
            warning!("the compiled profile of domain {uuid} stays in the parser's cache: {e}");
        }
        drop(locked);
        // The table has one, this function the other: nobody waits for this guest.
        let mut all = LOADED.get().lock();
        if Arc::strong_count(&guest) == 2 {
            all.remove(&uuid);
        }
        result
    }

    /// Whether something of the guest's profile is there.
    pub fn exists(&self, uuid: Uuid) -> bool {
        self.files(uuid).iter().any(|file| file.exists())
            || load::mode_of(&name_of(uuid)).is_ok_and(|mode| mode.is_some())
    }

    fn files(&self, uuid: Uuid) -> [PathBuf; 2] {
        [self.folder.join(name_of(uuid)), self.rules_file(uuid)]
    }

    fn rules_file(&self, uuid: Uuid) -> PathBuf {
        self.folder.join(name_of(uuid) + ".files")
    }
}

/// Puts a name and a line before the end into a template.
fn fill_in(template: &str, name: &str, line: &str) -> std::result::Result<String, &'static str> {
    if !template.contains(TOKEN) {
        return Err("the template has no LIBVIRT_TEMPLATE where the profile's name belongs");
    }
    let start = |at: usize| template[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let end = template.rfind("\n}").map(|at| at + 1).or_else(|| {
        // A closing brace that does not begin its line.
        template.rfind('}').filter(|at| template[start(*at)..*at].trim().is_empty()).map(start)
    });
    let end = end.ok_or("the template has no closing brace on a line of its own")?;
    let (body, close) = template.split_at(end);
    Ok(format!("{}{line}{close}", body.replace(TOKEN, name)))
}

fn read(file: &Path) -> Result<Option<Vec<u8>>> {
    match fs::read(file) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(Error::at(file, "cannot read it", &e)),
    }
}

fn gone(removed: io::Result<()>) -> io::Result<()> {
    removed.or_else(|e| if e.kind() == ErrorKind::NotFound { Ok(()) } else { Err(e) })
}

fn unfinished(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".new");
    name.into()
}

/// Replaces a file by a whole new one: whoever reads it, or comes back after a crash, finds either.
fn write_whole(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = unfinished(file);
    gone(fs::remove_file(&new))?;
    let mut out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn templates_are_filled_in() {
        let text =
            "include <tunables/global>\nprofile LIBVIRT_TEMPLATE flags=(attach_disconnected) {\n  x,\n}\n";
        let filled = fill_in(text, "libvirt-1", "  #include \"/a\"\n").unwrap();
        assert!(filled.ends_with("  x,\n  #include \"/a\"\n}\n"), "{filled}");
        assert!(filled.contains("profile libvirt-1 flags"), "{filled}");
        assert!(fill_in("profile LIBVIRT_TEMPLATE {\n  }\n", "a", "b\n").unwrap().ends_with("b\n  }\n"));
        for text in ["", "profile LIBVIRT_TEMPLATE {", "profile x {\n}\n"] {
            fill_in(text, "a", "b").unwrap_err();
        }
    }

    #[test]
    fn files_are_replaced_whole_and_only_for_their_owner() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("libvirt-x");
        fs::write(folder.path().join("libvirt-x.new"), "left by a crash").unwrap();
        write_whole(&file, b"").unwrap();
        write_whole(&file, b"text").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"text");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
