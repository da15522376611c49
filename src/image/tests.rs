//! On real files of the temporary directory, as root; labels are contexts where no policy is needed to
//! set them, owners otherwise.

mod change;
mod left;
mod model;
mod moving;
mod threads;

use super::durable::Remembered;
use super::*;
use crate::domain::Uuid;
use crate::error::Result;
use crate::reservation::{Holder, Registry};
use crate::sys::node::Node;
use crate::sys::xattr;
use once_cell::sync::Lazy;
use std::ffi::CString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// Where the tests' process and others agree; tests of one process share it.
static STORE: Lazy<(TempDir, Store)> = Lazy::new(|| {
    let dir = tempfile::tempdir().unwrap();
    let store = store_in(dir.path());
    (dir, store)
});

/// The directories of a host, as one process opens them.
fn store_in(dir: &Path) -> Store {
    Store::open(Registry::open(&dir.join("run")).unwrap(), &dir.join("state")).unwrap()
}

fn all() -> Settings<'static> {
    Settings { durable: true, store: &STORE.1, tolerates: &|_, _| false }
}

fn ledger_only() -> Settings<'static> {
    Settings { durable: false, ..all() }
}

fn restore_all(holder: Holder, migrated: bool) -> Result<()> {
    super::release::restore_all(holder, &all(), migrated)
}

fn restore(holder: Holder, path: &Path) -> Result<()> {
    super::release::restore(holder, path, &all())
}

const CONTEXT: &str = "system_u:object_r:svirt_image_t:s0:c1,c2";

fn holder() -> Holder {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    let mut uuid = [0xee; 16];
    uuid[..4].copy_from_slice(&NEXT.fetch_add(1, Ordering::Relaxed).to_le_bytes());
    Holder { owner: 7, uuid: Uuid(uuid) }
}

/// A folder with these files, each owned by user 10 and group 20.
fn files<const N: usize>(names: [&str; N]) -> (TempDir, [PathBuf; N]) {
    let dir = tempfile::tempdir().unwrap();
    let files = names.map(|name| {
        let path = dir.path().join(name);
        fs::write(&path, name).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        chown(&path, Some(10), Some(20)).expect("these tests run as root");
        path
    });
    (dir, files)
}

fn set(holder: Holder, steps: Vec<Step>, settings: &Settings<'_>) -> Result<()> {
    super::apply::set(holder, steps, settings, || Ok(()))
}

fn owner(path: &Path) -> (u32, u32) {
    let facts = fs::symlink_metadata(path).unwrap();
    (facts.uid(), facts.gid())
}

fn step(path: &Path, label: Label) -> Step {
    let model = if matches!(label, Label::Context(_)) { "selinux" } else { "dac" };
    Step { path: path.to_owned(), model, label, optional: false, directory: false, original: None }
}

fn give(holder: Holder, path: &Path, uid: u32) -> Result<()> {
    set(holder, vec![step(path, Label::Owner(uid, uid))], &all())
}

fn attribute(path: &Path, name: &str) -> Option<String> {
    let value = xattr::get(Node::find(path).unwrap().xattrs(), &CString::new(name).unwrap()).ok()?;
    Some(String::from_utf8(value).unwrap().trim_end_matches('\0').to_owned())
}

fn put_attribute(path: &Path, name: &str, value: &str) {
    xattr::set(Node::find(path).unwrap().xattrs(), &CString::new(name).unwrap(), value.as_bytes()).unwrap();
}

fn count(path: &Path) -> Option<String> {
    attribute(path, "trusted.libvirt.security.ref_dac")
}

fn assert_untouched(path: &Path) {
    assert_eq!(owner(path), (10, 20), "{}", path.display());
    let names = xattr::list(Node::find(path).unwrap().xattrs()).unwrap();
    let names = String::from_utf8(names).unwrap();
    assert!(!names.contains("trusted.") && !names.contains("acl"), "{}: {names}", path.display());
}

#[test]
fn the_first_labels_the_last_gives_back() {
    let (_dir, [path]) = files(["disk"]);
    let (a, b) = (holder(), holder());
    give(a, &path, 4000).unwrap();
    let inode_changed = fs::metadata(&path).unwrap().ctime_nsec();
    give(a, &path, 4000).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().ctime_nsec(), inode_changed, "nothing to write a second time");
    give(b, &path, 4000).unwrap();
    assert_eq!((owner(&path), count(&path).as_deref()), ((4000, 4000), Some("2")));
    assert_eq!(attribute(&path, "trusted.libvirt.security.dac").as_deref(), Some("+10:+20"));
    let images = list();
    let info = images.iter().find(|info| *info.path == *path).unwrap();
    assert_eq!(info.original.as_deref(), Some("+10:+20"));
    assert_eq!(info.holders, [a.uuid, b.uuid]);
    restore_all(a, false).unwrap();
    assert_eq!((owner(&path), count(&path).as_deref()), ((4000, 4000), Some("1")));
    restore_all(a, false).unwrap();
    assert_eq!(owner(&path), (4000, 4000), "who holds nothing gives nothing back");
    restore_all(b, false).unwrap();
    assert_untouched(&path);
    assert!(!list().iter().any(|info| *info.path == *path));
}

#[test]
fn a_context_is_remembered_and_a_file_without_one_has_none_again() {
    let (_dir, [plain, labelled]) = files(["plain", "labelled"]);
    put_attribute(&labelled, "security.selinux", "system_u:object_r:virt_image_t:s0");
    let before = attribute(&plain, "security.selinux");
    let a = holder();
    let context = || Label::Context(CONTEXT.into());
    set(a, vec![step(&plain, context()), step(&labelled, context())], &all()).unwrap();
    for path in [&plain, &labelled] {
        assert_eq!(attribute(path, "security.selinux").as_deref(), Some(CONTEXT));
    }
    assert_eq!(
        attribute(&labelled, "trusted.libvirt.security.selinux").as_deref(),
        Some("system_u:object_r:virt_image_t:s0")
    );
    restore_all(a, false).unwrap();
    assert_eq!(attribute(&plain, "security.selinux"), before);
    assert_eq!(
        attribute(&labelled, "security.selinux").as_deref(),
        Some("system_u:object_r:virt_image_t:s0")
    );
    assert_untouched(&labelled);
}

#[test]
fn two_models_on_one_file_do_not_know_each_other() {
    let (_dir, [path]) = files(["disk"]);
    let a = holder();
    set(a, vec![step(&path, Label::Context(CONTEXT.into())), step(&path, Label::Owner(1, 2))], &all())
        .unwrap();
    assert_eq!((owner(&path), count(&path).as_deref()), ((1, 2), Some("1")));
    assert_eq!(attribute(&path, "trusted.libvirt.security.ref_selinux").as_deref(), Some("1"));
    restore_all(a, false).unwrap();
    assert_untouched(&path);
}

#[test]
fn a_conflict_names_everybody_and_changes_nothing() {
    let (_dir, [first, second, third]) = files(["1", "2", "3"]);
    let (a, b) = (holder(), holder());
    give(a, &second, 4000).unwrap();
    let steps = [&first, &second, &third].map(|path| step(path, Label::Owner(4001, 4001)));
    let error = set(b, steps.into(), &all()).unwrap_err();
    assert_eq!((error.errno(), error.path()), (libc::EBUSY, Some(&*second)));
    let text = error.to_string();
    for part in [second.to_str().unwrap(), "+4000:+4000", "+4001:+4001", &a.uuid.to_string(), "shareable"] {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert_untouched(&first);
    assert_untouched(&third);
    assert_eq!((owner(&second), count(&second).as_deref()), ((4000, 4000), Some("1")));
    restore_all(b, false).unwrap();
    assert_eq!(owner(&second), (4000, 4000));
    restore_all(a, false).unwrap();
    assert_untouched(&second);
}

#[test]
fn a_missing_file_undoes_the_others_and_an_optional_one_is_passed_over() {
    let (dir, [first]) = files(["1"]);
    let gone = dir.path().join("gone");
    let mut steps = vec![step(&first, Label::Owner(1, 1)), step(&gone, Label::Owner(1, 1))];
    let a = holder();
    let error = set(a, steps.clone(), &all()).unwrap_err();
    assert_eq!((error.errno(), error.path()), (libc::ENOENT, Some(&*gone)));
    assert_untouched(&first);
    steps[1].optional = true;
    set(a, steps, &all()).unwrap();
    assert_eq!(owner(&first), (1, 1));
    restore_all(a, false).unwrap();
    assert_untouched(&first);
}

#[test]
fn what_fails_after_the_labels_undoes_them() {
    let (_dir, [disk]) = files(["disk"]);
    let steps = vec![step(&disk, Label::Owner(1, 1))];
    let failed = || {
        assert_eq!(owner(&disk), (1, 1));
        Err(crate::error::Error::invalid("as agreed"))
    };
    assert_eq!(super::apply::set(holder(), steps, &all(), failed).unwrap_err().errno(), libc::EINVAL);
    assert_untouched(&disk);
}

#[test]
fn what_was_held_before_a_failed_step_stays_held() {
    let (dir, [disk]) = files(["disk"]);
    let a = holder();
    give(a, &disk, 5).unwrap();
    let again = vec![step(&disk, Label::Owner(5, 5)), step(&dir.path().join("gone"), Label::Owner(5, 5))];
    set(a, again, &all()).unwrap_err();
    assert_eq!((owner(&disk), count(&disk).as_deref()), ((5, 5), Some("1")));
    restore_all(a, false).unwrap();
    assert_untouched(&disk);
}

#[test]
fn two_resources_of_one_domain_are_one_holder() {
    let (dir, [disk]) = files(["disk"]);
    let (link, hard) = (dir.path().join("link"), dir.path().join("hard"));
    symlink(&disk, &link).unwrap();
    fs::hard_link(&disk, &hard).unwrap();
    let a = holder();
    for path in [&disk, &link, &hard] {
        give(a, path, 6).unwrap();
        assert_eq!(count(&disk).as_deref(), Some("1"));
    }
    restore(a, &link).unwrap();
    restore(a, &disk).unwrap();
    assert_eq!(owner(&disk), (6, 6), "one resource still uses it");
    restore(a, &hard).unwrap();
    assert_untouched(&disk);
    assert_eq!(owner(&link).0, 0, "the link itself was never touched");
}

#[test]
fn a_label_changed_in_use_is_left() {
    let (_dir, [disk]) = files(["disk"]);
    let a = holder();
    give(a, &disk, 6).unwrap();
    chown(&disk, Some(99), Some(99)).unwrap();
    restore_all(a, false).unwrap();
    assert_eq!((owner(&disk), count(&disk)), ((99, 99), None));
}

#[test]
fn a_path_that_names_another_file_directs_nothing_there() {
    let (dir, [disk, victim]) = files(["disk", "victim"]);
    let a = holder();
    give(a, &disk, 6).unwrap();
    let moved = dir.path().join("moved");
    fs::rename(&disk, &moved).unwrap();
    symlink(&victim, &disk).unwrap();
    restore_all(a, false).unwrap();
    assert_untouched(&victim);
    assert_eq!(owner(&moved), (6, 6), "nobody knows where it went");
    fs::remove_file(&disk).unwrap();
    restore_all(a, false).unwrap();
}

#[test]
fn a_file_that_is_gone_is_no_error_and_its_successor_is_new() {
    let (_dir, [disk]) = files(["disk"]);
    let (a, b) = (holder(), holder());
    give(a, &disk, 6).unwrap();
    fs::remove_file(&disk).unwrap();
    fs::write(&disk, "new").unwrap();
    chown(&disk, Some(10), Some(20)).unwrap();
    give(b, &disk, 7).unwrap();
    assert_eq!((owner(&disk), count(&disk).as_deref()), ((7, 7), Some("1")));
    restore_all(a, false).unwrap();
    assert_eq!(owner(&disk), (7, 7));
    restore_all(b, false).unwrap();
    assert_untouched(&disk);
}

#[test]
fn users_come_and_go_in_the_access_control_list() {
    let (_dir, [shared]) = files(["shared"]);
    let (a, b) = (holder(), holder());
    let grant = |uid, write| vec![step(&shared, Label::Grant { uid, write })];
    set(a, grant(501, true), &all()).unwrap();
    set(b, grant(502, false), &all()).unwrap();
    assert_eq!((owner(&shared), count(&shared).as_deref()), ((10, 20), Some("2")));
    assert_eq!(fs::metadata(&shared).unwrap().mode() & 0o777, 0o660, "the mask shows as the group's rights");
    let error = give(b, &shared, 502).unwrap_err();
    assert_eq!(error.errno(), libc::EBUSY);
    restore_all(a, false).unwrap();
    assert_eq!(count(&shared).as_deref(), Some("1"));
    restore_all(b, false).unwrap();
    assert_untouched(&shared);
    assert_eq!(fs::metadata(&shared).unwrap().mode() & 0o777, 0o640);
}

#[test]
fn a_user_of_a_directory_may_enter_it() {
    let (dir, []) = files([]);
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let (a, mode) = (holder(), || fs::metadata(dir.path()).unwrap().mode() & 0o777);
    let grant = step(dir.path(), Label::Grant { uid: 501, write: false });
    set(a, vec![Step { directory: true, ..grant }], &all()).unwrap();
    assert_eq!(mode(), 0o750, "the mask shows as the group's rights");
    restore_all(a, false).unwrap();
    assert_eq!(mode(), 0o700);
}

#[test]
fn without_attributes_the_table_alone_remembers() {
    let (_dir, [disk]) = files(["disk"]);
    let (a, b) = (holder(), holder());
    for holder in [a, b] {
        set(holder, vec![step(&disk, Label::Owner(8, 8))], &ledger_only()).unwrap();
    }
    assert_eq!((owner(&disk), count(&disk)), ((8, 8), None));
    restore_all(a, false).unwrap();
    assert_eq!(owner(&disk), (8, 8));
    restore_all(b, false).unwrap();
    assert_untouched(&disk);
}

#[test]
fn a_domain_that_uses_an_image_once_more_is_no_reason_to_forget_what_it_was() {
    let (dir, [disk]) = files(["disk"]);
    let same = dir.path().join("same");
    fs::hard_link(&disk, &same).unwrap();
    for second in [&disk, &same] {
        let a = holder();
        for path in [&disk, second] {
            set(a, vec![step(path, Label::Owner(8, 8))], &ledger_only()).unwrap();
        }
        super::release::restore(a, second, &ledger_only()).unwrap();
        assert_eq!(owner(&disk), (8, 8), "one use is left");
        super::release::restore_all(a, &ledger_only(), false).unwrap();
        assert_untouched(&disk);
    }
}

#[test]
fn a_refusal_that_the_model_lives_with_is_not_remembered() {
    let path = Path::new("/proc/version");
    let a = holder();
    let steps = || vec![step(path, Label::Context(CONTEXT.into()))];
    let error = set(a, steps(), &all()).unwrap_err();
    assert_eq!((error.errno(), error.path()), (libc::EOPNOTSUPP, Some(path)));
    assert!(error.to_string().contains(CONTEXT), "{error}");
    set(a, steps(), &Settings { tolerates: &|_, _| true, ..all() }).unwrap();
    assert!(!list().iter().any(|info| *info.path == *path));
    restore_all(a, false).unwrap();
}

#[test]
fn labels_survive_being_written_down() {
    let all = [
        Label::Context(CONTEXT.into()),
        Label::Context("u:object_r:t:s0".into()),
        Label::Owner(0, u32::MAX),
        Label::Grant { uid: 5, write: true },
        Label::Grant { uid: 5, write: false },
    ];
    for label in all {
        assert_eq!(label.to_string().parse::<Label>().ok(), Some(label));
    }
    for text in ["", "a\nb", "\u{7f}"] {
        assert!(text.parse::<Label>().is_err(), "{text:?}");
    }
}
