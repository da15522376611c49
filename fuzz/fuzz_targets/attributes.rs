//! Any values in the attributes of an image: nothing panics, and an image that was labelled is given back
//! with an owner that it had or that the attributes name, and with nothing left on it.
#![no_main]
use libfuzzer_sys::fuzz_target;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use svirt::domain::{Definition, Domain, Flags, Kind, Resource, Uuid};
use svirt::manager::Manager;
use svirt::options::Options;

const NAMES: [&str; 5] = [
    "trusted.libvirt.security.dac",
    "trusted.libvirt.security.ref_dac",
    "trusted.libvirt.security.timestamp_dac",
    "trusted.svirt.dac",
    "trusted.svirt.acl",
];

fn put(path: &Path, name: &str, value: &[u8]) {
    let (path, name) = (CString::new(path.as_os_str().as_bytes()).unwrap(), CString::new(name).unwrap());
    // SAFETY: both names end in NUL, pointer and length describe `value`.
    let _ = unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
}

fn has(path: &Path, name: &str) -> bool {
    let (path, name) = (CString::new(path.as_os_str().as_bytes()).unwrap(), CString::new(name).unwrap());
    // SAFETY: both names end in NUL; a zero size asks for the length only.
    unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), std::ptr::null_mut(), 0) >= 0 }
}

fuzz_target!(init: { folder(); }, |input: (u8, [&[u8]; 5], bool)| {
    let (which, values, shared) = input;
    let image = folder().join("image");
    let _ = std::fs::remove_file(&image);
    std::fs::write(&image, "").expect("an image");
    chown(&image, Some(10), Some(20)).expect("fuzz this as root");
    for (at, (name, value)) in NAMES.iter().zip(values).enumerate() {
        if which >> at & 1 == 1 {
            put(&image, name, value);
        }
    }
    let manager = manager();
    let mut definition = Definition::new("fuzz", Uuid([7; 16]), "kvm").expect("a domain");
    let flags = Flags { shared, ..Flags::default() };
    definition.resources.push(Resource::new(Kind::Disk, &image, flags).expect("a disk"));
    let domain = Domain::new(definition);
    manager.gen_security_label(&domain).expect("a label");
    let counted = has(&image, NAMES[1]);
    if manager.set_security_all_label(&domain).is_ok() {
        manager.restore_security_all_label(&domain, false).expect("given back");
        if !counted {
            let left: Vec<&&str> = NAMES.iter().filter(|name| has(&image, name)).collect();
            assert!(left.is_empty(), "left on the image: {left:?}");
            let facts = std::fs::metadata(&image).expect("the image");
            assert_eq!((facts.uid(), facts.gid()), (10, 20));
        }
    }
    manager.release_security_label(&domain).expect("released");
});

fn folder() -> &'static Path {
    static FOLDER: std::sync::OnceLock<tempfile::TempDir> = std::sync::OnceLock::new();
    // The temporary directory may lie on a file system without trusted attributes; this one has them.
    FOLDER.get_or_init(|| tempfile::tempdir_in("/dev/shm").expect("a folder")).path()
}

fn manager() -> &'static Manager {
    static MANAGER: std::sync::OnceLock<Manager> = std::sync::OnceLock::new();
    MANAGER.get_or_init(|| {
        let folder = folder().to_str().expect("text");
        let mut options = Options::default();
        for (name, value) in [
            ("runtime_dir", folder),
            ("state_dir", folder),
            ("dac.uid_range", "1000-1003"),
            ("remember", "xattr"),
        ] {
            options.set(name, value).expect("an option");
        }
        Manager::open(Some("dac"), &options).expect("a manager")
    })
}
