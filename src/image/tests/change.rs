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

#[test]
fn an_image_with_two_names_has_one_label() {
    for settings in [all(), ledger_only()] {
        let (dir, [path]) = files(["layer"]);
        let other = dir.path().join("other");
        fs::hard_link(&path, &other).unwrap();
        let a = holder();
        let owned = |path: &Path, uid| step(path, Label::Owner(uid, uid));
        set(a, vec![owned(&path, 4000), owned(&other, 4000)], &settings).unwrap();
        for name in [&path, &other] {
            let error = set(a, vec![owned(name, 4001)], &settings).unwrap_err();
            assert_eq!((error.errno(), owner(&path)), (libc::EBUSY, (4000, 4000)));
        }
        assert!(change(a, &owned(&other, 4001), &settings).unwrap().is_some());
        crate::image::release::restore(a, &other, &settings).unwrap();
        assert_eq!(owner(&path), (4001, 4001), "the other name still uses it");
        crate::image::release::restore(a, &path, &settings).unwrap();
        assert_untouched(&path);
    }
}

#[test]
fn two_labels_at_once_are_refused_before_anything_is_done() {
    let (_dir, [path]) = files(["disk"]);
    let a = holder();
    let error = set(a, vec![step(&path, Label::Owner(1, 1)), step(&path, Label::Owner(2, 2))], &all());
    assert_eq!(error.unwrap_err().errno(), libc::EBUSY);
    assert_untouched(&path);
}
