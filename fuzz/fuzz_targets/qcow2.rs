//! Any bytes as the images of a chain: they are refused, or all that was labelled is given back.
#![no_main]
use libfuzzer_sys::fuzz_target;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::sync::OnceLock;
use svirt::domain::Domain;
use svirt::domain::xml::from_xml;
use svirt::manager::Manager;
use svirt::options::Options;

const NAMES: [&str; 3] = ["top", "a", "b"];

fuzz_target!(init: { folder(); }, |images: [&[u8]; 3]| {
    for (name, bytes) in NAMES.iter().zip(images) {
        let path = folder().join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, bytes).expect("an image");
        chown(&path, Some(10), Some(20)).expect("fuzz this as root");
    }
    let xml = format!(
        "<domain type='kvm'><name>fuzz</name><uuid>0b15ad3c-11f4-4b0c-a8e2-00000000000a</uuid><devices><disk \
         type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}/top'/><target dev='vda'/>\
         </disk></devices></domain>",
        folder().display()
    );
    let domain = Domain::new(from_xml(&xml).expect("a domain"));
    let manager = manager();
    manager.gen_security_label(&domain).expect("a label");
    let set = manager.set_security_all_label(&domain);
    if let Err(error) = &set {
        assert!(!error.to_string().is_empty());
    } else {
        assert_ne!(fs::metadata(folder().join("top")).expect("the image").uid(), 10);
    }
    let restored = manager.restore_security_all_label(&domain, false);
    if set.is_ok() {
        restored.expect("given back");
    }
    for name in NAMES {
        let facts = fs::metadata(folder().join(name)).expect("the image");
        assert_eq!((facts.uid(), facts.gid()), (10, 20), "{name}");
    }
    manager.release_security_label(&domain).expect("released");
});

fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir_in("/dev/shm").expect("a folder")).path()
}

fn manager() -> &'static Manager {
    static MANAGER: OnceLock<Manager> = OnceLock::new();
    MANAGER.get_or_init(|| {
        let folder = folder().to_str().expect("text");
        let mut options = Options::default();
        for (name, value) in [("runtime_dir", folder), ("state_dir", folder), ("dac.uid_range", "1000-1003")] {
            options.set(name, value).expect("an option");
        }
        Manager::open(Some("dac"), &options).expect("a manager")
    })
}
