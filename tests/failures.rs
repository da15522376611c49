//! What goes wrong with files, as root on the file systems of this host: a clear error, and everything as
//! before.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod support;

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use support::*;
use svirt::error::Error;
use svirt::image;

const READONLY: u32 = 1;
const UIDS: &[(&str, &str)] = &[("dac.uid_range", "100000-165535")];

fn assert_error(error: &Error, errno: i32, path: &Path) {
    assert_eq!((error.errno(), error.path()), (errno, Some(path)), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

#[test]
fn a_missing_file_stops_the_start() {
    let dir = folder();
    let (disk, gone) = (file(&dir, "disk"), dir.path().join("gone"));
    let (manager, before) = (manager(&dir), facts(&disk));
    let a = guest(&manager, &[(&disk, 0), (&gone, 0)]);
    assert_error(&manager.set_security_all_label(&a).unwrap_err(), libc::ENOENT, &gone);
    let below = disk.join("below");
    let error = manager.set_security_resource_label(&a, resource(&below, 0)).unwrap_err();
    assert_error(&error, libc::ENOTDIR, &below);
    let around = dir.path().join("around");
    symlink(&around, &around).unwrap();
    let error = manager.set_security_resource_label(&a, resource(&around, 0)).unwrap_err();
    assert_error(&error, libc::ELOOP, &around);
    assert_eq!((facts(&disk), disks(&a).len()), (before, 2));
    stop(&manager, &a);
}

/// A file system of this type, mounted in a folder of the test.
fn mounted(dir: &tempfile::TempDir, kind: &str) -> Mounted {
    Mounted::new(&["-t", kind, "none"], &dir.path().join(kind))
}

#[test]
fn without_attributes_an_image_is_remembered_in_memory() {
    let dir = folder();
    let ram = mounted(&dir, "ramfs");
    let disk = ram.0.join("disk");
    make(&disk);
    assert_eq!(set_attribute(&disk, "trusted.test", b"1"), Err(libc::EOPNOTSUPP));
    let owned = manager(&dir);
    let (a, b) = (started(&owned, &[(&disk, 0)]), started(&owned, &[(&disk, 0)]));
    assert_eq!(owner(&disk), GUEST);
    stop(&owned, &a);
    assert_eq!(owner(&disk), GUEST);
    stop(&owned, &b);
    assert_eq!(owner(&disk), BEFORE);
    // What several users share needs an access control list.
    let (ranged, before) = (open(&dir, UIDS), facts(&disk));
    let c = guest(&ranged, &[(&disk, SHARED)]);
    assert_error(&ranged.set_security_all_label(&c).unwrap_err(), libc::ENOTSUP, &disk);
    assert_eq!(facts(&disk), before);
    stop(&ranged, &c);
}

#[test]
fn a_read_only_file_system_is_left_as_it_is() {
    let dir = folder();
    let image = dir.path().join("ext4.img");
    fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    run("mkfs.ext4", &["-q", "-F", image.to_str().unwrap()]);
    let loops = Mounted::new(&["-o", "loop", image.to_str().unwrap()], &dir.path().join("ext4"));
    let ram = mounted(&dir, "tmpfs");
    for place in [&loops.0, &ram.0] {
        let disk = place.join("disk");
        make(&disk);
        run("mount", &["-o", "remount,ro", place.to_str().unwrap()]);
        let before = facts(&disk);
        for manager in [manager(&dir), open(&dir, UIDS)] {
            for flags in [0, READONLY] {
                let a = started(&manager, &[(&disk, flags)]);
                assert_eq!(facts(&disk), before);
                assert!(!image::list().iter().any(|info| *info.path == *disk), "nothing is held");
                stop(&manager, &a);
            }
        }
        assert_eq!(facts(&disk), before);
    }
}

/// Fills what the file system has for a file's attributes to the last byte that fits.
fn fill_attributes(path: &Path) {
    let mut size = 2048;
    for number in 0.. {
        let name = format!("user.{number}");
        while let Err(errno) = set_attribute(path, &name, &vec![b'x'; size]) {
            assert_eq!(errno, libc::ENOSPC);
            if size == 0 {
                return;
            }
            size /= 2;
        }
    }
}

#[test]
fn no_room_for_attributes() {
    let dir = folder();
    let image = dir.path().join("ext4.img");
    fs::File::create(&image).unwrap().set_len(8 << 20).unwrap();
    run("mkfs.ext4", &["-q", "-F", "-O", "^ea_inode", image.to_str().unwrap()]);
    let mounted = Mounted::new(&["-o", "loop", image.to_str().unwrap()], &dir.path().join("ext4"));
    let (first, full) = (mounted.0.join("a"), mounted.0.join("full"));
    make(&first);
    make(&full);
    fill_attributes(&full);
    let before = (facts(&first), facts(&full));
    for manager in [manager(&dir), open(&dir, UIDS)] {
        for flags in [0, READONLY] {
            let a = guest(&manager, &[(&first, 0), (&full, flags)]);
            let error = manager.set_security_all_label(&a).unwrap_err();
            assert_error(&error, libc::ENOSPC, &full);
            assert_eq!(facts(&first), before.0);
            assert_eq!(facts(&full), before.1);
            stop(&manager, &a);
        }
    }
    let in_memory = open(&dir, &[("dac.user", "+4000"), ("remember", "ledger")]);
    let a = started(&in_memory, &[(&full, 0)]);
    assert_eq!(owner(&full).0, GUEST.0);
    stop(&in_memory, &a);
    assert_eq!(facts(&full), before.1);
}

#[test]
fn an_ordinary_user() {
    const PLACE: &str = "SVIRT_TEST_ORDINARY_USER";
    if let Some(place) = std::env::var_os(PLACE) {
        return as_an_ordinary_user(Path::new(&place));
    }
    // The same test in a process of user 65534, in a folder that it may use.
    let dir = folder();
    chown(dir.path(), Some(65534), Some(65534)).unwrap();
    let (disk, closed) = (file(&dir, "theirs"), dir.path().join("closed"));
    fs::create_dir(&closed).unwrap();
    make(&closed.join("disk"));
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o700)).unwrap();
    let program = dir.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let before = facts(&disk);
    let output = Command::new(&program)
        .args(["--exact", "an_ordinary_user", "--nocapture"])
        .env(PLACE, dir.path())
        .env("TMPDIR", dir.path())
        .current_dir(dir.path())
        .gid(65534)
        .uid(65534)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"));
    assert_eq!(facts(&disk), before);
}

fn as_an_ordinary_user(place: &Path) {
    let dir = folder();
    let refused = {
        let mut options = svirt::options::Options::default();
        options.set("remember", "xattr").unwrap();
        svirt::manager::Manager::open(Some("dac"), &options).err().unwrap()
    };
    assert_eq!(refused.errno(), libc::EPERM);
    assert!(refused.to_string().contains("CAP_SYS_ADMIN"), "{refused}");
    let manager = manager(&dir);
    let (theirs, closed) = (place.join("theirs"), place.join("closed/disk"));
    let before = facts(&theirs);
    // An owner that cannot be changed is no reason to stop: the guest runs as this user anyway.
    let a = started(&manager, &[(&theirs, 0)]);
    assert_eq!(facts(&theirs), before);
    assert_error(
        &manager.set_security_resource_label(&a, resource(&closed, 0)).unwrap_err(),
        libc::EACCES,
        &closed,
    );
    manager.transaction_start().unwrap();
    let error = manager.transaction_commit(1).unwrap_err();
    assert!([libc::EPERM, libc::EACCES].contains(&error.errno()), "{error}");
    assert!(error.to_string().contains("CAP_SYS_ADMIN"), "{error}");
    stop(&manager, &a);
}

#[test]
fn a_file_that_vanishes_in_between() {
    let dir = folder();
    let (disk, other) = (file(&dir, "disk"), file(&dir, "other"));
    let (manager, before) = (manager(&dir), facts(&other));
    let a = started(&manager, &[(&disk, 0), (&other, 0)]);
    fs::remove_file(&disk).unwrap();
    manager.restore_security_all_label(&a, false).unwrap();
    assert_eq!(facts(&other), before);
    assert!(!image::list().iter().any(|info| *info.path == *disk));
    stop(&manager, &a);
}

#[test]
fn a_path_that_means_another_file_in_between() {
    let dir = folder();
    let shadow = file(&dir, "shadow");
    fs::set_permissions(&shadow, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&shadow, Some(0), Some(42)).unwrap();
    let (manager, before) = (manager(&dir), facts(&shadow));
    for replace in [
        |disk: &Path, shadow: &Path| symlink(shadow, disk).unwrap(),
        |disk: &Path, shadow: &Path| fs::hard_link(shadow, disk).unwrap(),
        |disk: &Path, _: &Path| make(disk),
    ] {
        for alone in [true, false] {
            let disk = file(&dir, "disk");
            let a = started(&manager, &[(&disk, 0)]);
            // The old file lives on, and so does its inode number.
            let kept = dir.path().join("kept");
            fs::rename(&disk, &kept).unwrap();
            replace(&disk, &shadow);
            let there = facts(&disk);
            if alone {
                manager.restore_security_resource_label(&a, &resource(&disk, 0)).unwrap();
            }
            stop(&manager, &a);
            assert_eq!(facts(&disk), there);
            assert_eq!(facts(&shadow), before);
            fs::remove_file(&disk).unwrap();
            fs::remove_file(&kept).unwrap();
        }
    }
}

#[test]
fn one_image_by_several_names() {
    let dir = folder();
    let disk = file(&dir, "disk");
    let (hard, soft) = (dir.path().join("hard"), dir.path().join("soft"));
    fs::hard_link(&disk, &hard).unwrap();
    symlink(&disk, &soft).unwrap();
    let (manager, before) = (manager(&dir), facts(&disk));
    let a = started(&manager, &[(&disk, SHARED), (&hard, SHARED), (&soft, SHARED)]);
    assert_eq!(count(&disk).as_deref(), Some("1"), "one domain is one holder");
    let b = started(&manager, &[(&hard, SHARED)]);
    assert_eq!(count(&disk).as_deref(), Some("2"));
    manager.restore_security_resource_label(&a, &resource(&hard, SHARED)).unwrap();
    assert_eq!(count(&disk).as_deref(), Some("2"));
    stop(&manager, &a);
    assert_eq!((owner(&disk), count(&disk).as_deref()), (GUEST, Some("1")));
    fs::remove_file(&hard).unwrap();
    stop(&manager, &b);
    // The name by which the last holder knew it is gone, the first holder's is not.
    assert_eq!(facts(&disk), before);
}

#[test]
fn one_image_twice_in_one_domain() {
    let dir = folder();
    let disk = file(&dir, "disk");
    let before = facts(&disk);
    let manager = manager(&dir);
    let a = started(&manager, &[(&disk, 0), (&disk, 0)]);
    assert_eq!(count(&disk).as_deref(), Some("1"));
    manager.restore_security_resource_label(&a, &resource(&disk, 0)).unwrap();
    assert_eq!(owner(&disk), GUEST);
    manager.restore_security_resource_label(&a, &resource(&disk, 0)).unwrap();
    assert_eq!(facts(&disk), before);
    stop(&manager, &a);
    // With two different labels it cannot be had twice.
    let ranged = open(&dir, UIDS);
    let b = guest(&ranged, &[(&disk, 0), (&disk, READONLY)]);
    assert_error(&ranged.set_security_all_label(&b).unwrap_err(), libc::EBUSY, &disk);
    assert_eq!(facts(&disk), before);
    stop(&ranged, &b);
}

#[test]
fn two_managers_share_one_table() {
    let dir = folder();
    let disk = file(&dir, "disk");
    let before = facts(&disk);
    let (one, two) =
        (manager(&dir), open(&dir, &[("dac.user", "+4000"), ("dac.group", "+4001"), ("owner", "another")]));
    let other = open(&dir, &[("dac.user", "+5000")]);
    let (a, b) = (started(&one, &[(&disk, 0)]), started(&two, &[(&disk, 0)]));
    let c = guest(&other, &[(&disk, 0)]);
    let error = other.set_security_all_label(&c).unwrap_err();
    assert_error(&error, libc::EBUSY, &disk);
    for part in
        ["+4000:+4001", "+5000", &a.lock().unwrap().uuid.to_string(), &b.lock().unwrap().uuid.to_string()]
    {
        assert!(error.to_string().contains(part), "{error}");
    }
    drop(one);
    let one = manager(&dir);
    stop(&one, &a);
    assert_eq!((owner(&disk), count(&disk).as_deref()), (GUEST, Some("1")));
    stop(&two, &b);
    stop(&other, &c);
    assert_eq!(facts(&disk), before);
}

#[test]
fn a_thousand_guests_of_64_threads_share_8_images() {
    const GUESTS: usize = 1000;
    let dir = folder();
    let shared: Vec<PathBuf> = (0..8).map(|n| file(&dir, &format!("shared-{n}"))).collect();
    let before: Vec<Facts> = shared.iter().map(|path| facts(path)).collect();
    for manager in [manager(&dir), open(&dir, &[("dac.uid_range", "100000-165535")])] {
        let next = AtomicUsize::new(0);
        thread::scope(|scope| {
            for number in 0..64 {
                let (manager, shared, dir, next) = (&manager, &shared, &dir, &next);
                scope.spawn(move || {
                    let own = file(dir, &format!("own-{number}"));
                    let mine = facts(&own);
                    loop {
                        let guest_number = next.fetch_add(1, Ordering::Relaxed);
                        if guest_number >= GUESTS {
                            return;
                        }
                        let mut disks: Vec<(&Path, u32)> =
                            shared.iter().map(|path| (path.as_path(), READONLY)).collect();
                        disks.rotate_left(guest_number % 8);
                        disks.push((&own, 0));
                        let a = started(manager, &disks);
                        assert!(owner(&own).0 >= 4000);
                        stop(manager, &a);
                        assert_eq!(facts(&own), mine);
                    }
                });
            }
        });
        for (path, before) in shared.iter().zip(&before) {
            assert_eq!(facts(path), *before);
        }
    }
    let here = dir.path();
    assert!(!image::list().iter().any(|info| info.path.starts_with(here)));
}
