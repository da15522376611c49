//! An image takes another's place, for several models at once, or not at all.

use super::super::descriptor::{give_back, set_descriptor};
use super::super::task::{Task, run};
use super::*;
use std::os::fd::AsRawFd;

fn context() -> Label {
    Label::Context(CONTEXT.into())
}

fn both(path: &Path, uid: u32) -> Vec<Step> {
    vec![step(path, context()), step(path, Label::Owner(uid, uid))]
}

fn attributes(path: &Path) -> Vec<(String, String)> {
    let names = String::from_utf8(xattr::list(Node::find(path).unwrap().xattrs()).unwrap()).unwrap();
    let mut all: Vec<_> =
        names.split_terminator('\0').map(|name| (name.to_owned(), attribute(path, name).unwrap())).collect();
    all.sort();
    all
}

fn facts(path: &Path) -> ((u32, u32), Vec<(String, String)>) {
    (owner(path), attributes(path))
}

fn moved(holder: Holder, from: &Path, to: &Path, settings: &Settings<'_>) -> Result<()> {
    run(vec![Task::Move(holder, from.to_owned(), to.to_owned())], settings, || Ok(()))
}

#[test]
fn what_was_exchanged_is_put_back_when_another_model_cannot_follow() {
    let (_dir, [old, new]) = files(["old", "new"]);
    put_attribute(&new, "security.selinux", "system_u:object_r:virt_content_t:s0");
    let (a, b) = (holder(), holder());
    set(a, both(&old, 4000), &all()).unwrap();
    set(a, vec![step(&new, context())], &all()).unwrap();
    give(b, &new, 4001).unwrap();
    let before = (facts(&old), facts(&new));
    let error = moved(a, &old, &new, &all()).unwrap_err();
    assert_eq!((error.errno(), error.path()), (libc::EBUSY, Some(&*new)));
    assert_eq!((facts(&old), facts(&new)), before);
    restore_all(a, false).unwrap();
    restore_all(b, false).unwrap();
    assert_eq!(attribute(&new, "security.selinux").as_deref(), Some("system_u:object_r:virt_content_t:s0"));
    assert_untouched(&new);
    assert_untouched(&old);
}

#[test]
fn what_is_labelled_and_moved_to_in_one_transaction_is_one_use() {
    for settings in [all(), ledger_only()] {
        let (_dir, [old, new]) = files(["old", "new"]);
        chown(&new, Some(30), Some(40)).unwrap();
        // None, or what a policy has given it.
        let had = attribute(&old, "security.selinux");
        let a = holder();
        set(a, both(&old, 4000), &settings).unwrap();
        let tasks = vec![Task::Set(a, both(&new, 4000)), Task::Move(a, old.clone(), new.clone())];
        run(tasks, &settings, || Ok(())).unwrap();
        assert_untouched(&old);
        assert_eq!(owner(&new), (4000, 4000));
        super::super::release::restore(a, &new, &settings).unwrap();
        assert_untouched(&new);
        assert_eq!(attribute(&new, "security.selinux"), had);
    }
}

#[test]
fn the_uses_of_an_image_that_takes_anothers_place_stay() {
    for settings in [all(), ledger_only()] {
        let (_dir, [old, new]) = files(["old", "new"]);
        chown(&new, Some(30), Some(40)).unwrap();
        let a = holder();
        for path in [&old, &new, &new] {
            set(a, vec![step(path, Label::Owner(4000, 4000))], &settings).unwrap();
        }
        moved(a, &old, &new, &settings).unwrap();
        assert_untouched(&old);
        let restore = || super::super::release::restore(a, &new, &settings).unwrap();
        restore();
        assert_eq!(owner(&new), (4000, 4000), "the domain uses it once more");
        restore();
        assert_untouched(&new);
    }
}

#[test]
fn a_descriptor_without_a_name_gets_all_labels_or_none() {
    // A pipe has an owner and takes no context.
    let (reader, _writer) = std::io::pipe().unwrap();
    let pipe = || Node::of(reader.as_raw_fd()).unwrap();
    let before = pipe().current_owner().unwrap();
    let (a, own) = (holder(), ("dac", Label::Owner(4000, 4000)));
    let error =
        set_descriptor(a, &pipe(), None, vec![own.clone(), ("selinux", context())], &all()).unwrap_err();
    // A policy that is loaded refuses it first.
    let refused = if Path::new("/sys/fs/selinux/enforce").exists() { libc::EACCES } else { libc::EOPNOTSUPP };
    assert_eq!(error.errno(), refused);
    assert_eq!(pipe().current_owner().unwrap(), before);
    set_descriptor(a, &pipe(), None, vec![own], &all()).unwrap();
    assert_eq!(pipe().current_owner().unwrap(), (4000, 4000));
    give_back(a).unwrap();
    assert_eq!(pipe().current_owner().unwrap(), before);
}
