//! A domain that holds an image alone gets another label for it: a layer that is written for a while.

use super::super::change::change;
use super::*;

fn change_to(holder: Holder, path: &Path, uid: u32) -> Option<Label> {
    change(holder, &step(path, Label::Owner(uid, uid)), &all()).unwrap()
}

#[test]
fn the_only_holder_may_change_its_label_and_the_original_stays() {
    let (_dir, [path]) = files(["layer"]);
    let a = holder();
    give(a, &path, 4000).unwrap();
    assert_eq!(give(a, &path, 4001).unwrap_err().errno(), libc::EBUSY);
    assert_eq!(change_to(a, &path, 4001), Some(Label::Owner(4000, 4000)));
    assert_eq!((owner(&path), count(&path).as_deref()), ((4001, 4001), Some("1")));
    assert!(change_to(a, &path, 4000).is_some());
    assert_eq!(owner(&path), (4000, 4000));
    restore(a, &path).unwrap();
    assert_untouched(&path);
}

#[test]
fn with_another_holder_it_may_not() {
    let (_dir, [path]) = files(["shared"]);
    let (a, b) = (holder(), holder());
    give(a, &path, 4000).unwrap();
    give(b, &path, 4000).unwrap();
    assert_eq!(change_to(a, &path, 4001), None);
    assert_eq!((owner(&path), count(&path).as_deref()), ((4000, 4000), Some("2")));
    restore_all(b, false).unwrap();
    assert_eq!(change_to(a, &path, 4001), Some(Label::Owner(4000, 4000)));
    restore_all(a, false).unwrap();
    assert_untouched(&path);
}
