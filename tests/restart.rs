//! A daemon ends and another one takes over: from XML, by reserve, by reconcile; and what libvirt left.
//! The processes are real ones: this program runs itself for each.
#![allow(unsafe_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use svirt::domain::{Domain, Flags, Kind, Resource, Uuid, xml};
use svirt::manager::Manager;
use svirt::options::Options;
use tempfile::TempDir;

const A: Uuid = Uuid([0xa1; 16]);
const B: Uuid = Uuid([0xb2; 16]);

fn host() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    for name in ["one", "two", "hot", "shared"] {
        let path = dir.path().join(name);
        fs::write(&path, name).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        chown(&path, Some(10), Some(20)).expect("these tests run as root");
    }
    dir
}

fn manager(dir: &Path, owner: &str, remember: &str) -> Manager {
    let mut options = Options::default();
    let at = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    for (name, value) in [
        ("owner", owner),
        ("runtime_dir", &at("run")),
        ("state_dir", &at("state")),
        ("remember", remember),
        ("dac.uid_range", "200000-200099"),
    ] {
        options.set(name, value).unwrap();
    }
    Manager::open(Some("dac"), &options).unwrap()
}

fn domain(dir: &Path, uuid: Uuid) -> Domain {
    let own = if uuid == A { "one" } else { "two" };
    let disk = |name: &str, more: &str| {
        let path = dir.join(name);
        format!("<disk type='file'><source file='{}'/><target dev='{name}'/>{more}</disk>", path.display())
    };
    let text = format!(
        "<domain type='kvm'><name>guest</name><uuid>{uuid}</uuid><devices>{}{}</devices></domain>",
        disk(own, ""),
        disk("shared", "<shareable/>")
    );
    Domain::new(xml::from_xml(&text).unwrap())
}

fn hot(dir: &Path) -> Resource {
    Resource::new(Kind::Disk, &dir.join("hot"), Flags::default()).unwrap()
}

/// Runs one test of this program as a daemon of its own; it gets the folder and ends as it likes.
fn daemon(job: &str, dir: &Path, remember: &str) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", job, "--nocapture", "--test-threads=1"])
        .env("SVIRT_RESTART", format!("{remember}:{}", dir.display()))
        .stdout(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{job}: {status}");
}

/// The folder and the way to remember, in a daemon; nothing in the test run itself.
fn in_daemon() -> Option<(std::path::PathBuf, String)> {
    let value = std::env::var("SVIRT_RESTART").ok()?;
    let (remember, dir) = value.split_once(':').unwrap();
    Some((dir.into(), remember.to_owned()))
}

fn owner(dir: &Path, name: &str) -> u32 {
    fs::metadata(dir.join(name)).unwrap().uid()
}

fn attribute(path: &Path, name: &CStr) -> Option<String> {
    let (path, mut value) = (CString::new(path.as_os_str().as_bytes()).unwrap(), [0u8; 256]);
    // SAFETY: names end in NUL, pointer and length describe the buffer.
    let length =
        unsafe { libc::getxattr(path.as_ptr(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    (length >= 0).then(|| String::from_utf8_lossy(&value[..length as usize]).into_owned())
}

fn put_attribute(path: &Path, name: &CStr, value: &str) {
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: names end in NUL, pointer and length describe the value.
    let result =
        unsafe { libc::setxattr(path.as_ptr(), name.as_ptr(), value.as_ptr().cast(), value.len(), 0) };
    assert_eq!(result, 0);
}

fn assert_untouched(dir: &Path) {
    for name in ["one", "two", "hot", "shared"] {
        let path = dir.join(name);
        let facts = fs::metadata(&path).unwrap();
        assert_eq!((facts.uid(), facts.gid(), facts.mode() & 0o777), (10, 20, 0o600), "{name}");
        for attribute_name in [
            c"trusted.svirt.dac",
            c"trusted.svirt.acl",
            c"trusted.libvirt.security.dac",
            c"trusted.libvirt.security.ref_dac",
            c"system.posix_acl_access",
        ] {
            assert_eq!(attribute(&path, attribute_name), None, "{name} {attribute_name:?}");
        }
    }
    assert_eq!(fs::read_dir(dir.join("state")).unwrap().count(), 0, "no ledger is left");
}

/// A process that runs as the guest's user would.
fn guest_process(label: &str) -> Child {
    use std::os::unix::process::CommandExt;
    let ids: Vec<u32> = label.split(':').map(|id| id.trim_start_matches('+').parse().unwrap()).collect();
    Command::new("/bin/sleep").arg("60").uid(ids[0]).gid(ids[1]).spawn().unwrap()
}

#[test]
fn start_both() {
    let Some((dir, remember)) = in_daemon() else { return };
    let manager = manager(&dir, "restart", &remember);
    for uuid in [A, B] {
        let domain = domain(&dir, uuid);
        manager.gen_security_label(&domain).unwrap();
        manager.set_security_all_label(&domain).unwrap();
        if uuid == A {
            manager.set_security_resource_label(&domain, hot(&dir)).unwrap();
        }
        fs::write(dir.join(format!("{uuid}.xml")), xml::to_xml(&domain.lock().unwrap()).unwrap()).unwrap();
    }
}

#[test]
fn another_process_gives_back_what_one_has_labelled() {
    for remember in ["xattr", "ledger"] {
        let dir = host();
        let dir = dir.path();
        daemon("start_both", dir, remember);
        assert!((200_000..200_100).contains(&owner(dir, "hot")));
        let manager = manager(dir, "restart", remember);
        // Neither the labels nor the hot-plugged disk are in this handle.
        let plain = domain(dir, A);
        manager.restore_security_all_label(&plain, false).unwrap();
        assert_eq!((owner(dir, "one"), owner(dir, "hot")), (10, 10));
        assert!((200_000..200_100).contains(&owner(dir, "two")), "the other guest's stays");
        manager.release_security_label(&plain).unwrap();
        manager.restore_security_all_label(&domain(dir, B), false).unwrap();
        manager.release_security_label(&domain(dir, B)).unwrap();
        assert_untouched(dir);
    }
}

#[test]
fn a_living_guest_is_taken_over_from_its_xml_and_its_process() {
    for remember in ["xattr", "ledger"] {
        let dir = host();
        let dir = dir.path();
        daemon("start_both", dir, remember);
        let manager = manager(dir, "restart", remember);
        let read = |uuid: Uuid| {
            let text = fs::read_to_string(dir.join(format!("{uuid}.xml"))).unwrap();
            Domain::new(xml::from_xml(&text).unwrap())
        };
        let (a, b) = (read(A), read(B));
        let label = a.lock().unwrap().seclabels[0].label.clone().unwrap();
        let mut process = guest_process(&label);
        manager.reserve_security_label(&a, process.id() as i32).unwrap();
        manager.reserve_security_label(&a, process.id() as i32).unwrap();
        // Its uid is nobody else's, and nothing is counted twice.
        assert_eq!(manager.reserve_security_label(&b, process.id() as i32).unwrap_err().errno(), libc::EPERM);
        if remember == "xattr" {
            let count = |name| attribute(&dir.join(name), c"trusted.libvirt.security.ref_dac");
            assert_eq!((count("one").as_deref(), count("shared").as_deref()), (Some("1"), Some("2")));
        }
        manager.restore_security_resource_label(&a, &hot(dir)).unwrap();
        assert_eq!(owner(dir, "hot"), 10);
        manager.set_security_resource_label(&a, hot(dir)).unwrap();
        assert_eq!(manager.reconcile(&HashSet::from([A, B])).unwrap(), 0);
        process.kill().unwrap();
        process.wait().unwrap();
        assert_eq!(manager.reconcile(&HashSet::from([B])).unwrap(), 1);
        assert_eq!((owner(dir, "one"), owner(dir, "hot")), (10, 10));
        assert_eq!(manager.reconcile(&HashSet::new()).unwrap(), 1);
        assert_eq!(manager.reconcile(&HashSet::new()).unwrap(), 0);
        assert_untouched(dir);
    }
}

#[test]
fn one_owner_never_undoes_anothers_guests() {
    let dir = host();
    let dir = dir.path();
    daemon("start_both", dir, "xattr");
    assert_eq!(manager(dir, "somebody-else", "xattr").reconcile(&HashSet::new()).unwrap(), 0);
    assert_ne!(owner(dir, "one"), 10);
    assert_eq!(manager(dir, "restart", "xattr").reconcile(&HashSet::new()).unwrap(), 2);
    assert_untouched(dir);
}

#[test]
fn what_libvirt_left_is_taken_over_and_not_counted_again() {
    let dir = host();
    let dir = dir.path();
    // Two guests of libvirt's on the shared image, one of them ours from now on.
    let boot = fs::read_to_string("/proc/stat").unwrap();
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime ")).unwrap().to_owned();
    for (name, count) in [("one", "1"), ("shared", "2")] {
        let path = dir.join(name);
        put_attribute(&path, c"trusted.libvirt.security.dac", "+10:+20");
        put_attribute(&path, c"trusted.libvirt.security.ref_dac", count);
        put_attribute(&path, c"trusted.libvirt.security.timestamp_dac", &boot);
        chown(&path, Some(200_001), Some(200_001)).unwrap();
    }
    let text = fs::read_to_string("/proc/self/status").unwrap();
    assert!(text.contains("Uid:\t0"), "these tests run as root");
    let seclabel =
        "<seclabel type='static' model='dac' relabel='yes'><label>+200001:+200001</label></seclabel>";
    let mut plain = xml::to_xml(&domain(dir, A).lock().unwrap()).unwrap();
    // Without a range of uids shared images belong to the guests' one user, as libvirt has it.
    plain = plain.replace("</domain>", &format!("{seclabel}</domain>"));
    let mut options = Options::default();
    for (name, value) in [("owner", "restart"), ("dac.user", "+200001"), ("dac.group", "+200001")] {
        options.set(name, value).unwrap();
    }
    options.set("runtime_dir", dir.join("run").to_str().unwrap()).unwrap();
    options.set("state_dir", dir.join("state").to_str().unwrap()).unwrap();
    let manager = Manager::open(Some("dac"), &options).unwrap();
    let mut process = guest_process("+200001:+200001");
    let count = |name| attribute(&dir.join(name), c"trusted.libvirt.security.ref_dac");
    for _ in 0..2 {
        let guest = Domain::new(xml::from_xml(&plain).unwrap());
        manager.reserve_security_label(&guest, process.id() as i32).unwrap();
        assert_eq!((count("one").as_deref(), count("shared").as_deref()), (Some("1"), Some("2")));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    assert_eq!(manager.reconcile(&HashSet::new()).unwrap(), 1);
    assert_eq!((owner(dir, "one"), count("one")), (10, None));
    assert_eq!(
        (owner(dir, "shared"), count("shared").as_deref()),
        (200_001, Some("1")),
        "libvirt's other guest"
    );
}

#[test]
fn after_a_boot_the_originals_come_from_what_was_written_down() {
    for remember in ["xattr", "ledger"] {
        let dir = host();
        let dir = dir.path();
        daemon("start_both", dir, remember);
        pretend_a_boot(dir);
        if remember == "ledger" {
            // A guest that is started before anybody reconciles must not take the label for the original.
            let manager = manager(dir, "somebody-else", remember);
            let other = domain(dir, A);
            manager.gen_security_label(&other).unwrap();
            manager.set_security_all_label(&other).unwrap();
            manager.restore_security_all_label(&other, false).unwrap();
            manager.release_security_label(&other).unwrap();
            assert_eq!(owner(dir, "one"), 10);
        }
        let manager = manager(dir, "restart", remember);
        assert_eq!(manager.reconcile(&HashSet::new()).unwrap(), 2);
        assert_untouched(dir);
    }
}

/// Makes everything say that it was written before the last boot: another id, and an empty runtime_dir.
fn pretend_a_boot(dir: &Path) {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap().trim().to_owned();
    let earlier = boot.replace(|c: char| c.is_ascii_digit(), "e");
    fs::remove_dir_all(dir.join("run")).unwrap();
    for entry in fs::read_dir(dir.join("state")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let mut at = 0;
        while at < bytes.len() {
            // magic, length, checksum, payload; the payload begins with the boot.
            let length = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().unwrap()) as usize;
            let payload = at + 20..at + 20 + length;
            bytes[payload.start..payload.start + boot.len()].copy_from_slice(earlier.as_bytes());
            let sum = bytes[payload.clone()].iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| {
                (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
            bytes[at + 12..at + 20].copy_from_slice(&sum.to_le_bytes());
            at = payload.end;
        }
        fs::write(&path, bytes).unwrap();
    }
    for name in ["one", "two", "hot", "shared"] {
        let path = dir.join(name);
        if let Some(own) = attribute(&path, c"trusted.svirt.dac") {
            put_attribute(&path, c"trusted.svirt.dac", &own.replace(&boot, &earlier));
        }
    }
}

#[test]
fn a_guest_whose_files_keep_their_labels_is_known_by_its_xml() {
    let dir = host();
    let (one, hot_disk) = (dir.path().join("one"), dir.path().join("hot"));
    for seclabel in [
        "<seclabel type='static' model='dac' relabel='no'><label>+4711:+4711</label></seclabel>",
        "<seclabel type='none' model='dac'/>",
    ] {
        let text = format!(
            "<domain type='kvm'><name>guest</name><uuid>{A}</uuid><devices><disk type='file'><source file='{}'/>\
             <target dev='vda'/></disk></devices>{seclabel}</domain>",
            one.display()
        );
        let first = manager(dir.path(), "one", "xattr");
        let live = Domain::new(xml::from_xml(&text).unwrap());
        first.gen_security_label(&live).unwrap();
        first.set_security_all_label(&live).unwrap();
        let text = xml::to_xml(&live.lock().unwrap()).unwrap();
        // The daemon was started again and has the XML alone.
        let again = Domain::new(xml::from_xml(&text).unwrap());
        let second = manager(dir.path(), "one", "xattr");
        second.set_security_resource_label(&again, hot(dir.path())).unwrap();
        assert_eq!(fs::metadata(&hot_disk).unwrap().uid(), 10, "relabel='no'");
        second.restore_security_all_label(&again, false).unwrap();
        second.release_security_label(&again).unwrap();
        assert_untouched(dir.path());
    }
    // A static label that is to go on files is not there before gen says so.
    let text = format!(
        "<domain type='kvm'><name>guest</name><uuid>{A}</uuid><seclabel type='static' model='dac' \
         relabel='yes'><label>+4711:+4711</label></seclabel></domain>"
    );
    let domain = Domain::new(xml::from_xml(&text).unwrap());
    let error = manager(dir.path(), "one", "xattr").set_security_all_label(&domain).unwrap_err();
    assert_eq!(error.errno(), libc::ENODATA);
}
