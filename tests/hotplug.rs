//! What changes while guests run, on real files and in real mount namespaces, as root.

mod support;

use std::fs;
use std::path::Path;
use std::thread;
use support::*;
use svirt::domain::Kind;
use svirt::driver::Opened;
use svirt::image;

#[test]
fn the_image_after_a_pivot_takes_the_old_ones_place() {
    let dir = folder();
    let (old, new) = (file(&dir, "old"), file(&dir, "new"));
    std::os::unix::fs::chown(&new, Some(0), Some(0)).unwrap();
    let (manager, before) = (manager(&dir), facts(&old));
    let a = started(&manager, &[(&old, 0)]);
    manager.move_image(&a, &old, &new).unwrap();
    assert_eq!(facts(&old), before, "the old image is given back at once");
    assert_eq!((owner(&new), count(&new).as_deref()), (GUEST, Some("1")));
    assert_eq!(text(&new, "trusted.libvirt.security.dac").as_deref(), Some("+10:+20"));
    assert_eq!(disks(&a), vec![new.clone()]);
    stop(&manager, &a);
    assert_eq!(facts(&new), before, "the new image becomes what the old one was");
}

#[test]
fn a_mirror_that_was_plugged_in_becomes_the_disk() {
    let dir = folder();
    let (old, new) = (file(&dir, "old"), file(&dir, "new"));
    std::os::unix::fs::chown(&new, Some(30), Some(40)).unwrap();
    let manager = manager(&dir);
    let a = started(&manager, &[(&old, 0)]);
    manager.set_security_resource_label(&a, resource(&new, 0)).unwrap();
    // The old file may be gone when the daemon gets round to it.
    fs::remove_file(&old).unwrap();
    manager.move_image(&a, &old, &new).unwrap();
    assert_eq!((owner(&new), disks(&a)), (GUEST, vec![new.clone()]));
    manager.restore_security_resource_label(&a, &resource(&new, 0)).unwrap();
    assert_eq!((owner(&new), count(&new)), (BEFORE, None));
    stop(&manager, &a);
}

#[test]
fn a_move_concerns_one_domain() {
    let dir = folder();
    let (old, new) = (file(&dir, "old"), file(&dir, "new"));
    let manager = manager(&dir);
    let (a, b) = (started(&manager, &[(&old, SHARED)]), started(&manager, &[(&old, SHARED)]));
    manager.move_image(&a, &old, &new).unwrap();
    assert_eq!((owner(&old), count(&old).as_deref()), (GUEST, Some("1")));
    stop(&manager, &a);
    assert_eq!((owner(&old), owner(&new)), (GUEST, BEFORE));
    stop(&manager, &b);
    assert_eq!((owner(&old), count(&old)), (BEFORE, None));
    // Nothing is held: nothing to move.
    let c = guest(&manager, &[]);
    manager.move_image(&c, &old, &new).unwrap();
    assert_eq!(owner(&new), BEFORE);
    stop(&manager, &c);
}

#[test]
fn a_move_that_cannot_be_made_changes_nothing() {
    let dir = folder();
    let (old, new) = (file(&dir, "old"), file(&dir, "new"));
    let manager = open(&dir, &[("dac.uid_range", "100000-100100")]);
    let (a, b) = (started(&manager, &[(&old, 0)]), started(&manager, &[(&new, 0)]));
    let before = (facts(&old), facts(&new));
    let error = manager.move_image(&a, &old, &new).unwrap_err();
    assert_eq!((error.errno(), error.path()), (libc::EBUSY, Some(&*new)));
    let gone = dir.path().join("gone");
    let error = manager.move_image(&a, &old, &gone).unwrap_err();
    assert_eq!((error.errno(), error.path()), (libc::ENOENT, Some(&*gone)));
    assert_eq!((facts(&old), facts(&new), disks(&a)), (before.0, before.1, vec![old.clone()]));
    // The same image by another name.
    let link = dir.path().join("link");
    fs::hard_link(&old, &link).unwrap();
    manager.move_image(&a, &old, &link).unwrap();
    stop(&manager, &a);
    stop(&manager, &b);
    assert_eq!((owner(&old), count(&old)), (BEFORE, None));
}

#[test]
fn descriptors() {
    use std::os::fd::AsRawFd;
    let dir = folder();
    let disk = file(&dir, "disk");
    let (manager, before) = (manager(&dir), facts(&disk));
    let a = started(&manager, &[]);
    let label = |fd, opened| manager.set_security_fd_label(&a, fd, opened);
    let open = fs::File::open(&disk).unwrap();
    // Whose file it is does not matter any more once it is open.
    label(open.as_raw_fd(), Opened::Image(Kind::Disk)).unwrap();
    assert_eq!(facts(&disk), before);
    for fd in [-1, 9999] {
        assert_eq!(label(fd, Opened::Image(Kind::Disk)).unwrap_err().errno(), libc::EBADF);
    }
    let tun = fs::File::options().read(true).write(true).open("/dev/net/tun").unwrap();
    label(tun.as_raw_fd(), Opened::Tap).unwrap();
    let null = fs::File::open("/dev/null").unwrap();
    for fd in [open.as_raw_fd(), null.as_raw_fd()] {
        let error = label(fd, Opened::Tap).unwrap_err();
        assert_eq!(error.errno(), libc::EINVAL);
        assert!(error.to_string().contains("not a tap device"), "{error}");
    }
    stop(&manager, &a);
}

#[test]
fn a_transaction_waits_and_is_done_as_a_whole() {
    let dir = folder();
    let (one, two, gone) = (file(&dir, "one"), file(&dir, "two"), dir.path().join("gone"));
    let manager = manager(&dir);
    let before = (facts(&one), facts(&two));
    let a = guest(&manager, &[(&two, 0)]);
    assert_eq!(manager.transaction_commit(-1).unwrap_err().errno(), libc::ENODATA);
    manager.transaction_abort();
    manager.transaction_start().unwrap();
    assert_eq!(manager.transaction_start().unwrap_err().errno(), libc::EALREADY);
    manager.set_security_all_label(&a).unwrap();
    manager.set_security_resource_label(&a, resource(&one, 0)).unwrap();
    assert_eq!((facts(&one), facts(&two)), before);
    manager.transaction_commit(-1).unwrap();
    assert_eq!((owner(&one), owner(&two)), (GUEST, GUEST));
    // Given back together, too.
    manager.transaction_start().unwrap();
    manager.restore_security_resource_label(&a, &resource(&one, 0)).unwrap();
    assert_eq!((owner(&one), disks(&a)), (GUEST, vec![two.clone()]));
    manager.transaction_abort();
    assert_eq!((owner(&one), disks(&a)), (GUEST, vec![two.clone(), one.clone()]));
    manager.transaction_start().unwrap();
    manager.restore_security_all_label(&a, false).unwrap();
    manager.transaction_commit(-1).unwrap();
    assert_eq!((facts(&one), facts(&two)), before);
    // One file is missing: nothing is done, and the domain has what it had.
    manager.transaction_start().unwrap();
    manager.set_security_resource_label(&a, resource(&two, 0)).unwrap();
    manager.set_security_resource_label(&a, resource(&gone, 0)).unwrap();
    let error = manager.transaction_commit(-1).unwrap_err();
    assert_eq!((error.errno(), error.path()), (libc::ENOENT, Some(&*gone)));
    assert_eq!((facts(&one), facts(&two), disks(&a).len()), (before.0, before.1, 2));
    assert_eq!(manager.transaction_commit(-1).unwrap_err().errno(), libc::ENODATA);
    for pid in [0, -2, i32::MIN] {
        manager.transaction_start().unwrap();
        assert_eq!(manager.transaction_commit(pid).unwrap_err().errno(), libc::EINVAL);
    }
    stop(&manager, &a);
}

#[test]
fn a_move_in_a_transaction_that_fails_is_undone() {
    let dir = folder();
    let (old, new, gone) = (file(&dir, "old"), file(&dir, "new"), dir.path().join("gone"));
    std::os::unix::fs::chown(&new, Some(30), Some(40)).unwrap();
    let manager = manager(&dir);
    let a = started(&manager, &[(&old, 0)]);
    for plugged in [false, true] {
        if plugged {
            manager.set_security_resource_label(&a, resource(&new, 0)).unwrap();
        }
        let before = (facts(&old), facts(&new), disks(&a));
        manager.transaction_start().unwrap();
        manager.move_image(&a, &old, &new).unwrap();
        manager.set_security_resource_label(&a, resource(&gone, 0)).unwrap();
        assert_eq!(manager.transaction_commit(-1).unwrap_err().errno(), libc::ENOENT);
        assert_eq!((facts(&old), facts(&new), disks(&a)), before);
    }
    stop(&manager, &a);
    assert_eq!((owner(&old), owner(&new)), (BEFORE, (30, 40)));
}

#[test]
fn a_transaction_is_one_threads_with_one_manager() {
    let dir = folder();
    let (one, two, three) = (file(&dir, "one"), file(&dir, "two"), file(&dir, "three"));
    let (mine, other) = (manager(&dir), manager(&dir));
    mine.transaction_start().unwrap();
    let a = guest(&mine, &[(&one, 0)]);
    mine.set_security_all_label(&a).unwrap();
    let b = guest(&other, &[(&two, 0)]);
    other.set_security_all_label(&b).unwrap();
    let c = thread::scope(|scope| {
        let started = scope.spawn(|| {
            mine.transaction_abort();
            started(&mine, &[(&three, 0)])
        });
        started.join().unwrap()
    });
    assert_eq!([&one, &two, &three].map(|path| owner(path)), [BEFORE, GUEST, GUEST]);
    mine.transaction_commit(-1).unwrap();
    assert_eq!(owner(&one), GUEST);
    stop(&mine, &a);
    stop(&other, &b);
    stop(&mine, &c);
}

#[test]
fn a_guest_with_a_private_dev() {
    let dir = folder();
    let (disk, node) = (file(&dir, "disk"), dir.path().join("dev").join("node"));
    fs::create_dir(node.parent().unwrap()).unwrap();
    make(&node);
    let (manager, before) = (manager(&dir), facts(&node));
    let place = node.parent().unwrap().display();
    // It has no /proc either, and /proc/self of ours means nothing in it.
    let script =
        format!("mount -t tmpfs none {place}; echo >{place}/node; chown 7:8 {place}/node; umount -l /proc");
    for restored_inside in [true, false] {
        let guest_process = Elsewhere::new(&script);
        let a = guest(&manager, &[(&disk, 0), (&node, 0)]);
        manager.transaction_start().unwrap();
        manager.set_security_all_label(&a).unwrap();
        manager.transaction_commit(guest_process.pid()).unwrap();
        assert_eq!(facts(&node), before, "the host's own node");
        assert_eq!(owner(&disk), GUEST, "the same file in both");
        assert_eq!(guest_process.owner(&node), GUEST);
        assert!(Path::new("/proc/self").exists(), "this process is where it was");
        if restored_inside {
            manager.transaction_start().unwrap();
            manager.restore_security_all_label(&a, false).unwrap();
            manager.transaction_commit(guest_process.pid()).unwrap();
            assert_eq!(guest_process.owner(&node), (7, 8));
        }
        drop(guest_process);
        stop(&manager, &a);
        assert_eq!((facts(&node), owner(&disk)), (before.clone(), BEFORE));
        assert!(!image::list().iter().any(|info| *info.path == *node));
    }
}

#[test]
fn what_fails_inside_a_namespace_is_undone_there() {
    let dir = folder();
    let place = dir.path().join("dev");
    fs::create_dir(&place).unwrap();
    let (here, missing) = (place.join("here"), place.join("missing"));
    make(&missing);
    let shown = place.display();
    let guest_process =
        Elsewhere::new(&format!("mount -t tmpfs none {shown}; echo >{shown}/here; chown 7:8 {shown}/here"));
    let manager = manager(&dir);
    let a = guest(&manager, &[(&here, 0), (&missing, 0)]);
    manager.transaction_start().unwrap();
    manager.set_security_all_label(&a).unwrap();
    let error = manager.transaction_commit(guest_process.pid()).unwrap_err();
    assert_eq!((error.errno(), error.path()), (libc::ENOENT, Some(&*missing)));
    assert_eq!((guest_process.owner(&here), owner(&missing)), ((7, 8), BEFORE));
    let pid = guest_process.pid();
    drop(guest_process);
    manager.transaction_start().unwrap();
    manager.set_security_all_label(&a).unwrap();
    let error = manager.transaction_commit(pid).unwrap_err();
    assert!([libc::ENOENT, libc::ESRCH].contains(&error.errno()));
    assert!(error.to_string().contains("mount namespace"), "{error}");
    stop(&manager, &a);
}

#[test]
fn a_namespace_may_hide_where_the_daemon_keeps_its_state() {
    // On the image, and in the ledger and the reservations alone.
    for remember in ["xattr", "ledger"] {
        let dir = folder();
        let (one, two) = (file(&dir, "one"), file(&dir, "two"));
        let options = [("dac.user", "+4000"), ("dac.group", "+4001"), ("remember", remember)];
        let (manager, before) = (open(&dir, &options), (facts(&one), facts(&two)));
        let a = started(&manager, &[(&one, SHARED)]);
        let at = dir.path().display();
        let inside = Elsewhere::new(&format!("mount -t tmpfs none {at}/run; mount -t tmpfs none {at}/state"));
        let commit = |work: &dyn Fn()| {
            manager.transaction_start().unwrap();
            work();
            manager.transaction_commit(inside.pid()).unwrap();
        };
        commit(&|| manager.set_security_resource_label(&a, resource(&two, SHARED)).unwrap());
        assert_eq!((owner(&one), owner(&two)), (GUEST, GUEST));
        // A domain of which this process hears in there for the first time.
        let b = guest(&manager, &[(&one, SHARED), (&two, SHARED)]);
        let (log, ledgers) = (dir.path().join("run/reservations"), dir.path().join("state"));
        let number = || std::os::unix::fs::MetadataExt::ino(&fs::metadata(&log).unwrap());
        let first = number();
        // So often that the log of reservations is begun anew in there.
        for _ in 0..1100 {
            commit(&|| manager.set_security_all_label(&b).unwrap());
            if number() != first {
                break;
            }
            commit(&|| manager.restore_security_all_label(&b, false).unwrap());
        }
        assert_ne!(number(), first);
        stop(&manager, &a);
        assert_eq!((owner(&one), owner(&two)), (GUEST, GUEST), "the second guest is on record");
        assert_eq!(fs::read_dir(&ledgers).unwrap().count(), 1);
        commit(&|| manager.restore_security_all_label(&b, false).unwrap());
        assert_eq!((facts(&one), facts(&two)), before);
        assert_eq!(fs::read_dir(&ledgers).unwrap().count(), 0);
        for hidden in ["run", "state"] {
            let place = format!("/proc/{}/root{at}/{hidden}", inside.pid());
            assert_eq!(fs::read_dir(place).unwrap().count(), 0, "nothing is written to {hidden} in there");
        }
        stop(&manager, &b);
    }
}
