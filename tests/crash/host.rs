//! The files of a small host, and what is to be seen of them.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

pub const FILES: [&str; 7] = ["private-a", "plain-a", "hot-a", "moved-a", "private-b", "shared", "iso"];

/// What AppArmor has loaded.
const PROFILES: &str = "/sys/kernel/security/apparmor/profiles";

pub struct Host {
    directory: tempfile::TempDir,
}

impl Host {
    pub fn new() -> Self {
        let base = std::env::var_os("SVIRT_CRASH_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        let host = Self { directory: tempfile::tempdir_in(base).unwrap() };
        for (at, name) in FILES.into_iter().enumerate() {
            let path = host.path().join(name);
            fs::write(&path, name).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
            // What is moved to another file is remembered as the first one's.
            let owner = if name == "moved-a" { 12 } else { 10 + at as u32 };
            chown(&path, Some(owner), Some(20)).expect("this test runs as root");
            if name != "plain-a" && !selinux_runs() {
                set_attribute(&path, c"security.selinux", b"system_u:object_r:virt_image_t:s0\0");
            }
        }
        // Somebody else may read the CD already: u::rw- u:77:r-- g::r-- m::r-- o::---
        let mut acl = 2u32.to_le_bytes().to_vec();
        for (tag, bits, id) in
            [(1u16, 6u16, u32::MAX), (2, 4, 77), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)]
        {
            acl.extend(tag.to_le_bytes());
            acl.extend(bits.to_le_bytes());
            acl.extend(id.to_le_bytes());
        }
        set_attribute(&host.path().join("iso"), c"system.posix_acl_access", &acl);
        fs::create_dir(host.path().join("run")).unwrap();
        fs::create_dir(host.path().join("state")).unwrap();
        fs::create_dir(host.path().join("profiles")).unwrap();
        let template = "profile LIBVIRT_TEMPLATE flags=(attach_disconnected) {\n}\n";
        fs::write(host.path().join("template"), template).unwrap();
        fs::set_permissions(host.path().join("state"), fs::Permissions::from_mode(0o700)).unwrap();
        save(host.path(), "pristine", true);
        host
    }

    pub fn path(&self) -> &Path {
        self.directory.path()
    }
}

fn selinux_runs() -> bool {
    Path::new("/sys/fs/selinux/enforce").exists()
}

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn set_attribute(path: &Path, name: &CStr, value: &[u8]) {
    // SAFETY: names end in NUL, pointer and length describe `value`.
    let result =
        unsafe { libc::setxattr(c(path).as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    assert_eq!(result, 0, "{name:?}: {}", std::io::Error::last_os_error());
}

fn attributes(path: &Path) -> BTreeMap<String, String> {
    let (path, mut names) = (c(path), vec![0u8; 4096]);
    // SAFETY: pointer and length describe the buffer.
    let length = unsafe { libc::listxattr(path.as_ptr(), names.as_mut_ptr().cast(), names.len()) };
    names.truncate(usize::try_from(length).unwrap());
    let read = |name: &[u8]| {
        let (name, mut value) = (CString::new(name).unwrap(), vec![0u8; 4096]);
        // SAFETY: as above.
        let length =
            unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
        value.truncate(usize::try_from(length).unwrap());
        let value = value.escape_ascii().to_string();
        (name.into_string().unwrap(), value)
    };
    names.split(|byte| *byte == 0).filter(|name| !name.is_empty()).map(read).collect()
}

/// One attribute of a file.
pub fn attribute(directory: &Path, name: &str, attribute: &str) -> String {
    attributes(&directory.join(name)).remove(attribute).unwrap_or_default()
}

/// Everything about one file. `strict`: our own attribute too, which may tell the same in two ways while
/// somebody holds the image.
pub fn facts(directory: &Path, name: &str, strict: bool) -> String {
    let path = directory.join(name);
    let facts = fs::metadata(&path).unwrap();
    let mut attributes = attributes(&path);
    attributes.retain(|name, _| strict || !name.starts_with("trusted.svirt."));
    format!("{name}: {}:{} {:o} {attributes:?}", facts.uid(), facts.gid(), facts.mode())
}

fn all(directory: &Path, strict: bool) -> String {
    let mut all: Vec<String> = FILES.iter().map(|name| facts(directory, name, strict)).collect();
    for folder in ["state", "profiles"] {
        let mut names: Vec<String> = fs::read_dir(directory.join(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        all.push(format!("{folder}: {names:?}"));
    }
    let mut loaded: Vec<String> = fs::read_to_string(PROFILES)
        .unwrap_or_default()
        .lines()
        .filter(|line| line.starts_with("libvirt-"))
        .map(str::to_owned)
        .collect();
    loaded.sort();
    all.push(format!("loaded: {loaded:?}"));
    all.join("\n")
}

/// Writes down how everything is now.
pub fn save(directory: &Path, name: &str, strict: bool) {
    fs::write(directory.join(format!("{name}.seen")), all(directory, strict)).unwrap();
}

/// Compares with what was written down.
pub fn compare(directory: &Path, name: &str, strict: bool) {
    let before = fs::read_to_string(directory.join(format!("{name}.seen"))).unwrap();
    let now = all(directory, strict);
    assert!(before == now, "not as in {name}:\n--- before\n{before}\n--- now\n{now}");
}

/// Whether one file is as it was at the very beginning.
pub fn is_pristine(directory: &Path, name: &str) -> bool {
    let before = fs::read_to_string(directory.join("pristine.seen")).unwrap();
    before.lines().any(|line| line == facts(directory, name, true))
}
