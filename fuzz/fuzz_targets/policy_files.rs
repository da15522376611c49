//! Any bytes as the policy's three files for guests.
#![no_main]
use libfuzzer_sys::fuzz_target;
use svirt::driver::selinux::policy::{Files, Policy};

fuzz_target!(|files: (&[u8], &[u8], &[u8])| {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path
    };
    let files =
        Files { domain: put("domain", files.0), image: put("image", files.1), lxc: put("lxc", files.2) };
    if let Ok(policy) = Policy::read(&files) {
        for kind in ["kvm", "qemu", "lxc", "xen"] {
            drop(policy.contexts(kind).map(|contexts| contexts.process.to_string()));
        }
    }
});
