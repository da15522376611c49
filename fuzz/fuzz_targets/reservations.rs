//! Any bytes as the file of reservations: what is damaged is passed over, and labels can still be taken,
//! each once.
#![no_main]
use libfuzzer_sys::fuzz_target;
use svirt::domain::{Definition, Domain, Uuid};
use svirt::manager::Manager;
use svirt::options::Options;

fuzz_target!(|input: (bool, &[u8])| {
    let folder = tempfile::tempdir().expect("a folder");
    let mut bytes = Vec::new();
    if input.0 {
        // The header as the library writes it.
        bytes.extend(header());
    }
    bytes.extend(input.1);
    std::fs::write(folder.path().join("reservations"), &bytes).expect("a file");
    let mut options = Options::default();
    for (name, value) in [
        ("runtime_dir", folder.path().to_str().expect("text")),
        ("state_dir", folder.path().to_str().expect("text")),
        ("dac.uid_range", "1000-1003"),
    ] {
        options.set(name, value).expect("an option");
    }
    let Ok(manager) = Manager::open(Some("dac"), &options) else { return };
    let domain = |n: u8| {
        let mut uuid = [n; 16];
        uuid[0] = 0xf5;
        Domain::new(Definition::new("fuzz", Uuid(uuid), "kvm").expect("a domain"))
    };
    let mut seen = Vec::new();
    for n in 0..5 {
        let domain = domain(n);
        match manager.gen_security_label(&domain) {
            Ok(()) => {
                let label = domain.lock().expect("not forked").seclabel("dac").and_then(|s| s.label.clone());
                assert!(!seen.contains(&label), "given twice: {label:?}");
                seen.push(label);
            }
            Err(error) => assert_eq!(error.errno(), libc::ENOSPC, "{error}"),
        }
    }
    for n in 0..5 {
        manager.release_security_label(&domain(n)).expect("released");
    }
});

/// The first record that the library writes into an empty file.
fn header() -> &'static [u8] {
    static BYTES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    BYTES.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let text = folder.path().to_str().expect("text");
        let mut options = Options::default();
        for (name, value) in [("runtime_dir", text), ("state_dir", text), ("dac.uid_range", "1000-1003")] {
            options.set(name, value).expect("an option");
        }
        drop(Manager::open(Some("dac"), &options).expect("a manager"));
        std::fs::read(folder.path().join("reservations")).expect("a file")
    })
}
