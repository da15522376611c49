//! Any bytes as a domain's ledger: it is read or set aside, and the domain can be started and stopped, and
//! be reconciled. With a checksum that fits, what stands there may be any lie about the sandbox's files.
#![no_main]
use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use std::collections::HashSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;
use std::sync::OnceLock;
use svirt::domain::{Definition, Domain, Flags, Kind, Resource, Uuid};
use svirt::manager::Manager;
use svirt::options::Options;

#[derive(Arbitrary, Debug)]
enum Part<'a> {
    Bytes(&'a [u8]),
    Frame { earlier: bool, lines: Vec<Line<'a>>, more: &'a [u8] },
    /// A frame that the library wrote.
    Real,
}

#[derive(Arbitrary, Debug)]
struct Line<'a> {
    hold: bool,
    selinux: bool,
    file: u8,
    label: &'a [u8],
    identity: Option<&'a [u8]>,
    known: bool,
    original: &'a [u8],
    acl: &'a [u8],
}

const FILES: [&str; 3] = ["image", "other", "missing"];

fn encode(part: &Part<'_>) -> Vec<u8> {
    let (earlier, lines, more) = match part {
        Part::Bytes(bytes) => return bytes.to_vec(),
        Part::Real => return real().1.clone(),
        Part::Frame { earlier, lines, more } => (*earlier, lines, more),
    };
    let boot = fs::read("/proc/sys/kernel/random/boot_id").expect("a boot");
    let mut payload = if earlier { b"another".to_vec() } else { boot.trim_ascii().to_vec() };
    payload.push(0);
    for line in lines {
        let path = folder().join(FILES[usize::from(line.file) % FILES.len()]);
        let mut field = |bytes: &[u8]| {
            payload.extend(bytes.iter().filter(|byte| **byte != 0));
            payload.push(0);
        };
        field(if line.hold { b"+" } else { b"-" });
        field(if line.selinux { b"selinux" } else { b"dac" });
        field(path.to_str().expect("text").as_bytes());
        field(line.label);
        field(line.identity.unwrap_or_default());
        field(if line.known { b"known" } else { b"" });
        field(line.original);
        field(line.acl);
    }
    payload.extend_from_slice(more);
    let sum = payload.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut bytes = b"svirt-1\n".to_vec();
    bytes.extend((payload.len() as u32).to_le_bytes());
    bytes.extend(sum.to_le_bytes());
    bytes.extend(payload);
    bytes
}

fuzz_target!(init: { folder(); }, |input: (bool, Vec<Part<'_>>)| {
    let (durable, parts) = input;
    let bytes: Vec<u8> = parts.iter().flat_map(encode).collect();
    // A ledger is believed when its checksum fits: none may send the fuzzer to a file outside its sandbox.
    let inside = format!("{}/", folder().display());
    if bytes.windows(2).any(|w| w == b"..")
        || bytes.windows(2).enumerate().any(|(at, w)| w == b"\0/" && !bytes[at + 1..].starts_with(inside.as_bytes()))
    {
        return;
    }
    // A label that is believed may be a lie, but not one that was made without its checksum.
    let honest = !parts.iter().any(|part| matches!(part, Part::Frame { .. }));
    for name in &FILES[..2] {
        let path = folder().join(name);
        let _ = fs::remove_file(&path);
        fs::write(&path, "").expect("an image");
        chown(&path, Some(10), Some(20)).expect("fuzz this as root");
    }
    let ledger = folder().join(&real().0);
    fs::write(&ledger, bytes).expect("a ledger");
    let manager = manager(durable);
    let domain = domain();
    manager.gen_security_label(&domain).expect("a label");
    let set = manager.set_security_all_label(&domain);
    let restored = manager.restore_security_all_label(&domain, false);
    let released = manager.release_security_label(&domain);
    let reconciled = manager.reconcile(&HashSet::new());
    released.expect("released");
    if honest {
        set.expect("labelled");
        restored.expect("given back");
        reconciled.expect("reconciled");
        let facts = fs::metadata(folder().join("image")).expect("the image");
        assert_eq!((facts.uid(), facts.gid()), (10, 20));
        assert!(!ledger.exists(), "a ledger is left");
    }
    // Whatever was believed, the next ones start from nothing.
    for entry in fs::read_dir(folder()).expect("a folder").flatten() {
        if entry.file_name() != *"reservations" {
            fs::remove_file(entry.path()).expect("removed");
        }
    }
    drop(manager.reconcile(&HashSet::new()));
});

fn domain() -> Domain {
    let mut definition = Definition::new("fuzz", Uuid([7; 16]), "kvm").expect("a domain");
    let image = folder().join("image");
    definition.resources.push(Resource::new(Kind::Disk, &image, Flags::default()).expect("a disk"));
    Domain::new(definition)
}

/// The ledger's name, and what the library writes into it.
fn real() -> &'static (OsString, Vec<u8>) {
    static REAL: OnceLock<(OsString, Vec<u8>)> = OnceLock::new();
    REAL.get_or_init(|| {
        let (manager, domain) = (manager(true), domain());
        fs::write(folder().join("image"), "").expect("an image");
        manager.gen_security_label(&domain).expect("a label");
        manager.set_security_all_label(&domain).expect("labelled");
        let suffix = Uuid([7; 16]).to_string();
        let names = fs::read_dir(folder()).expect("a folder").flatten().map(|entry| entry.file_name());
        let name = names.into_iter().find(|name| name.to_string_lossy().ends_with(&suffix)).expect("a ledger");
        let bytes = fs::read(folder().join(&name)).expect("a ledger");
        manager.restore_security_all_label(&domain, false).expect("given back");
        manager.release_security_label(&domain).expect("released");
        (name, bytes)
    })
}

fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    // The temporary directory may lie on a file system without trusted attributes; this one has them.
    FOLDER.get_or_init(|| tempfile::tempdir_in("/dev/shm").expect("a folder")).path()
}

fn manager(durable: bool) -> &'static Manager {
    static MANAGERS: [OnceLock<Manager>; 2] = [OnceLock::new(), OnceLock::new()];
    MANAGERS[usize::from(durable)].get_or_init(|| {
        let folder = folder().to_str().expect("text");
        let mut options = Options::default();
        for (name, value) in [
            ("runtime_dir", folder),
            ("state_dir", folder),
            ("dac.uid_range", "1000-1003"),
            ("remember", if durable { "xattr" } else { "ledger" }),
        ] {
            options.set(name, value).expect("an option");
        }
        Manager::open(Some("dac"), &options).expect("a manager")
    })
}
