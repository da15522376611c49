//! What others have left on an image: another process, another boot, libvirt, somebody's mistake.

use super::*;
use crate::reservation::Class;

/// What another process, or this library before it was killed, left on a file.
fn leave(path: &Path, holder: Holder, count: &str) {
    let node = Node::find(path).unwrap();
    let (original, label) = (Label::Owner(10, 20), Label::Owner(6, 6));
    durable::remember(&node, "dac", holder, Some(&original), None, &label).unwrap();
    put_attribute(path, "trusted.libvirt.security.ref_dac", count);
    node.set_owner(6, 6).unwrap();
}

#[test]
fn other_processes_holders_count() {
    let (_dir, [disk]) = files(["disk"]);
    let (other, a) = (holder(), holder());
    leave(&disk, other, "2");
    let error = give(a, &disk, 7).unwrap_err();
    assert_eq!(error.errno(), libc::EBUSY);
    assert!(error.to_string().contains(&other.uuid.to_string()), "{error}");
    assert_eq!((owner(&disk), count(&disk).as_deref()), ((6, 6), Some("2")));
    give(a, &disk, 6).unwrap();
    assert_eq!(count(&disk).as_deref(), Some("3"));
    restore_all(a, false).unwrap();
    assert_eq!((owner(&disk), count(&disk).as_deref()), ((6, 6), Some("2")), "two are left elsewhere");
}

#[test]
fn a_domain_is_not_counted_twice_after_its_daemon_died() {
    let (_dir, [disk]) = files(["disk"]);
    let a = holder();
    leave(&disk, a, "1");
    give(a, &disk, 6).unwrap();
    assert_eq!(count(&disk).as_deref(), Some("1"));
    restore_all(a, false).unwrap();
    assert_untouched(&disk);
}

#[test]
fn a_label_of_an_earlier_boot_is_never_taken_for_the_original() {
    let (_dir, [ours, libvirts]) = files(["ours", "libvirts"]);
    leave(&ours, holder(), "3");
    let own = attribute(&ours, "trusted.svirt.dac").unwrap();
    let mut parts: Vec<&str> = own.split(' ').collect();
    parts[1] = "an-earlier-boot";
    put_attribute(&ours, "trusted.svirt.dac", &parts.join(" "));
    for (name, value) in [("dac", "+10:+20"), ("ref_dac", "2"), ("timestamp_dac", "12345")] {
        put_attribute(&libvirts, &format!("trusted.libvirt.security.{name}"), value);
    }
    chown(&libvirts, Some(64055), Some(64055)).unwrap();
    let a = holder();
    for path in [&ours, &libvirts] {
        give(a, path, 7).unwrap();
        assert_eq!((owner(path), count(path).as_deref()), ((7, 7), Some("1")));
    }
    restore_all(a, false).unwrap();
    assert_untouched(&ours);
    assert_untouched(&libvirts);
}

#[test]
fn a_leftover_from_before_the_label_was_put_on_is_void() {
    let (_dir, [disk]) = files(["disk"]);
    leave(&disk, holder(), "1");
    chown(&disk, Some(10), Some(20)).unwrap();
    let a = holder();
    give(a, &disk, 7).unwrap();
    assert_eq!(count(&disk).as_deref(), Some("1"));
    restore_all(a, false).unwrap();
    assert_untouched(&disk);
}

#[test]
fn nonsense_in_the_attributes_does_no_harm() {
    for (count, original, own) in [
        ("x", "+1:+1", "1 a"),
        ("-1", "", ""),
        ("99999999999", "u:x:", "2 a b c d"),
        ("", "\u{1}", "1 a b c d"),
    ] {
        let (_dir, [disk]) = files(["disk"]);
        put_attribute(&disk, "trusted.libvirt.security.ref_dac", count);
        put_attribute(&disk, "trusted.libvirt.security.dac", original);
        put_attribute(&disk, "trusted.svirt.dac", own);
        let a = holder();
        give(a, &disk, 7).unwrap();
        restore_all(a, false).unwrap();
        assert_untouched(&disk);
    }
}

#[test]
fn of_two_processes_that_list_an_image_at_once_the_first_has_it() {
    use super::super::holds::Hold;
    use super::super::standing::Image;
    use std::cell::Cell;
    let (dir, [path]) = files(["device"]);
    let (here, there) =
        (store_in(&dir.path().join("here")), Registry::open(&dir.path().join("here/run")).unwrap());
    let (node, a, b) = (Node::find(&path).unwrap(), holder(), holder());
    let settings = Settings { store: &here, ..ledger_only() };
    let (locked, shared) = (Cell::new(false), path.as_path().into());
    let image = Image::new(&node, &shared, "dac", a, &settings, &locked);
    let label = Label::Owner(4000, 4000);
    let looked = image.standing(&label).unwrap();
    // Between looking and listing.
    there.join(image.shared_key(Class::Listed), b).unwrap();
    let mut hold = Hold { identity: Some(node.identity()), ..Hold::new(shared.clone(), "dac", label) };
    let error = image.list(&looked, &mut hold).unwrap_err();
    assert_eq!((error.errno(), error.path()), (libc::EBUSY, Some(&*path)));
    assert!(error.to_string().contains(&b.uuid.to_string()), "{error}");
    assert_eq!(here.registry.members(image.shared_key(Class::Listed)).unwrap(), [b]);
}

#[test]
fn adopting_takes_only_what_carries_the_label() {
    let (_dir, [ours, theirs, unknown]) = files(["ours", "theirs", "unknown"]);
    let a = holder();
    leave(&ours, a, "1");
    chown(&unknown, Some(6), Some(6)).unwrap();
    let steps = [&ours, &theirs, &unknown].map(|path| step(path, Label::Owner(6, 6)));
    adopt(a, &steps, &all(), |_, _| Some(Label::Owner(0, 0))).unwrap();
    adopt(a, &steps, &all(), |_, _| Some(Label::Owner(0, 0))).unwrap();
    restore_all(a, false).unwrap();
    assert_untouched(&ours);
    assert_untouched(&theirs);
    assert_eq!(owner(&unknown), (0, 0), "the default of a model that has one");
}
