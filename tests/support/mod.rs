//! What the integration tests share: managers of their own, guests, files, and what is on files.
#![allow(dead_code, reason = "every test program uses a part of it")]
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used)]

use std::ffi::CString;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use svirt::domain::{Definition, Domain, Flags, Kind, Resource};
use svirt::manager::Manager;
use svirt::options::Options;
use tempfile::TempDir;

/// The user that guests run as.
pub const GUEST: (u32, u32) = (4000, 4001);
/// Who owns the tests' files at first.
pub const BEFORE: (u32, u32) = (10, 20);
pub const SHARED: u32 = 2;

/// A folder with room for a manager's reservations.
pub fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub fn open(dir: &TempDir, more: &[(&str, &str)]) -> Manager {
    let run = dir.path().join("run");
    let state = dir.path().join("state");
    let mut options = Options::default();
    options.set("runtime_dir", run.to_str().unwrap()).unwrap();
    options.set("state_dir", state.to_str().unwrap()).unwrap();
    options.set("owner", "integration-tests").unwrap();
    for (name, value) in more {
        options.set(name, value).unwrap();
    }
    Manager::open(Some("dac"), &options).unwrap()
}

/// A manager whose guests all run as [`GUEST`].
pub fn manager(dir: &TempDir) -> Manager {
    open(dir, &[("dac.user", "+4000"), ("dac.group", "+4001")])
}

pub fn resource(path: &Path, flags: u32) -> Resource {
    Resource::new(Kind::Disk, path, Flags::from_bits(flags).unwrap()).unwrap()
}

/// A new guest with these disks.
pub fn unlabelled(disks: &[(&Path, u32)]) -> Domain {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let uuid = format!("0b15ad3c-11f4-4b0c-a8e2-{number:012x}").parse().unwrap();
    let mut definition = Definition::new(&format!("guest-{number}"), uuid, "kvm").unwrap();
    definition.resources = disks.iter().map(|(path, flags)| resource(path, *flags)).collect();
    Domain::new(definition)
}

/// A new guest with these disks, and its label.
pub fn guest(manager: &Manager, disks: &[(&Path, u32)]) -> Domain {
    let domain = unlabelled(disks);
    manager.gen_security_label(&domain).unwrap();
    domain
}

/// A guest that is running, as far as its files know.
pub fn started(manager: &Manager, disks: &[(&Path, u32)]) -> Domain {
    let domain = guest(manager, disks);
    manager.set_security_all_label(&domain).unwrap();
    domain
}

pub fn stop(manager: &Manager, domain: &Domain) {
    manager.restore_security_all_label(domain, false).unwrap();
    manager.release_security_label(domain).unwrap();
}

pub fn disks(domain: &Domain) -> Vec<PathBuf> {
    domain.lock().unwrap().resources.iter().map(|r| r.path.clone()).collect()
}

/// A file that belongs to [`BEFORE`].
pub fn file(dir: &TempDir, name: &str) -> PathBuf {
    let path = dir.path().join(name);
    make(&path);
    path
}

pub fn make(path: &Path) {
    fs::write(path, "content").unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o640)).unwrap();
    chown(path, Some(BEFORE.0), Some(BEFORE.1)).expect("these tests run as root");
}

pub fn owner(path: &Path) -> (u32, u32) {
    let facts = fs::metadata(path).unwrap();
    (facts.uid(), facts.gid())
}

/// Everything that can be told about a file: owner, mode and all attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    owner: (u32, u32),
    mode: u32,
    attributes: Vec<(String, Vec<u8>)>,
}

pub fn facts(path: &Path) -> Facts {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    let mut list = vec![0u8; 65536];
    // SAFETY: the pointer and the length describe `list`; the name ends in NUL.
    let length = unsafe { libc::listxattr(name.as_ptr(), list.as_mut_ptr().cast(), list.len()) };
    let names = list[..length.max(0) as usize].split(|b| *b == 0).filter(|name| !name.is_empty());
    let mut attributes: Vec<_> = names
        .map(|name| {
            let name = String::from_utf8(name.to_vec()).unwrap();
            let value = attribute(path, &name).unwrap_or_default();
            (name, value)
        })
        .collect();
    attributes.sort();
    Facts { owner: owner(path), mode: fs::metadata(path).unwrap().mode(), attributes }
}

pub fn attribute(path: &Path, attribute: &str) -> Option<Vec<u8>> {
    let (path, name) = (CString::new(path.as_os_str().as_bytes()).unwrap(), CString::new(attribute).unwrap());
    let mut value = vec![0u8; 65536];
    // SAFETY: the pointer and the length describe `value`; both names end in NUL.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    value.truncate(usize::try_from(length).ok()?);
    Some(value)
}

pub fn set_attribute(path: &Path, attribute: &str, value: &[u8]) -> Result<(), i32> {
    let (path, name) = (CString::new(path.as_os_str().as_bytes()).unwrap(), CString::new(attribute).unwrap());
    // SAFETY: the pointer and the length describe `value`; both names end in NUL.
    match unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) } {
        0 => Ok(()),
        _ => Err(std::io::Error::last_os_error().raw_os_error().unwrap()),
    }
}

pub fn text(path: &Path, name: &str) -> Option<String> {
    attribute(path, name).map(|value| String::from_utf8(value).unwrap().trim_end_matches('\0').to_owned())
}

pub fn count(path: &Path) -> Option<String> {
    text(path, "trusted.libvirt.security.ref_dac")
}

/// Runs a program that must succeed.
pub fn run(program: &str, arguments: &[&str]) {
    let status = Command::new(program).args(arguments).status().unwrap();
    assert!(status.success(), "{program} {arguments:?}: {status}");
}

/// Something mounted for as long as this lives.
pub struct Mounted(pub PathBuf);

impl Mounted {
    pub fn new(arguments: &[&str], at: &Path) -> Self {
        fs::create_dir_all(at).unwrap();
        let mut all = arguments.to_vec();
        all.push(at.to_str().unwrap());
        run("mount", &all);
        Self(at.to_owned())
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A process in a mount namespace of its own.
pub struct Elsewhere(Child);

impl Elsewhere {
    /// `script` runs in it first; then it does nothing.
    pub fn new(script: &str) -> Self {
        let script = format!("set -e; mount --make-rprivate /; {script}; echo ready; exec sleep 100");
        let mut command = Command::new("unshare");
        let mut child = command.args(["-m", "sh", "-c", &script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }

    pub fn pid(&self) -> i32 {
        self.0.id() as i32
    }

    /// The owner of a file in there.
    pub fn owner(&self, path: &Path) -> (u32, u32) {
        owner(Path::new(&format!("/proc/{}/root{}", self.pid(), path.display())))
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
